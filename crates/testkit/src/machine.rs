//! Interfaces and routes of a machine under test, in few words.
//!
//! Each panics where its text cannot be read: it is a test's.

use tortie_policy::machine::{Route, RouteKind};
use tortie_policy::packet::Link;

/// An interface with these addresses.
pub fn link(name: &str, addresses: &[&str]) -> Link {
    let addresses = addresses.iter().map(|text| text.parse().unwrap_or_else(|_| panic!("{text}"))).collect();
    Link { name: name.to_owned(), addresses }
}

/// A route out of one interface: in the main table if it is unicast, otherwise in the local one.
pub fn route(to: &str, kind: RouteKind, interface: &str) -> Route {
    let to = to.parse().unwrap_or_else(|_| panic!("{to}"));
    let local_table = kind != RouteKind::Unicast;
    Route { kind, local_table, interfaces: vec![interface.to_owned()], ..Route::to(to) }
}
