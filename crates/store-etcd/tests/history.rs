//! Who changed what, how it is put back, and what other programs on the same etcd see of that: nothing.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::Cluster;
use tortie_api::{Key, Kind};
use tortie_store::conformance::history::{self, author, content, key, names, write, writes};
use tortie_store::{History, Selection, Store, Write};
use tortie_store_etcd::{EtcdStore, Settings, User};

const PREFIX: &str = "/tortie/history/v1/";

fn one() -> (Cluster, EtcdStore) {
    let cluster = Cluster::start(1);
    let store = EtcdStore::new(cluster.settings());
    (cluster, store)
}

/// Writes objects as another program does.
fn elsewhere(cluster: &Cluster, store: &EtcdStore, objects: &[(&str, Option<&str>)]) {
    let other = EtcdStore::new(cluster.settings());
    assert!(other.write_together(&writes(store, objects)).unwrap().stopped.is_none());
}

fn text(value: &Option<Arc<[u8]>>) -> Option<String> {
    value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned())
}

#[test]
fn a_history_entry_has_its_author_and_the_content_before_each_change_also_after_a_compaction() {
    let (cluster, store) = one();
    write(&store, &[("a", Some("1"))], false);
    let entry = write(&store, &[("a", Some("2")), ("b", Some("1"))], false);
    let revision = store.get(&key("a")).unwrap().unwrap().revision.number().unwrap();
    assert_eq!((entry.first, entry.last), (revision, revision), "it has the revision of its objects");
    assert_eq!(entry.author, author(false));
    cluster.ctl(&["compact", &store.position().unwrap().number_or_never().to_string()]);
    let found: Vec<_> = store.changes(&entry).unwrap();
    let found: Vec<_> = found.iter().map(|one| (one.key.name.as_str(), text(&one.before), text(&one.after))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found, [("a", some("1"), some("2")), ("b", None, some("1"))]);
    // What changed nothing is no entry; nor is what another program does.
    assert!(store.write_together(&[Write::create(key("a"), *b"3")]).unwrap().stopped.is_some());
    elsewhere(&cluster, &store, &[("c", Some("theirs"))]);
    assert_eq!(store.entries().unwrap().len(), 2);
    assert_eq!(store.entries_between(entry.first, entry.last).unwrap(), [entry]);
}

#[test]
fn every_way_of_writing_is_recorded() {
    let (cluster, store) = one();
    store.set_author(author(false));
    // One by one, in chunks of a call, and in several transactions: each call is one entry.
    store.write(&[Write::create(key("a"), *b"1")]).unwrap()[0].as_ref().unwrap();
    store.write(&[Write::delete(key("a"), None)]).unwrap()[0].as_ref().unwrap();
    let many: Vec<Write> = (0..30).map(|n| Write::create(key(&format!("m{n}")), *b"1")).collect();
    assert!(store.write(&many).unwrap().iter().all(Result::is_ok));
    let more: Vec<Write> = (0..250).map(|n| Write::create(key(&format!("w{n}")), *b"1")).collect();
    assert!(store.write_together(&more).unwrap().stopped.is_none());
    let entries = store.entries().unwrap();
    let counts: Vec<usize> = entries.iter().map(|entry| store.changes(entry).unwrap().len()).collect();
    assert_eq!(counts, [250, 30, 1, 1]);
    assert!(entries[0].last > entries[0].first, "it took several transactions");
    // What is kept in part only is not taken back in part.
    let first = cluster.ctl(&["get", &format!("{PREFIX}acts/"), "--prefix", "--keys-only"]);
    let ids: Vec<&str> = first.split_whitespace().collect();
    let entry = entries[0].clone();
    cluster.ctl(&["del", ids[ids.len() - 2]]);
    let error = store.changes(&entry).unwrap_err().to_string();
    assert!(error.contains("a part of what was written") && error.contains("is no longer kept"), "{error}");
    cluster.ctl(&["del", ids[ids.len() - 3]]);
    assert_eq!(store.entries().unwrap()[0], entries[1], "what has lost its beginning is not listed");
    assert_eq!(text(&store.changes(&entries[2]).unwrap()[0].before).as_deref(), Some("1"));
    // Nobody has said who writes.
    let (_cluster, store) = one();
    store.write(&[Write::create(key("a"), *b"1")]).unwrap()[0].as_ref().unwrap();
    assert_eq!(store.entries().unwrap(), []);
}

