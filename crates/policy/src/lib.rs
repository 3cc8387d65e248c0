//! The checked policy model, valid once built
