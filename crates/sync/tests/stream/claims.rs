//! The stream: in sync once, differences only after a gap, and objects that cannot be read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_policy::{Action, Item};
use tortie_store::memory::MemoryStore;
use tortie_store::{
    Event, Layer, Listing, Op, Position, Revision, Selection, Store, StoreError, Stored, Watch, Write, WriteError,
    Written,
};
use tortie_sync::{Content, Message, NoCache, Replacement, Sync, Unreadable};

const SHORT: Duration = Duration::from_millis(1);

/// These claims are two modules, one for each kind of store.
fn new_store() -> MemoryStore {
    match module_path!().ends_with("one_history") {
        true => MemoryStore::new(),
        false => MemoryStore::with_histories(),
    }
}

fn policy(name: &str) -> Key {
    Key::cluster(Kind::GlobalNetworkPolicy, name)
}

fn value(key: &Key, spec: Value) -> Arc<[u8]> {
    let metadata = json!({ "name": key.name });
    let object =
        json!({ "kind": key.kind.name(), "apiVersion": "projectcalico.org/v3", "metadata": metadata, "spec": spec });
    serde_json::to_vec(&object).unwrap().into()
}

fn put(store: &dyn Store, key: &Key, spec: Value) -> Revision {
    let op = match store.get(key).unwrap() {
        Some(stored) => Op::Update(value(key, spec), stored.revision),
        None => Op::Create(value(key, spec)),
    };
    store.write(&[Write { key: key.clone(), op }]).unwrap().remove(0).unwrap().revision
}

fn delete(store: &dyn Store, key: &Key) {
    store.write(&[Write { key: key.clone(), op: Op::Delete(None) }]).unwrap().remove(0).unwrap();
}

/// Everything there is to tell now, in short.
fn drain(sync: &mut Sync<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(message) = sync.next(SHORT) {
        lines.push(match message {
            Message::Changes(changes, _) => changes
                .iter()
                .map(|change| {
                    let mark = if change.content == Content::Gone { "-" } else { "+" };
                    format!("{mark}{}", change.key.name)
                })
                .collect::<Vec<_>>()
                .join(" "),
            Message::InSync(_) => "in sync".to_owned(),
            Message::Lost(why) => format!("lost: {why}"),
        });
    }
    lines
}

#[test]
fn the_stream_sends_everything_then_in_sync_then_one_message_for_each_change() {
    let store = new_store();
    put(&store, &policy("a"), json!({}));
    put(&store, &policy("b"), json!({}));
    let mut sync = Sync::new(&store, NoCache);
    assert_eq!(drain(&mut sync), ["+a +b", "in sync"]);
    put(&store, &policy("c"), json!({}));
    delete(&store, &policy("a"));
    assert_eq!(drain(&mut sync), ["+c", "-a"]);
}

#[test]
fn an_empty_store_is_in_sync_at_once() {
    let store = new_store();
    let mut sync = Sync::new(&store, NoCache);
    assert_eq!(drain(&mut sync), ["", "in sync"]);
    put(&store, &policy("a"), json!({}));
    assert_eq!(drain(&mut sync), ["+a"]);
}

/// A store whose connection can be cut: watches end, and nothing answers until it is back.
struct Cut {
    inner: MemoryStore,
    away: Arc<AtomicBool>,
}

struct CutWatch(Box<dyn Watch>, Arc<AtomicBool>);

fn away() -> StoreError {
    StoreError::Failed("the store is away".to_owned())
}

impl Watch for CutWatch {
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
        if self.1.load(Ordering::SeqCst) { Err(away()) } else { self.0.next(wait) }
    }

    fn position(&self) -> Position {
        self.0.position()
    }

    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        self.0.resume(kind, from)
    }
}

impl Layer for Cut {
    fn below(&self) -> &dyn Store {
        &self.inner
    }

    fn on_list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        if self.away.load(Ordering::SeqCst) { Err(away()) } else { self.inner.list(selection) }
    }

    fn on_watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(CutWatch(self.inner.watch(selection, from)?, self.away.clone())))
    }
}

#[test]
fn an_outage_is_reported_once_and_then_the_changes_during_it() {
    let store = Cut { inner: new_store(), away: Arc::default() };
    for name in ["kept", "changed", "gone"] {
        put(&store, &policy(name), json!({}));
    }
    let mut sync = Sync::new(&store, NoCache);
    drain(&mut sync);
    store.away.store(true, Ordering::SeqCst);
    put(&store, &policy("changed"), json!({ "order": 1 }));
    delete(&store, &policy("gone"));
    put(&store, &policy("new"), json!({}));
    assert_eq!(drain(&mut sync), ["lost: the store is away"]);
    assert_eq!(sync.next(SHORT), None, "the loss is told once");
    store.away.store(false, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["+changed", "-gone", "+new"], "the watch goes on where it was");
    store.away.store(true, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["lost: the store is away"]);
    store.away.store(false, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), [""], "that it is heard again is told although nothing happened");
}

