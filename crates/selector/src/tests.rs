//! The language as a whole: what is accepted and what it means, how errors read, and random trees against a model.

mod errors;
mod language;
mod random;
