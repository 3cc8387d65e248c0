//! Random worlds: stores with everything in them, histories that change them, and packets that try them.
//!
//! A world is written as resources, as users write them, so a case that failed can be read, kept as a file and tried
//! on any dataplane. Alphabets are small, so that things collide. The same seed gives the same case.
//!
//! ```
//! use tortie_testkit::worlds::{Case, World};
//!
//! let case = Case::random(7);
//! let mut world = World::new();
//! for step in &case.steps {
//!     world.apply(step).unwrap();
//! }
//! assert_eq!(case, serde_json::from_str(&case.to_json()).unwrap());
//! ```

mod case;
mod damage;
mod objects;
mod packets;
mod rules;
mod shrink;
mod world;

pub use case::{Case, Probe, Step};
pub use damage::Damage;
pub use shrink::shrink;
pub use tortie_random::Random;
pub use world::{Change, World};

/// The node that the worlds are seen from.
pub const NODE: &str = "n1";
