use proptest::prelude::*;

use super::*;

fn link(index: u32, name: &str, flags: i32) -> LinkMessage {
    LinkMessage::Link { index, name: Some(name.to_owned()), flags: flags.cast_unsigned(), mtu: None }
}

fn assigned(last: u8, prefix: u8) -> AssignedAddress {
    let local = std::net::IpAddr::from([10, 0, 0, last]);
    AssignedAddress { local, peer: local, prefix }
}

fn changes_of(
    table: &mut Table,
    interfaces: &mut Interfaces,
    said: impl IntoIterator<Item = LinkMessage>,
) -> Vec<Change> {
    said.into_iter().for_each(|said| table.take(said));
    table.look(interfaces)
}

const UP: i32 = libc::IFF_UP | libc::IFF_RUNNING;

#[test]
fn an_interface_is_reported_with_its_addresses_whichever_came_first() {
    let address = LinkMessage::Address { index: 7, address: assigned(1, 24) };
    for said in [[link(7, "eth0", UP), address.clone()], [address, link(7, "eth0", UP)]] {
        let (mut table, mut interfaces) = (Table::default(), Interfaces::new());
        let changes = changes_of(&mut table, &mut interfaces, said);
        assert_eq!(changes.len(), 1);
        let is = changes[0].is.as_ref().unwrap();
        assert_eq!((is.up, is.running, is.addresses.len()), (true, true, 1));
        assert_eq!(changes[0].was, None);
    }
}

#[test]
fn what_appears_and_disappears_between_two_reads_is_not_reported() {
    let (mut table, mut interfaces) = (Table::default(), Interfaces::new());
    assert!(
        changes_of(&mut table, &mut interfaces, [link(7, "cali1", 0), LinkMessage::NoLink { index: 7 }]).is_empty()
    );
    changes_of(&mut table, &mut interfaces, [link(7, "cali1", UP)]);
    assert!(changes_of(&mut table, &mut interfaces, [link(7, "cali1", 0), link(7, "cali1", UP)]).is_empty());
}

#[test]
fn a_renamed_interface_is_one_change_with_both_names() {
    let (mut table, mut interfaces) = (Table::default(), Interfaces::new());
    changes_of(&mut table, &mut interfaces, [link(7, "tmp", 0)]);
    let changes = changes_of(&mut table, &mut interfaces, [link(7, "eth1", 0)]);
    assert_eq!(changes.len(), 1);
    assert!(changes[0].concerns(|name| name == "tmp") && changes[0].concerns(|name| name == "eth1"));
}

#[test]
fn an_address_that_was_added_twice_is_removed_with_the_last() {
    let (mut table, mut interfaces) = (Table::default(), Interfaces::new());
    let [wide, narrow] = [24, 32].map(|prefix| assigned(1, prefix));
    changes_of(
        &mut table,
        &mut interfaces,
        [
            link(7, "eth0", UP),
            LinkMessage::Address { index: 7, address: wide },
            LinkMessage::Address { index: 7, address: narrow },
        ],
    );
    assert_eq!(interfaces[&7].addresses.len(), 1);
    assert!(changes_of(&mut table, &mut interfaces, [LinkMessage::NoAddress { index: 7, address: wide }]).is_empty());
    changes_of(&mut table, &mut interfaces, [LinkMessage::NoAddress { index: 7, address: narrow }]);
    assert!(interfaces[&7].addresses.is_empty());
}

#[test]
fn of_two_interfaces_with_one_name_the_newest_is_the_link() {
    let (mut table, mut interfaces) = (Table::default(), Interfaces::new());
    changes_of(
        &mut table,
        &mut interfaces,
        [
            link(7, "eth0", UP),
            link(9, "eth0", UP),
            LinkMessage::Address { index: 9, address: assigned(9, 24) },
            link(8, "cali1", UP),
        ],
    );
    let links = crate::links::links(&interfaces, |name| !name.starts_with("cali"));
    assert_eq!(links.len(), 1);
    assert_eq!(links[0].addresses, [assigned(9, 24).local]);
}

#[test]
fn a_message_without_a_name_keeps_the_name() {
    let (mut table, mut interfaces) = (Table::default(), Interfaces::new());
    changes_of(&mut table, &mut interfaces, [link(7, "wlan0", 0)]);
    changes_of(&mut table, &mut interfaces, [LinkMessage::Link { index: 7, name: None, flags: 1, mtu: None }]);
    assert_eq!((interfaces[&7].name.as_str(), interfaces[&7].up), ("wlan0", true));
}

fn facts() -> impl Strategy<Value = LinkMessage> {
    let index = 1u32..4;
    let address = (1u8..4, 24u8..26).prop_map(|(last, prefix)| assigned(last, prefix));
    prop_oneof![
        (index.clone(), "[ab]", 0u32..4).prop_map(|(index, name, up)| LinkMessage::Link {
            index,
            name: Some(name),
            flags: up & 1,
            mtu: None,
        }),
        index.clone().prop_map(|index| LinkMessage::NoLink { index }),
        (index.clone(), address.clone()).prop_map(|(index, address)| LinkMessage::Address { index, address }),
        (index, address).prop_map(|(index, address)| LinkMessage::NoAddress { index, address }),
    ]
}

proptest! {
    #[test]
    fn changes_lead_from_each_state_to_the_next(history in prop::collection::vec(prop::collection::vec(facts(), 0..6), 0..12)) {
        let (mut table, mut interfaces, mut followed) = (Table::default(), Interfaces::new(), Interfaces::new());
        for said in history {
            for change in changes_of(&mut table, &mut interfaces, said) {
                prop_assert_ne!(&change.was, &change.is);
                let index = change.was.iter().chain(&change.is).map(|one| one.index).next().unwrap();
                prop_assert_eq!(followed.get(&index), change.was.as_ref());
                match change.is {
                    Some(is) => followed.insert(index, is),
                    None => followed.remove(&index),
                };
            }
            prop_assert_eq!(&followed, &interfaces);
            prop_assert!(table.look_anew(&mut interfaces).is_empty());
        }
    }

    #[test]
    fn older_facts_replayed_up_to_the_newest_end_the_same(facts in prop::collection::vec(facts(), 0..20), from in 0usize..20) {
        let mut once = Table::default();
        let mut again = Table::default();
        for said in &facts {
            once.take(said.clone());
            again.take(said.clone());
        }
        facts.iter().skip(from.min(facts.len())).for_each(|said| again.take(said.clone()));
        let (mut a, mut b) = (Interfaces::new(), Interfaces::new());
        once.look(&mut a);
        again.look(&mut b);
        prop_assert_eq!(a, b);
    }
}
