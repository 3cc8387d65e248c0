//! Hostile objects of the size that etcd takes: each is read in memory in proportion to its bytes.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod objects;

use tortie_policy::Item;

#[test]
fn hostile_objects_take_at_most_twenty_times_their_size_in_memory() {
    let mut missed = Vec::new();
    for objects::Hostile { name, key, bytes } in objects::all() {
        // Shapes of kinds are compiled once.
        Item::read_stored(&key, b"{}");
        let most = allocation_counter::measure(|| drop(Item::read_stored(&key, &bytes))).bytes_max;
        // What is noted of mistakes does not grow with the object.
        let times = most as f64 / bytes.len().max(1 << 16) as f64;
        println!("{name}: {} bytes, {times:.1} times", bytes.len());
        missed.extend((times > 20.0).then(|| format!("{name}: {times:.1} times")));
    }
    assert!(missed.is_empty(), "{missed:?}");
}
