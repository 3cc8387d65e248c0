//! What a listener is told of others' commits.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;
use tortie_testkit::limit::limit;

use common::in_namespace;
use tortie_nft::monitor::{Changed, Monitor, Notice};
use tortie_nft::{Batch, Chain, DataType, Element, Expr, Key, Rule, Set, Socket, Table, TableId, Verdict};

fn read(monitor: &mut Monitor, id: &TableId, own: u32) -> Vec<Notice> {
    let mut notices = Vec::new();
    monitor.wait(limit(Duration::from_secs(5))).unwrap();
    while monitor.read(id, own, |notice| notices.push(notice)).unwrap() {}
    notices
}

/// A table with a chain, a rule, a set and so many elements.
fn batch(id: &TableId, elements: u32) -> Batch {
    let mut batch = Batch::new();
    batch.add_table(&Table::new(id.clone()));
    batch.add_chain(id, &Chain::regular("c"));
    batch.append_rule(id, &Rule::new("c", [Expr::from(Verdict::Accept)]));
    let set = Set::new("s", DataType::Ipv4);
    batch.add_set(id, &set);
    let elements: Vec<Element> = (0..elements).map(|n| Element::new(Key::One(n.to_be_bytes().to_vec()))).collect();
    batch.add_elements(id, &set, &elements);
    batch
}

#[test]
fn every_object_that_others_change_is_reported_by_name_and_own_changes_are_not() {
    in_namespace(|| {
        let id = TableId::inet("t");
        let mut socket = Socket::open().unwrap();
        let mut monitor = Monitor::open(1 << 20).unwrap();
        batch(&id, 1).commit(&mut socket).unwrap();
        let notices = read(&mut monitor, &id, 0);
        let key = vec![vec![0, 0, 0, 0]];
        let expected = [
            Notice::Changed(Changed::Table),
            Notice::Changed(Changed::Chain("c".into())),
            Notice::Changed(Changed::Chain("c".into())),
            Notice::Changed(Changed::Set("s".into())),
            Notice::Changed(Changed::Elements("s".into(), key)),
            Notice::Commit,
        ];
        assert_eq!(notices, expected);
        batch(&TableId::inet("other"), 1).commit(&mut socket).unwrap();
        let notices = read(&mut monitor, &id, 0);
        assert!(
            notices.contains(&Notice::Commit) && !notices.iter().any(|one| matches!(one, Notice::Changed(_))),
            "{notices:?}"
        );
        let mut remove = Batch::new();
        remove.delete_table(&id);
        remove.commit(&mut socket).unwrap();
        assert_eq!(read(&mut monitor, &id, socket.port().unwrap()), []);
    });
}

#[test]
fn a_listener_with_a_full_buffer_is_notified_of_the_loss() {
    in_namespace(|| {
        let id = TableId::inet("t");
        let mut socket = Socket::open().unwrap();
        let mut monitor = Monitor::open(1 << 12).unwrap();
        batch(&id, 20_000).commit(&mut socket).unwrap();
        assert!(read(&mut monitor, &id, 0).contains(&Notice::Lost));
    });
}

#[test]
fn a_listener_that_left_receives_nothing_until_it_joins_again() {
    in_namespace(|| {
        let id = TableId::inet("t");
        let mut socket = Socket::open().unwrap();
        let mut monitor = Monitor::open(1 << 20).unwrap();
        let subscription = monitor.subscription();
        subscription.leave().unwrap();
        batch(&id, 1).commit(&mut socket).unwrap();
        subscription.join().unwrap();
        batch(&TableId::inet("u"), 0).commit(&mut socket).unwrap();
        let notices = read(&mut monitor, &id, 0);
        assert!(
            notices.contains(&Notice::Commit) && !notices.iter().any(|one| matches!(one, Notice::Changed(_))),
            "{notices:?}"
        );
    });
}
