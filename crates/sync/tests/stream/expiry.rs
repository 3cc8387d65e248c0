//! A kind whose history expired, where each kind has its own.

use std::sync::Mutex;
use std::time::Duration;

use tortie_api::{Key, Kind};
use tortie_store::memory::MemoryStore;
use tortie_store::{
    Abilities, Listing, Position, Selection, Store, StoreError, Stored, Watch, Write, WriteError, Written,
};
use tortie_sync::{Content, Message, NoCache, Sync};

/// A store that notes what is listed of it, and whose listings of one kind may fail.
struct Listed {
    inner: MemoryStore,
    selections: Mutex<Vec<Selection>>,
    failing: Mutex<bool>,
}

impl Store for Listed {
    fn describe(&self) -> String {
        "a store that notes what is listed".to_owned()
    }

    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.inner.get(key)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.inner.list(selection)
    }

    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        if *self.failing.lock().unwrap() {
            return Err(StoreError::Failed("it does not answer".to_owned()));
        }
        self.selections.lock().unwrap().push(selection.clone());
        self.inner.list_pages(selection, page)
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.inner.write(writes)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.inner.watch(selection, from)
    }
}

impl Listed {
    fn write_one(&self, write: Write) -> Written {
        self.write(&[write]).unwrap().remove(0).unwrap()
    }

    fn create(&self, key: &Key) -> Written {
        let name = &key.name;
        let text = format!(r#"{{"kind":"{}","metadata":{{"name":"{name}"}},"spec":{{}}}}"#, key.kind);
        self.write_one(Write::create(key.clone(), text.into_bytes()))
    }
}

/// What is sent now, in short; and the position that came with the last of it.
fn drain(sync: &mut Sync<'_>) -> (Vec<String>, Position) {
    let (mut sent, mut last) = (Vec::new(), Position::START);
    while let Some(message) = sync.next(Duration::ZERO) {
        match message {
            Message::Changes(changes, position) => {
                last = position;
                sent.extend(changes.iter().map(|change| {
                    let mark = if change.content == Content::Gone { "-" } else { "+" };
                    format!("{mark}{}", change.key)
                }));
            }
            Message::InSync(position) => last = position,
            Message::Lost(why) => sent.push(why),
        }
    }
    (sent, last)
}

#[test]
fn a_kind_that_expired_is_listed_again_alone_and_its_differences_are_sent() {
    let store =
        Listed { inner: MemoryStore::with_histories(), selections: Mutex::default(), failing: Mutex::new(false) };
    let tier = |name: &str| Key::cluster(Kind::Tier, name);
    let node = |name: &str| Key::cluster(Kind::Node, name);
    for key in [tier("kept"), tier("gone"), node("n")] {
        store.create(&key);
    }
    let mut sync = Sync::of(&store, Selection::for_enforcement("n"), NoCache);
    let (mut sent, _) = drain(&mut sync);
    sent.sort();
    assert_eq!(sent, ["+Node(n)", "+Tier(gone)", "+Tier(kept)"]);
    store.write_one(Write::delete(tier("gone"), None));
    let before = store.create(&tier("new"));
    let other = store.create(&node("m"));
    store.inner.expire(Kind::Tier);
    *store.failing.lock().unwrap() = true;
    let (sent, position) = drain(&mut sync);
    assert!(sent.contains(&"it does not answer".to_owned()), "{sent:?}");
    assert!(!position.has_reached(&before.position), "what was not read again is not known");
    *store.failing.lock().unwrap() = false;
    let (mut again, position) = drain(&mut sync);
    again.extend(sent);
    again.sort();
    assert_eq!(again, ["+Node(m)", "+Tier(new)", "-Tier(gone)", "it does not answer"]);
    assert!(position.has_reached(&before.position) && position.has_reached(&other.position));
    let all = Selection::for_enforcement("n");
    assert_eq!(*store.selections.lock().unwrap(), [all.clone(), all.of_kind(Kind::Tier)]);
    let later = store.create(&tier("later"));
    let (sent, position) = drain(&mut sync);
    assert_eq!(sent, ["+Tier(later)"]);
    assert!(position.has_reached(&later.position));
}