#[test]
fn changes_during_an_outage_that_were_compacted_are_sent_as_differences_in_one_message() {
    let store = Cut { inner: new_store(), away: Arc::default() };
    for name in ["kept", "changed", "gone"] {
        put(&store, &policy(name), json!({}));
    }
    let mut sync = Sync::new(&store, NoCache);
    drain(&mut sync);
    store.away.store(true, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["lost: the store is away"]);
    put(&store, &policy("changed"), json!({ "order": 1 }));
    delete(&store, &policy("gone"));
    put(&store, &policy("new"), json!({}));
    store.inner.compact();
    store.away.store(false, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["+changed +new -gone"]);
    put(&store, &policy("later"), json!({}));
    assert_eq!(drain(&mut sync), ["+later"]);
}

/// A store that lists each object on a page of its own, and whose listing may end after some pages.
struct Paged {
    inner: MemoryStore,
    most: Arc<AtomicUsize>,
}

impl Store for Paged {
    fn describe(&self) -> String {
        "a store of many pages".to_owned()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.inner.get(key)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.inner.list(selection)
    }

    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let listing = self.inner.list(selection)?;
        let (all, most) = (listing.items.len(), self.most.load(Ordering::SeqCst));
        listing.items.into_iter().take(most).for_each(|item| page(vec![item]));
        if most < all { Err(away()) } else { Ok(listing.position) }
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.inner.write(writes)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.inner.watch(selection, from)
    }
}

#[test]
fn the_first_listing_is_sent_page_by_page_and_later_ones_as_a_whole_or_not_at_all() {
    let store = Paged { inner: new_store(), most: Arc::new(AtomicUsize::new(2)) };
    for name in ["a", "b", "c"] {
        put(&store, &policy(name), json!({}));
    }
    let mut sync = Sync::new(&store, NoCache);
    assert_eq!(drain(&mut sync), ["+a", "lost: the store is away"]);
    delete(&store, &policy("a"));
    store.most.store(10, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["+b", "+c -a", "in sync"], "what was told is not told again");
    for name in ["b", "c", "d"] {
        put(&store, &policy(name), json!({ "order": 2 }));
    }
    store.inner.compact();
    store.most.store(2, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["lost: the store is away"], "a part of the changes is not told");
    store.most.store(10, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["+b +c +d"]);
}

#[test]
fn a_compacted_watch_lists_again_and_sends_only_differences() {
    let store = new_store();
    put(&store, &policy("a"), json!({}));
    let mut sync = Sync::new(&store, NoCache);
    drain(&mut sync);
    put(&store, &policy("b"), json!({}));
    put(&store, &policy("c"), json!({}));
    delete(&store, &policy("b"));
    store.compact();
    assert_eq!(drain(&mut sync), ["+c"]);
}

/// The one change of a store with one object.
fn only(store: &dyn Store, sync: &mut Sync<'_>) -> tortie_sync::Change {
    let _ = store;
    loop {
        if let Some(Message::Changes(mut changes, _)) = sync.next(SHORT)
            && !changes.is_empty()
        {
            return changes.remove(0);
        }
    }
}

fn rules(change: &tortie_sync::Change) -> Vec<(Action, usize)> {
    let Content::Item(item) = &change.content else { panic!("{change:?}") };
    let Item::Policy(policy) = &**item else { panic!("{change:?}") };
    policy.ingress.iter().map(|rule| (rule.action, rule.destination.nets.len())).collect()
}

#[test]
fn the_last_valid_version_stays_in_force_and_the_change_says_so() {
    let store = new_store();
    let good = put(&store, &policy("p"), json!({ "ingress": [{ "action": "Allow" }] }));
    let kept = RefCell::new(BTreeMap::new());
    let mut sync = Sync::new(&store, kept);
    drain(&mut sync);
    put(&store, &policy("p"), json!({ "ingress": [{ "action": "Allow", "destination": { "nets": ["nonsense"] } }] }));
    let change = only(&store, &mut sync);
    assert_eq!(rules(&change), [(Action::Allow, 0)]);
    let unreadable = change.unreadable.unwrap();
    assert_eq!(unreadable.replacement, Replacement::LastValid(good));
    assert!(unreadable.reasons[0].contains("spec.ingress[0].destination.nets[0]"), "{:?}", unreadable.reasons);
}