#[test]
fn listings_and_watches_of_objects_do_not_contain_the_history() {
    let (cluster, store) = one();
    let mut watch = store.watch(&Selection::default(), &0.into()).unwrap();
    write(&store, &[("a", Some("1"))], false);
    write(&store, &[("a", Some("2"))], true);
    let revisions: Vec<String> = (0..2)
        .map(|_| watch.next(support::PATIENCE).unwrap().unwrap())
        .map(|event| event.revision().to_string())
        .collect();
    assert_eq!(revisions, ["2", "3"], "a change and its record are one revision");
    assert!(watch.next(Duration::from_millis(100)).unwrap().is_none());
    assert_eq!(store.list(&Selection::default()).unwrap().items.len(), 1);
    assert!(store.unread().is_empty());
    let calico = cluster.ctl(&["get", "/calico", "--prefix", "--keys-only"]);
    assert_eq!(calico.split_whitespace().count(), 1, "{calico}");
    let ours = cluster.ctl(&["get", PREFIX, "--prefix", "--keys-only"]);
    assert_eq!(ours.split_whitespace().count(), 5, "{ours}");
    let all = cluster.ctl(&["get", "", "--prefix", "--keys-only"]);
    assert_eq!(all.split_whitespace().count(), 6, "{all}");
}

#[test]
fn the_history_keeps_no_more_than_its_limits() {
    let (cluster, store) = one();
    write(&store, &[("waits", Some("1"))], true);
    for n in 0..1_160 {
        store.write(&[Write::create(key(&format!("n{n}")), *b"1")]).unwrap()[0].as_ref().unwrap();
    }
    let count = |what: &str| {
        let found = cluster.ctl(&["get", &format!("{PREFIX}{what}/"), "--prefix", "--keys-only"]);
        found.split_whitespace().count()
    };
    assert_eq!((count("acts"), count("images")), (1_161, 1_161), "what waits for a confirmation keeps all after it");
    let entry = store.pending().unwrap().remove(0).0;
    assert!(store.confirm(&entry).unwrap());
    for n in 0..40 {
        store.write(&[Write::delete(key(&format!("n{n}")), None)]).unwrap()[0].as_ref().unwrap();
    }
    let (entries, images) = (count("acts"), count("images"));
    assert!((1_000..=1_050).contains(&entries) && entries == images, "{entries} {images}");
    assert_eq!(store.entries().unwrap().len(), entries);
    // Bytes are bounded too.
    let value = vec![b'x'; 400 << 10];
    store.write(&[Write::create(key("large"), value.clone())]).unwrap()[0].as_ref().unwrap();
    for _ in 0..64 {
        let revision = store.get(&key("large")).unwrap().unwrap().revision;
        store.write(&[Write::update(key("large"), value.clone(), revision)]).unwrap()[0].as_ref().unwrap();
    }
    let entries = store.entries().unwrap().len();
    assert!(entries < 64, "{entries} times 800 KiB");
}

#[test]
fn a_user_without_permission_for_the_history_writes_with_a_warning() {
    let cluster = Cluster::start(1);
    for words in [
        "user add root:secret",
        "user grant-role root root",
        "role add writes",
        "role grant-permission writes readwrite --prefix=true /calico/",
        "user add writer:secret",
        "user grant-role writer writes",
        "auth enable",
    ] {
        cluster.ctl(&words.split(' ').collect::<Vec<_>>());
    }
    let user = Some(User { name: "writer".into(), password: "secret".into() });
    let store = EtcdStore::new(Settings { user, ..cluster.settings() });
    store.set_author(author(false));
    assert!(store.write_together(&writes(&store, &[("a", Some("1"))])).unwrap().stopped.is_none());
    let many: Vec<Write> = (0..250).map(|n| Write::create(key(&format!("m{n}")), *b"1")).collect();
    assert!(store.write_together(&many).unwrap().stopped.is_none());
    assert!(store.write(&many).unwrap().iter().all(Result::is_err));
    let why = store.not_kept().unwrap();
    assert_eq!(why, "etcd does not let this user write below /tortie/history/");
    let error = store.entries().unwrap_err().to_string();
    assert!(error.contains("it takes permission to read and write /tortie/history/v1/"), "{error}");
    assert_eq!(store.pending().unwrap_err().to_string(), error, "who may not put back is not asked to");
    // What must be kept is not written.
    store.set_author(author(true));
    let error = store.write_together(&writes(&store, &[("b", Some("1"))])).unwrap_err().to_string();
    assert!(error.contains("nothing was written") && store.get(&key("b")).unwrap().is_none(), "{error}");
    assert!(store.write(&writes(&store, &[("b", Some("1"))])).is_err());
    assert!(store.get(&key("b")).unwrap().is_none());
}

