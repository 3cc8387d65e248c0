//! A batch that the kernel refuses: the object is named, and nothing is left behind.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use common::{in_namespace, program};
use tortie_nft::expr::{Counter, Lookup, Masq, Meta, MetaKey, Payload, Reject};
use tortie_nft::{
    BaseChain, Batch, BatchError, Buffers, Chain, CommitError, DataType, Element, Hook, Key, ObjectRef, Operation, Reg,
    Rule, Set, Socket, Table, TableId, Verdict, dump,
};

fn table() -> TableId {
    TableId::inet("tortie")
}

fn input() -> Chain {
    Chain::base("input", BaseChain::filter(Hook::Input, 0))
}

fn refused(batch: &Batch, socket: &mut Socket) -> BatchError {
    match batch.commit(socket) {
        Err(CommitError::Refused(errors)) => errors[0].clone(),
        other => panic!("{other:?}"),
    }
}

/// Older kernels, such as 6.1, take it.
const UNWRITTEN: &str = "an expression that reads a register nobody wrote";

/// What each batch is refused for, whatever else of it is good.
#[test]
fn the_object_is_named_and_nothing_is_left() {
    let hosts = || Set::new("hosts", DataType::Ipv4);
    let host = |last| Element::new(Key::One(vec![10, 0, 0, last]));
    let good = || Rule::new("input", [Counter::default().into()]).comment("good");
    let set = |set: &str| ObjectRef::Set { table: table(), name: set.into() };
    let element = |last: Option<u8>| ObjectRef::Element {
        table: table(),
        set: "hosts".into(),
        key: last.map(|last| vec![10, 0, 0, last]),
    };
    let rule = |comment: &str, expression: Option<(usize, &str)>| ObjectRef::Rule {
        table: table(),
        chain: "input".into(),
        handle: None,
        comment: Some(comment.into()),
        expression: expression.map(|(at, name)| (at, name.into())),
    };
    type Row<'a> = (&'a str, Box<dyn Fn(&mut Batch) -> usize + Send>, i32, Operation, ObjectRef);
    let rows: Vec<Row<'_>> = vec![
        (
            "a rule that looks in a set that is not there",
            Box::new(move |batch| {
                let load = Payload::ipv4_source(Reg::R1).into();
                let rule = Rule::new("input", [load, Lookup::set("missing", Reg::R1).into()]).comment("bad");
                batch.append_rule(&table(), &rule)
            }),
            libc::ENOENT,
            Operation::Add,
            rule("bad", Some((1, "lookup"))),
        ),
        (
            "a jump to a chain that is not there",
            Box::new(move |batch| {
                batch
                    .append_rule(&table(), &Rule::new("input", [Verdict::Jump("missing".into()).into()]).comment("bad"))
            }),
            libc::ENOENT,
            Operation::Add,
            rule("bad", Some((0, "immediate"))),
        ),
        (
            UNWRITTEN,
            Box::new(move |batch| {
                let rule = Rule::new("input", [Meta::set(MetaKey::Mark, Reg::R2).into()]).comment("bad");
                batch.append_rule(&table(), &rule)
            }),
            libc::ENODATA,
            Operation::Add,
            rule("bad", Some((0, "meta"))),
        ),
        (
            "an element twice, with different data",
            Box::new(move |batch| {
                let map = Set::vmap("verdicts", DataType::Ipv4);
                batch.add_set(&table(), &map);
                let elements =
                    [Verdict::Accept, Verdict::Drop].map(|v| Element::verdict(Key::One(vec![10, 0, 0, 1]), v));
                batch.add_elements(&table(), &map, &elements)
            }),
            libc::EEXIST,
            Operation::Add,
            ObjectRef::Element { table: table(), set: "verdicts".into(), key: Some(vec![10, 0, 0, 1]) },
        ),
        (
            "an element out that is not in, among others that are",
            Box::new(move |batch| batch.delete_elements(&table(), &hosts(), &[host(1), host(7), host(2)])),
            libc::ENOENT,
            Operation::Delete,
            element(Some(7)),
        ),
        (
            "a set out that a rule looks in",
            Box::new(move |batch| {
                let load = Payload::ipv4_source(Reg::R1).into();
                batch.append_rule(&table(), &Rule::new("input", [load, Lookup::set("hosts", Reg::R1).into()]));
                batch.delete_set(&table(), "hosts")
            }),
            libc::EBUSY,
            Operation::Delete,
            set("hosts"),
        ),
        (
            "a chain out that is not there",
            Box::new(move |batch| batch.delete_chain(&table(), "missing")),
            libc::ENOENT,
            Operation::Delete,
            ObjectRef::Chain { table: table(), name: "missing".into() },
        ),
        (
            "a table out that is not there",
            Box::new(move |batch| batch.delete_table(&TableId::inet("missing"))),
            libc::ENOENT,
            Operation::Delete,
            ObjectRef::Table(TableId::inet("missing")),
        ),
    ];
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let generation = socket.generation().unwrap();
        for (what, add, errno, operation, object) in rows {
            let mut batch = program(&table(), &[input()], &[good()]);
            batch.add_set(&table(), &hosts());
            batch.add_elements(&table(), &hosts(), &[host(1), host(2)]);
            let index = add(&mut batch);
            batch.append_rule(&table(), &good());
            if what == UNWRITTEN && batch.check(&mut socket).unwrap().is_empty() {
                continue;
            }
            let error = refused(&batch, &mut socket);
            assert_eq!((error.errno, error.operation, error.index), (errno, operation, Some(index)), "{what}: {error}");
            assert_eq!(error.object, object, "{what}");
            assert_eq!(batch.check(&mut socket).unwrap()[0], error, "{what}, only checked");
            assert_eq!(dump::table(&mut socket, &table()).unwrap(), None, "{what}");
        }
        assert_eq!(socket.generation().unwrap(), generation);
    });
}