#[test]
fn without_a_last_valid_version_each_unreadable_rule_denies() {
    let store = new_store();
    let bad = json!({ "nets": ["nonsense"] });
    put(
        &store,
        &policy("p"),
        json!({ "order": "soon", "ingress": [
            { "action": "Allow", "destination": bad },
            { "action": "Deny", "protocol": "TCP", "destination": bad },
            { "action": "Log", "destination": bad },
            { "action": "Frobnicate", "protocol": "UDP" },
            { "action": "Deny", "protocol": [] },
            { "action": "Allow", "destination": { "nets": ["10.0.0.0/8"] } },
            17,
        ] }),
    );
    let mut sync = Sync::new(&store, NoCache);
    let change = only(&store, &mut sync);
    use Action::{Allow, Deny, Log};
    let want = [Allow, Deny, Log, Deny, Deny, Allow, Deny];
    assert_eq!(rules(&change).iter().map(|rule| rule.0).collect::<Vec<_>>(), want);
    let Content::Item(item) = &change.content else { panic!() };
    let Item::Policy(policy) = &**item else { panic!() };
    let never: Vec<bool> = policy.ingress.iter().map(|rule| rule.never).collect();
    assert_eq!(never, [true, false, true, false, false, true, false], "of a policy without an order only denies count");
    assert!(policy.ingress[1].protocol.is_some(), "what could be read of a Deny stays");
    assert!(policy.ingress[4].protocol.is_none(), "a condition of a wrong type is not a condition");
    assert_eq!(change.unreadable.unwrap().replacement, Replacement::DenyByDefault);
}

#[test]
fn an_unreadable_selector_denies_everywhere_and_allows_nowhere_and_other_policies_are_unaffected() {
    let store = new_store();
    let rules = json!([{ "action": "Allow" }, { "action": "Deny" }, { "action": "Pass" }]);
    put(&store, &policy("bad"), json!({ "selector": "a = b", "ingress": rules }));
    put(&store, &policy("good"), json!({ "selector": "a == 'b'" }));
    let mut sync = Sync::new(&store, NoCache);
    let Some(Message::Changes(changes, _)) = sync.next(SHORT) else { panic!() };
    let Content::Item(item) = &changes[0].content else { panic!() };
    let Item::Policy(policy) = &**item else { panic!() };
    assert_eq!(policy.selector.as_str(), "all()");
    let left: Vec<_> = policy.ingress.iter().map(|rule| (rule.action, rule.never)).collect();
    assert_eq!(left, [(Action::Allow, true), (Action::Deny, false), (Action::Deny, false)]);
    assert_eq!(changes[0].unreadable.as_ref().unwrap().replacement, Replacement::DenyByDefault);
    assert!(changes[1].unreadable.is_none());
}

#[test]
fn bytes_that_are_not_an_object_are_reported_with_their_key() {
    let store = new_store();
    let key = policy("p");
    store.write(&[Write { key: key.clone(), op: Op::Create(b"\xff{".to_vec().into()) }]).unwrap().remove(0).unwrap();
    let mut sync = Sync::new(&store, NoCache);
    let change = only(&store, &mut sync);
    assert_eq!((change.key, change.content), (key, Content::Gone));
    assert!(change.unreadable.is_some());
}

#[test]
fn an_unreadable_workload_is_closed_by_being_absent_and_a_host_endpoint_keeps_its_interface() {
    let store = new_store();
    let key = Key::cluster(Kind::HostEndpoint, "h");
    put(
        &store,
        &key,
        json!({ "node": "n", "interfaceName": "eth0", "expectedIPs": ["nonsense"], "profiles": ["open"] }),
    );
    let mut sync = Sync::new(&store, NoCache);
    let change = only(&store, &mut sync);
    let Content::Item(item) = &change.content else { panic!("{change:?}") };
    let Item::HostEndpoint(endpoint) = &**item else { panic!() };
    assert!(endpoint.addresses.is_empty() && endpoint.profiles == ["open"]);
}

/// What stands for a network set that is written like this and has no last valid version.
fn set(nets: Value) -> (tortie_policy::NetworkSet, Option<Unreadable>) {
    let store = new_store();
    put(&store, &Key::cluster(Kind::GlobalNetworkSet, "s"), json!({ "nets": nets }));
    let mut sync = Sync::new(&store, NoCache);
    let change = only(&store, &mut sync);
    let Content::Item(item) = change.content else { panic!("{change:?}") };
    let Item::NetworkSet(set) = *item else { panic!() };
    (set, change.unreadable)
}

#[test]
fn a_set_with_a_net_that_cannot_be_read_is_incomplete_and_says_so() {
    let (good, unreadable) = set(json!(["10.0.0.0/8"]));
    assert!(!good.incomplete && good.nets.len() == 1 && unreadable.is_none());
    for nets in [json!(["10.0.0.0/8", "10.0.0.0/33"]), json!("10.0.0.0/8"), json!([17])] {
        let (set, unreadable) = set(nets.clone());
        let known = usize::from(nets[0] == "10.0.0.0/8");
        assert!(set.incomplete && set.nets.len() == known, "{nets}");
        let unreadable = unreadable.unwrap();
        assert_eq!(unreadable.replacement, Replacement::DenyByDefault);
        assert!(unreadable.reasons[0].starts_with("spec"), "{:?}", unreadable.reasons);
    }
}