#[test]
fn an_object_that_is_too_large_for_a_record_is_written_without_one() {
    let (_cluster, store) = one();
    let value = vec![b'x'; 900 << 10];
    store.set_author(author(false));
    store.write(&[Write::create(key("a"), value.clone())]).unwrap()[0].as_ref().unwrap();
    assert_eq!(store.not_kept().as_deref(), Some("hostendpoint/a is too large to be kept with what it was before"));
    assert_eq!(store.entries().unwrap(), []);
    store.set_author(author(true));
    let error = store.write_together(&[Write::create(key("b"), value)]).unwrap_err().to_string();
    assert!(error.contains("nothing was written"), "{error}");
    assert!(store.get(&key("b")).unwrap().is_none());
}

#[test]
fn an_unconfirmed_change_is_put_back_byte_for_byte() {
    let (_cluster, store) = one();
    history::an_unconfirmed_change_is_put_back_byte_for_byte(&store);
}

#[test]
fn a_confirmed_change_stays() {
    let (_cluster, store) = one();
    history::a_confirmed_change_stays(&store);
}

#[test]
fn what_takes_another_entry_back_says_so() {
    let (_cluster, store) = one();
    history::what_takes_another_entry_back_says_so(&store);
}

#[test]
fn a_change_of_which_a_part_cannot_be_kept_is_not_written_if_it_is_to_wait() {
    let (_cluster, store) = one();
    store.set_author(author(true));
    // One object that etcd takes, and that is too large together with its record.
    let large = Write::create(key("large"), vec![b'1'; 1_200_000]);
    let many: Vec<Write> = (0..250).map(|n| Write::create(key(&format!("m{n}")), *b"1")).collect();
    for writes in [vec![large.clone()], [many, vec![large]].concat()] {
        let error = store.write_together(&writes).unwrap_err().to_string();
        assert!(error.contains("hostendpoint/large is too large to be kept"), "{error}");
        assert!(error.contains("nothing was written") && !error.contains("cannot be used"), "{error}");
        assert_eq!((content(&store).as_str(), store.pending().unwrap().len()), ("", 0));
    }
}

#[test]
fn objects_that_another_program_changed_since_stay_and_the_others_are_put_back() {
    let (cluster, store) = one();
    write(&store, &[("a", Some("1")), ("b", Some("1")), ("c", Some("1")), ("d", Some("1"))], false);
    let entry = write(&store, &[("a", Some("2")), ("b", Some("2")), ("c", Some("2")), ("d", None)], true);
    elsewhere(&cluster, &store, &[("b", Some("theirs")), ("d", Some("theirs"))]);
    // Also to the same content.
    elsewhere(&cluster, &store, &[("c", Some("3"))]);
    elsewhere(&cluster, &store, &[("c", Some("2"))]);
    let (restored, left) = names(store.put_back(&entry).unwrap());
    assert_eq!((restored, left), (vec!["a".into()], vec!["b".into(), "c".into(), "d".into()]));
    assert_eq!(content(&store), "a=1 b=theirs c=2 d=theirs");
}

#[test]
fn a_tier_that_policies_of_others_are_in_is_not_put_back() {
    let (_cluster, store) = one();
    history::a_tier_that_policies_of_others_are_in_is_not_put_back(&store);
}

/// Writes that create the policies of a tier, then the tier, and change what is there: several transactions.
fn large_change(store: &EtcdStore, there: usize) -> Vec<Write> {
    let policy = |n: usize| {
        Write::create(Key::cluster(Kind::GlobalNetworkPolicy, format!("p{n}")), *br#"{"spec":{"tier":"extra"}}"#)
    };
    let names: Vec<String> = (0..there).map(|n| format!("w{n}")).collect();
    let objects: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (name.as_str(), (n % 3 > 0).then_some("2"))).collect();
    let tier = Write::create(Key::cluster(Kind::Tier, "extra"), *b"{}");
    (0..120).map(policy).chain([tier]).chain(writes(store, &objects)).collect()
}

