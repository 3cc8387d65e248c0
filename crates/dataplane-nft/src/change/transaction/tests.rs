#[path = "../../../tests/common/follow.rs"]
#[allow(dead_code, unreachable_pub)] // these tests use a part of it
mod follow;

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

use tortie_nft::Key;
use tortie_testkit::worlds::Case;

use super::{Transaction, Transactions, only, still_asked};
use crate::kernel::Kernel;
use crate::options::TableOptions;
use follow::Followed;

impl<'a> Transactions<'a> {
    fn all(&self) -> impl Iterator<Item = &Transaction<'a>> {
        self.ahead.iter().chain([&self.main]).chain(&self.behind)
    }
}

/// What would let a packet in flight through, if all of it were one transaction.
fn opens(one: &Transaction<'_>) -> Vec<String> {
    let made: HashSet<&str> = one.chains_made.iter().map(|(name, _)| name.as_str()).collect();
    let led_to =
        one.leads_to().filter(|chain| made.contains(chain)).map(|chain| format!("makes {chain} and leads there"));
    let keys = |is_gone: bool| -> Vec<(&str, Key)> {
        let each = one.elements.iter().flat_map(|(set, gone, come)| {
            let [gone, come] = [gone, come].map(|all| all.iter().map(|one| (*one).clone()).collect::<Vec<_>>());
            let keys: Vec<Key> = if is_gone { only(&gone, &come) } else { only(&come, &gone) }.cloned().collect();
            keys.into_iter().map(|key| (set.name.as_str(), key))
        });
        each.collect()
    };
    let come: HashSet<Key> = keys(false).into_iter().map(|(_, key)| key).collect();
    let moved =
        keys(true).into_iter().filter(|(_, key)| come.contains(key)).map(|(map, _)| format!("moves out of {map}"));
    let asked: HashSet<&str> = one.altered.iter().flat_map(|(_, before, after)| still_asked(before, after)).collect();
    let turned = keys(true).into_iter().filter(|(map, _)| asked.contains(map));
    led_to.chain(moved).chain(turned.map(|(map, _)| format!("changes who is asked instead of {map}"))).collect()
}

/// Goes through worlds. What opens, and in how many transactions changes were made.
fn play(seeds: Range<u64>) -> (Vec<String>, BTreeSet<usize>) {
    let (mut wrong, mut counts) = (Vec::new(), BTreeSet::new());
    for seed in seeds {
        let (mut followed, mut kernel) = (Followed::new(), Kernel::open_unowned(TableOptions::default()).unwrap());
        for step in &Case::random(seed).steps {
            let Some(delta) = followed.step(step) else { continue };
            followed.state.apply(&delta).unwrap();
            let Some(change) = kernel.follow(&delta) else { continue };
            let transactions = change.transactions();
            counts.insert(transactions.all().count());
            let opens = transactions.all().flat_map(opens);
            wrong.extend(opens.map(|what| format!("seed {seed}: one transaction {what}")));
            // What rules look in changes with the rules.
            let others = transactions.ahead.iter().chain(&transactions.behind);
            assert!(others.clone().all(|one| one.members.is_empty() && one.altered.is_empty()), "seed {seed}");
            // What packets meet changes with the first of these or later, and nothing is undone that was in force.
            let ahead = transactions.ahead.iter();
            assert!(ahead.clone().all(|one| one.elements.is_empty() && one.bases_made.is_empty()), "seed {seed}");
            assert!(ahead.clone().all(|one| one.chains_gone.is_empty() && one.sets_gone.is_empty()), "seed {seed}");
        }
    }
    (wrong, counts)
}

#[test]
fn no_transaction_leads_to_a_chain_that_it_makes_or_removes_an_element_that_it_replaces_elsewhere() {
    let (wrong, counts) = play(0..300);
    assert_eq!(wrong, [] as [String; 0]);
    assert_eq!(counts, BTreeSet::from([1, 2, 3]));
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    use tortie_testkit::faults::{IN_FLIGHT, with};
    for fault in IN_FLIGHT {
        let wrong = with(fault, || play(0..300).0);
        eprintln!("{fault}: caught: {}", wrong.first().expect(fault));
    }
}