#[test]
fn a_set_over_its_limit_keeps_its_last_valid_version_and_is_incomplete_without_one() {
    let nets: Vec<String> = (0..=tortie_policy::NetworkSet::LIMIT as u32)
        .map(|number| std::net::Ipv4Addr::from_bits(number).to_string())
        .collect();
    let (too_large, unreadable) = set(json!(nets));
    assert!(too_large.incomplete);
    assert_eq!(
        unreadable.unwrap().reasons[0].split(" (").next(),
        Some("spec.nets: 1048577 nets are more than 1048576")
    );
    let store = new_store();
    let key = Key::cluster(Kind::GlobalNetworkSet, "s");
    let good = put(&store, &key, json!({ "nets": ["10.0.0.0/8"] }));
    let mut sync = Sync::new(&store, RefCell::new(BTreeMap::new()));
    drain(&mut sync);
    put(&store, &key, json!({ "nets": nets }));
    let change = only(&store, &mut sync);
    assert_eq!(change.unreadable.unwrap().replacement, Replacement::LastValid(good));
    let Content::Item(item) = change.content else { panic!() };
    let Item::NetworkSet(set) = *item else { panic!() };
    assert!(!set.incomplete && set.nets.len() == 1);
}

#[test]
fn a_store_that_answers_again_unchanged_sends_an_empty_message() {
    let store = Cut { inner: new_store(), away: Arc::default() };
    let mut sync = Sync::new(&store, NoCache);
    drain(&mut sync);
    store.away.store(true, Ordering::SeqCst);
    assert_eq!(drain(&mut sync), ["lost: the store is away"]);
    store.away.store(false, Ordering::SeqCst);
    let position = store.inner.position().unwrap();
    assert_eq!(sync.next(SHORT), Some(Message::Changes(Vec::new(), position)));
    assert_eq!(sync.next(SHORT), None);
}

/// Reads until a message has this position; how many there were. None of them has a change.
fn messages_until(sync: &mut Sync<'_>, reached: &Position) -> usize {
    let deadline = Instant::now() + Duration::from_secs(20);
    for read in 1.. {
        let message = loop {
            assert!(Instant::now() < deadline, "{reached} is never told");
            if let Some(message) = sync.next(SHORT) {
                break message;
            }
        };
        let Message::Changes(changes, position) = message else { panic!("{message:?}") };
        assert_eq!(changes, [], "nothing of this concerns the reader");
        if position.has_reached(reached) {
            return read;
        }
    }
    unreachable!()
}

#[test]
fn a_position_that_moves_on_without_a_change_is_told_and_not_for_each_move() {
    let store = new_store();
    let in_namespace = |namespace: &str| Selection { namespace: Some(namespace.to_owned()), ..Selection::default() };
    let mut sync = Sync::of(&store, in_namespace("shop"), NoCache);
    drain(&mut sync);
    let elsewhere = |name: &str| Key::namespaced(Kind::NetworkPolicy, "elsewhere", name);
    let start = Instant::now();
    let mut told = 0;
    for each in 0..100 {
        put(&store, &elsewhere(&format!("p{each}")), json!({}));
        told += usize::from(sync.next(Duration::ZERO).is_some());
    }
    told += messages_until(&mut sync, &store.position().unwrap());
    assert!(told as u64 <= start.elapsed().as_secs() + 1, "more than one message a second: {told}");
}

#[test]
fn the_deletion_of_what_was_never_sent_moves_the_position_on_too() {
    /// A store whose new objects are, to this reader, no longer there.
    struct Hidden(MemoryStore);
    struct HiddenWatch(Box<dyn Watch>);
    impl Watch for HiddenWatch {
        fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError> {
            let event = self.0.next(wait)?;
            Ok(event.map(|event| Event::Deleted(event.key().clone(), event.revision().clone())))
        }

        fn position(&self) -> Position {
            self.0.position()
        }
    }
    impl Layer for Hidden {
        fn below(&self) -> &dyn Store {
            &self.0
        }

        fn on_watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
            Ok(Box::new(HiddenWatch(self.0.watch(selection, from)?)))
        }
    }
    let store = Hidden(new_store());
    let mut sync = Sync::new(&store, NoCache);
    drain(&mut sync);
    put(&store, &policy("p"), json!({}));
    messages_until(&mut sync, &store.0.position().unwrap());
}