#[test]
fn a_change_of_several_transactions_is_put_back_whole_and_confirmed_whole() {
    let (_cluster, store) = one();
    store.set_author(author(false));
    let there: Vec<Write> = (0..150).map(|n| Write::create(key(&format!("w{n}")), *b"1")).collect();
    assert!(store.write_together(&there).unwrap().stopped.is_none());
    let before = content(&store);
    let change = |confirm| {
        let writes = large_change(&store, 150);
        store.set_author(author(confirm));
        assert!(store.write_together(&writes).unwrap().stopped.is_none());
        store.set_author(author(false));
        let (entry, pending) = store.pending().unwrap().remove(0);
        assert_eq!((store.pending().unwrap().len(), Some(pending)), (1, entry.pending));
        assert!(entry.last > entry.first, "it took several transactions");
        (writes.len(), entry)
    };
    let (count, entry) = change(true);
    store.note_enforced(&entry, 5).unwrap();
    assert_eq!(store.pending().unwrap()[0].1.enforced, Some(5));
    let done = store.put_back(&entry).unwrap().unwrap();
    assert_eq!((done.restored.len(), done.left.len() + done.in_use.len() + done.waiting.len()), (count, 0));
    assert_eq!(content(&store), before);
    let entries = store.entries().unwrap();
    assert_eq!((entries[0].puts_back, entries[1].expired, entries[1].pending), (Some(entry.first), true, None));
    assert_eq!((store.changes(&entries[0]).unwrap().len(), entries[1].first), (count, entry.first));
    // Who puts it back ends after the first transaction: then it is too late to confirm, and another goes on.
    let (count, entry) = change(true);
    let last = tortie_store::HistoryEntry { first: entry.last, ..entry.clone() };
    let some = store.put_back(&last).unwrap().unwrap().restored.len();
    assert!(some > 0 && some < count);
    assert!(!store.confirm(&entry).unwrap());
    let waits = store.pending().unwrap().remove(0).0;
    assert_eq!(store.put_back(&waits).unwrap().unwrap().restored.len(), count - some);
    assert_eq!(content(&store), before);
    let (_, entry) = change(true);
    assert!(store.confirm(&entry).unwrap());
    assert_eq!((store.pending().unwrap().len(), store.put_back(&entry).unwrap()), (0, None));
    assert_ne!(content(&store), before);
}

#[test]
fn what_is_confirmed_while_it_is_written_gets_no_more_parts_that_wait() {
    let (cluster, store) = one();
    let many: Vec<Write> = (0..1_500).map(|n| Write::create(key(&format!("n{n}")), *b"1")).collect();
    let handle = cluster.settings();
    let writer = std::thread::spawn(move || {
        let store = EtcdStore::new(handle);
        store.set_author(author(true));
        store.write_together(&many).unwrap()
    });
    let entry = loop {
        match store.pending().unwrap().pop() {
            Some((entry, _)) => break entry,
            None => std::thread::yield_now(),
        }
    };
    let is_confirmed = store.confirm(&entry).unwrap();
    let written = writer.join().unwrap();
    if is_confirmed && written.made.len() < 1_500 {
        let Some(tortie_store::Stopped::Failed(error)) = written.stopped else { panic!("{:?}", written.stopped) };
        assert!(error.to_string().contains("was confirmed, or put back, meanwhile"), "{error}");
    }
    assert_eq!(store.pending().unwrap().len(), usize::from(!is_confirmed));
}

#[test]
fn in_small_transactions_too_the_last_confirmed_version_remains_in_whatever_order_changes_end() {
    // Six objects, what they were, who wrote them and the deadline are too many; three are not.
    let cluster = Cluster::start_with(1, &["--max-txn-ops=8"]);
    let store = EtcdStore::new(cluster.settings());
    let names = ["a", "b", "c", "d", "e", "f"];
    history::in_whatever_order_changes_are_confirmed_or_expire_the_last_confirmed_version_remains(&store, &names, 60);
}

#[test]
fn in_whatever_order_changes_are_confirmed_or_expire_the_last_confirmed_version_remains() {
    let (_cluster, store) = one();
    history::in_whatever_order_changes_are_confirmed_or_expire_the_last_confirmed_version_remains(
        &store,
        &["a", "b", "c"],
        90,
    );
}
