//! Everything this crate can write: through the kernel and back, and as `nft` reads it.

#![allow(clippy::unwrap_used)]

mod common;

use common::everything::{chains, everything, rules, sets, table};
use common::{in_namespace, nft_script, run};
use tortie_nft::expr::*;
use tortie_nft::*;

const LISTING: &str = include_str!("listing.nft");

#[test]
fn everything_comes_back_from_the_kernel_as_it_was_written() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        everything().commit(&mut socket).unwrap();
        let dump = dump::table(&mut socket, &table()).unwrap().unwrap();
        assert_eq!(dump.table.comment.as_deref(), Some("all of it"));
        for chain in chains() {
            let found = dump.chain(&chain.name).unwrap();
            assert_eq!(Chain { handle: None, ..found.clone() }, chain);
        }
        for (set, elements) in sets() {
            let found = dump.set(&set.name).unwrap();
            assert_eq!(Set { handle: None, ..found.set.clone() }, set);
            let mut found: Vec<_> = found.elements.iter().map(Element::shape).collect();
            assert_eq!(found.len(), elements.len(), "{}", set.name);
            found.retain(|element| !elements.contains(element));
            assert_eq!(found, [], "{} has others", set.name);
        }
        for chain in dump.chains.iter().map(|chain| &chain.name) {
            let written: Vec<_> = rules().into_iter().filter(|rule| rule.chain == *chain).collect();
            let found: Vec<_> = dump.rules_of(chain).map(Rule::shape).collect();
            assert_eq!(found, written, "{chain}");
        }
    });
}

#[test]
fn nft_lists_everything_readably() {
    in_namespace(|| {
        everything().commit(&mut Socket::open().unwrap()).unwrap();
        let listing = run("nft", &["list", "ruleset"]);
        if std::env::var_os("UPDATE_LISTING").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/listing.nft"), &listing).unwrap();
            return;
        }
        for (line, (ours, reviewed)) in listing.lines().zip(LISTING.lines()).enumerate() {
            assert_eq!(ours, reviewed, "line {}", line + 1);
        }
        assert_eq!(listing.lines().count(), LISTING.lines().count());
    });
}

#[test]
fn nft_reads_everything_as_json_and_its_own_listing_loads_again() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        everything().commit(&mut socket).unwrap();
        let json: serde_json::Value = serde_json::from_str(&run("nft", &["-j", "list", "ruleset"])).unwrap();
        let count = |kind: &str| {
            json["nftables"].as_array().unwrap().iter().filter(|object| object.get(kind).is_some()).count()
        };
        assert_eq!(count("table"), 1);
        assert_eq!(count("chain"), chains().len() + 2);
        assert_eq!(count("rule"), rules().len());
        assert_eq!(count("set") + count("map"), sets().len());

        let before = dump::table(&mut socket, &table()).unwrap().unwrap();
        let listing = run("nft", &["list", "ruleset"]);
        nft_script(&format!("flush ruleset\n{listing}"));
        let after = dump::table(&mut socket, &table()).unwrap().unwrap();
        // What nft writes itself is equal, but for what it rewrites.
        for set in before.sets {
            let again = after.set(&set.set.name).unwrap();
            assert_eq!(again.set.key, set.set.key);
            assert_eq!(again.set.data, set.set.data);
            assert_eq!(again.set.comment, set.set.comment);
            let shapes = |elements: &[Element]| elements.iter().map(Element::shape).collect::<Vec<_>>();
            assert_eq!(shapes(&again.elements), shapes(&set.elements), "{}", set.set.name);
        }
        assert_eq!(after.rules.len(), before.rules.len());
        let comments = |rules: &[Rule]| rules.iter().filter_map(|rule| rule.comment.clone()).collect::<Vec<_>>();
        assert_eq!(comments(&after.rules), comments(&before.rules));
    });
}

#[test]
fn every_data_type_has_the_number_that_nft_gives_it() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let sets: String = DataType::ALL
            .iter()
            .enumerate()
            .map(|(at, kind)| format!("set s{at} {{ type {}\n }}\n", kind.name()))
            .collect();
        nft_script(&format!("table inet theirs {{\n{sets}}}\n"));
        let found = dump::sets(&mut socket, &TableId::inet("theirs")).unwrap();
        assert_eq!(found.len(), DataType::ALL.len());
        for set in found {
            let at: usize = set.name[1..].parse().unwrap();
            assert_eq!(set.key, Fields::one(DataType::ALL[at]), "{}", DataType::ALL[at].name());
        }
    });
}

