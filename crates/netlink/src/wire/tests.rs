use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, PartialEq)]
enum Tree {
    Leaf(u16, Vec<u8>),
    Nest(u16, Vec<Tree>),
}

fn trees() -> impl Strategy<Value = Vec<Tree>> {
    let leaf = (1u16..64, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, bytes)| Tree::Leaf(kind, bytes));
    let tree = leaf.prop_recursive(3, 24, 4, |inner| {
        (1u16..64, prop::collection::vec(inner, 0..4)).prop_map(|(kind, below)| Tree::Nest(kind, below))
    });
    prop::collection::vec(tree, 0..6)
}

fn write(writer: &mut Writer, trees: &[Tree]) {
    for tree in trees {
        match tree {
            Tree::Leaf(kind, bytes) => writer.bytes(*kind, bytes),
            Tree::Nest(kind, below) => writer.nest(*kind, |writer| write(writer, below)),
        }
    }
}

fn matches(attrs: Attrs<'_>, trees: &[Tree]) -> bool {
    let attrs: Vec<_> = attrs.map(Result::unwrap).collect();
    attrs.len() == trees.len()
        && attrs.iter().zip(trees).all(|(attr, tree)| match tree {
            Tree::Leaf(kind, bytes) => attr.kind == *kind && attr.payload == bytes,
            Tree::Nest(kind, below) => attr.kind == *kind && matches(Attrs::new(attr.payload), below),
        })
}

fn header(seq: u32) -> Header {
    Header { kind: 0x0a06, flags: REQUEST, seq, family: 1, resource: 0 }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(first in trees(), second in trees()) {
        let mut writer = Writer::new();
        writer.message(header(7), |writer| write(writer, &first));
        writer.message(header(8), |writer| write(writer, &second));
        let read: Vec<_> = Messages::new(writer.as_bytes()).map(Result::unwrap).collect();
        prop_assert_eq!(read.len(), 2);
        for (message, (seq, trees)) in read.iter().zip([(7, &first), (8, &second)]) {
            prop_assert_eq!(message.seq, seq);
            let (family, attrs) = message.nfnetlink().unwrap();
            prop_assert_eq!(family, 1);
            prop_assert!(matches(attrs, trees));
        }
        prop_assert_eq!(writer.overflowed(), None);
    }

    #[test]
    fn reading_never_panics_and_always_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for message in Messages::new(&bytes).flatten() {
            if let Ok((_, attrs)) = message.nfnetlink() {
                attrs.for_each(drop);
            }
        }
        Attrs::new(&bytes).for_each(drop);
        let _ = table::<9>(Attrs::new(&bytes));
        let _ = text(&bytes, "x");
    }
}

#[test]
fn a_nest_that_would_wrap_is_noted_with_its_message() {
    let mut writer = Writer::new();
    writer.message(header(3), |writer| writer.nest(1, |writer| writer.bytes(1, &[0; 100])));
    assert_eq!(writer.overflowed(), None);
    writer.message(header(4), |writer| {
        writer.nest(1, |writer| (0..700).for_each(|_| writer.bytes(1, &[0; 100])));
    });
    writer.message(header(5), |_| ());
    assert_eq!(writer.overflowed(), Some(4));
}

#[test]
fn lengths_outside_the_buffer_are_errors() {
    let rows: [(&[u8], &str); 3] = [
        (&[4, 0, 1], "a header of three bytes"),
        (&[3, 0, 1, 0], "a length below the header"),
        (&[9, 0, 1, 0, 1, 2, 3, 4], "a length behind the end"),
    ];
    for (bytes, what) in rows {
        assert!(Attrs::new(bytes).next().unwrap().is_err(), "{what}");
        assert_eq!(Attrs::new(bytes).count(), 1, "{what} ends the row");
    }
}