#[test]
fn several_bad_messages_are_all_named_in_order() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let mut batch = program(&table(), &[input()], &[]);
        let first = batch.delete_chain(&table(), "one");
        let second = batch.delete_set(&table(), "two");
        let Err(CommitError::Refused(errors)) = batch.commit(&mut socket) else { panic!() };
        assert_eq!(errors.iter().map(|error| error.index).collect::<Vec<_>>(), [Some(first), Some(second)]);
        let text = CommitError::Refused(errors).to_string();
        assert!(text.starts_with("the kernel refused to delete chain inet tortie one: No such file"), "{text}");
        assert!(text.ends_with("(and 1 more)"), "{text}");
    });
}

#[test]
fn expressions_that_a_hook_does_not_allow_and_loops_are_refused() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let post = Chain::base("post", BaseChain::filter(Hook::Postrouting, 0));
        let batch = program(&table(), &[post], &[Rule::new("post", [Reject::TcpReset.into()])]);
        let error = refused(&batch, &mut socket);
        assert_eq!(error.errno, libc::EOPNOTSUPP, "{error:?}");
        let batch = program(&table(), &[input()], &[Rule::new("input", [Masq::default().into()])]);
        let error = refused(&batch, &mut socket);
        assert_eq!(error.errno, libc::EOPNOTSUPP, "{error:?}");
        let jump = |from: &str, to: &str| Rule::new(from, [Verdict::Jump(to.into()).into()]);
        let chains = [input(), Chain::regular("a"), Chain::regular("b")];
        let batch = program(&table(), &chains, &[jump("a", "b"), jump("b", "a"), jump("input", "a")]);
        let error = refused(&batch, &mut socket);
        assert_eq!(error.errno, libc::EMLINK, "{error:?}");
        assert_eq!(dump::table(&mut socket, &table()).unwrap(), None);
    });
}

#[test]
fn a_required_generation_that_moved_is_stale() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let generation = socket.generation().unwrap();
        let mut batch = Batch::new();
        batch.require_generation(generation);
        batch.add_table(&Table::new(table()));
        batch.commit(&mut socket).unwrap();
        assert_ne!(socket.generation().unwrap(), generation);
        assert!(matches!(batch.commit(&mut socket), Err(CommitError::Stale)));
    });
}

#[test]
fn a_batch_of_many_messages_is_split_by_element_and_sent_as_one() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let set = Set::vmap("many", DataType::Ipv4);
        let elements: Vec<_> = (0..50_000u32)
            .map(|number| {
                Element::verdict(Key::One(number.to_be_bytes().into()), Verdict::Accept).comment(number.to_string())
            })
            .collect();
        let mut batch = program(&table(), &[], &[]);
        batch.add_set(&table(), &set);
        let first = batch.add_elements(&table(), &set, &elements);
        assert!(batch.len() - first > 20);
        batch.commit(&mut socket).unwrap();
        // The kernel moves a set that grew into a larger hash table. A dump in the meantime can lack elements.
        let deadline = Instant::now() + limit(Duration::from_secs(20));
        loop {
            let found = dump::elements(&mut socket, &table(), &set).unwrap();
            if found == elements {
                break;
            }
            assert!(Instant::now() < deadline, "{} of {} elements", found.len(), elements.len());
        }

        let mut small = Socket::open_with(Buffers { send: 100_000, receive: 100_000 }).unwrap();
        assert!(matches!(batch.commit(&mut small), Err(CommitError::TooLong { len }) if len > small.send_limit()));
    });
}

#[test]
fn a_rule_too_long_for_a_message_is_not_sent() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let exprs = (0..4000).map(|_| Counter { packets: 1, bytes: 1 }.into());
        let batch = program(&table(), &[input()], &[Rule::new("input", exprs).comment("endless")]);
        let Err(CommitError::Oversized(object)) = batch.commit(&mut socket) else { panic!() };
        assert!(matches!(*object, ObjectRef::Rule { chain, .. } if chain == "input"));
    });
}

#[test]
fn thousands_of_errors_are_still_a_refusal() {
    in_namespace(|| {
        let mut socket = Socket::open_with(Buffers { send: 16 << 20, receive: 4096 }).unwrap();
        let mut batch = program(&table(), &[], &[]);
        for number in 0..5000 {
            batch.delete_chain(&table(), &format!("chain{number}"));
        }
        let Err(CommitError::Refused(errors)) = batch.commit(&mut socket) else { panic!() };
        assert_eq!(errors[0].object, ObjectRef::Chain { table: table(), name: "chain0".into() });
        assert_eq!(dump::table(&mut socket, &table()).unwrap(), None);
    });
}