#[test]
fn an_anonymous_set_goes_with_its_rule() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let ports = Set::new("", DataType::Port).interval().anonymous(9);
        let elements = [Element::new(Key::One(vec![0, 22])), Element::new(Key::range(vec![0, 80], vec![0, 90]))];
        let mut batch = common::program(&table(), &[Chain::base("input", BaseChain::filter(Hook::Input, 0))], &[]);
        batch.add_set(&table(), &ports);
        batch.add_elements(&table(), &ports, &elements);
        let rule = Rule::new(
            "input",
            [
                Meta::get(MetaKey::L4Proto, Reg::R1).into(),
                Cmp::eq(Reg::R1, [6]).into(),
                Payload::destination_port(Reg::R1).into(),
                Lookup::set(&ports.name, Reg::R1).with_id(9).into(),
                Verdict::Accept.into(),
            ],
        );
        batch.append_rule(&table(), &rule);
        batch.commit(&mut socket).unwrap();
        assert!(run("nft", &["list", "ruleset"]).contains("tcp dport { 22, 80-90 } accept"));
        let dump = dump::table(&mut socket, &table()).unwrap().unwrap();
        assert!(dump.sets[0].set.anonymous && dump.sets[0].elements == elements);
        let handle = dump.rules[0].handle.unwrap();

        let mut batch = Batch::new();
        batch.delete_rule(&table(), "input", handle);
        batch.commit(&mut socket).unwrap();
        assert_eq!(dump::sets(&mut socket, &table()).unwrap(), []);
    });
}

#[test]
fn elements_and_rules_change_one_by_one() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        everything().commit(&mut socket).unwrap();
        for (set, elements) in sets() {
            let mut batch = Batch::new();
            batch.delete_elements(&table(), &set, &elements[..1]);
            batch.commit(&mut socket).unwrap();
            let left = dump::elements(&mut socket, &table(), &set).unwrap();
            assert_eq!(left.len(), elements.len() - 1, "{}", set.name);
            let mut batch = Batch::new();
            batch.add_elements(&table(), &set, &elements[..1]);
            batch.commit(&mut socket).unwrap();
            let found = dump::elements(&mut socket, &table(), &set).unwrap();
            assert!(found.iter().map(Element::shape).any(|element| element == elements[0]), "{}", set.name);
            let mut batch = Batch::new();
            batch.flush_set(&table(), &set.name);
            batch.commit(&mut socket).unwrap();
            assert_eq!(dump::elements(&mut socket, &table(), &set).unwrap(), []);
        }
        let hosts = &sets()[0];
        let mut batch = Batch::new();
        batch.add_elements(&table(), &hosts.0, &hosts.1);
        batch.commit(&mut socket).unwrap();
        let found = dump::element(&mut socket, &table(), &hosts.0, &[10, 0, 0, 1]).unwrap();
        assert_eq!(found.unwrap(), hosts.1[0]);
        assert_eq!(dump::element(&mut socket, &table(), &hosts.0, &[10, 0, 0, 7]).unwrap(), None);

        let rules = |socket: &mut Socket| dump::rules(socket, &table(), Some("reroute")).unwrap();
        let named = |name: &str| Rule::new("reroute", [Counter::default().into()]).comment(name);
        let old = rules(&mut socket)[0].handle.unwrap();
        let mut batch = Batch::new();
        batch.insert_rule_before(&table(), &named("before"), old);
        batch.append_rule(&table(), &named("last"));
        batch.replace_rule(&table(), &named("new"), old);
        batch.commit(&mut socket).unwrap();
        let found: Vec<_> = rules(&mut socket).into_iter().map(|rule| rule.comment.unwrap()).collect();
        assert_eq!(found, ["before", "new", "last"]);
        let mut batch = Batch::new();
        batch.flush_chain(&table(), "reroute");
        batch.delete_chain(&table(), "reroute");
        batch.commit(&mut socket).unwrap();
        assert!(dump::table(&mut socket, &table()).unwrap().unwrap().chain("reroute").is_none());
        let mut batch = Batch::new();
        batch.remove_table(&table());
        batch.remove_table(&TableId::inet("never-there"));
        batch.commit(&mut socket).unwrap();
        assert_eq!(dump::table(&mut socket, &table()).unwrap(), None);
    });
}
