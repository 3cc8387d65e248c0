//! A server that has too much to do asks for patience: it gets it, for as long as the caller has some. One that no longer
//! has the history that is asked for says so, and nothing is passed over. The server is made by hand, since a real one is
//! seldom so.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_store::{Selection, Store, StoreError, Write};
use tortie_store_kube::custom::Group;
use tortie_store_kube::{KubeStore, RawSettings, Settings};

/// What is answered: a code, how many seconds to wait, and a body; null is an empty one.
type Answer = (u16, Option<u64>, Value);

/// A server that gives these answers to requests for anything under a path, and what it was asked when.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<(String, Instant)>>>,
}

impl Server {
    fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers = VecDeque::from_iter(answers);
        Self::answering(move |_| answers.pop_front())
    }

    /// A server that answers each request, of which this is the first line, until it has no answer.
    fn answering(mut answer: impl FnMut(&str) -> Option<Answer> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some(line) = request(stream.as_ref().unwrap()) else { continue };
                seen.lock().unwrap().push((line.clone(), Instant::now()));
                let Some((code, wait, body)) = answer(&line) else { return };
                let wait = wait.map_or(String::new(), |seconds| format!("Retry-After: {seconds}\r\n"));
                let body = if body.is_null() { String::new() } else { format!("{body}\n") };
                let head =
                    format!("HTTP/1.1 {code} x\r\nConnection: close\r\n{wait}Content-Length: {}\r\n\r\n", body.len());
                stream.unwrap().write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { url, asked }
    }

    fn store(&self, patience: Duration) -> KubeStore {
        let given = RawSettings { endpoint: self.url.clone(), ..RawSettings::default() };
        let settings = Settings::new(&given, &|_| None).unwrap();
        KubeStore::new(Settings { group: Some(Group::Native), patience, ..settings }).unwrap()
    }

    /// The requests, and how long after the one before each came.
    fn asked(&self) -> Vec<(String, Duration)> {
        let asked = self.asked.lock().unwrap();
        let before = asked.first().map(|(_, at)| *at).into_iter().chain(asked.iter().map(|(_, at)| *at));
        asked.iter().zip(before).map(|((line, at), before)| (line.clone(), *at - before)).collect()
    }
}

/// The first line of a request, which is read to its end.
fn request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(first.trim_end_matches(" HTTP/1.1\r\n").to_owned())
}

fn slow(seconds: u64) -> Answer {
    (429, Some(seconds), json!({ "kind": "Status", "code": 429, "message": "too many requests" }))
}

fn tier() -> Value {
    json!({ "apiVersion": "projectcalico.org/v3", "kind": "Tier",
        "metadata": { "name": "a", "resourceVersion": "7" }, "spec": { "order": 1 } })
}

fn tiers() -> Value {
    json!({ "metadata": { "resourceVersion": "9" }, "items": [tier()] })
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_list_waits_as_long_as_the_server_asks_for() {
    let server = Server::start([slow(1), slow(2), (200, None, tiers())]);
    let listing = server.store(LONG).list(&Selection::kind(Kind::Tier)).unwrap();
    assert_eq!(listing.items[0].key, Key::cluster(Kind::Tier, "a"));
    let asked = server.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked[1].1 >= Duration::from_secs(1) && asked[2].1 >= Duration::from_secs(2), "{asked:?}");
}

#[test]
fn a_write_that_was_not_begun_is_made_once_the_server_takes_it() {
    let server = Server::start([slow(1), (201, None, tier())]);
    let write = Write::create(Key::cluster(Kind::Tier, "a"), &br#"{"spec":{"order":1}}"#[..]);
    let written = server.store(LONG).write(&[write]).unwrap().remove(0).unwrap();
    assert_eq!(written.revision.to_string(), "7");
    let lines: Vec<_> = server.asked().into_iter().map(|(line, _)| line).collect();
    let post = "POST /apis/projectcalico.org/v3/tiers".to_owned();
    assert_eq!(lines, [post.clone(), post]);
}

#[test]
fn a_request_whose_time_is_over_fails_with_the_reason() {
    let server = Server::start([slow(1), slow(3_600), slow(3_600)]);
    let begin = Instant::now();
    let error = server.store(LONG).list(&Selection::kind(Kind::Tier)).unwrap_err().to_string();
    assert!(error.contains("it asks for patience: too many requests"), "{error}");
    assert!(begin.elapsed() < LONG, "nothing is waited for in vain");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_watch_is_opened_again_when_the_server_takes_it() {
    let change = json!({ "type": "MODIFIED", "object": tier() });
    let server = Server::start([(200, None, tiers()), slow(1), (200, None, change)]);
    let store = server.store(LONG);
    let selection = Selection::kind(Kind::Tier);
    let position = store.list(&selection).unwrap().position;
    let mut watch = store.watch(&selection, &position).unwrap();
    let deadline = Instant::now() + LONG;
    let event = loop {
        assert!(Instant::now() < deadline, "no event: {:?}", server.asked());
        // It may say that the server is away.
        if let Ok(Some(event)) = watch.next(Duration::from_secs(1)) {
            break event;
        }
    };
    assert_eq!(*event.key(), Key::cluster(Kind::Tier, "a"));
    assert!(server.asked()[2].1 >= Duration::from_secs(1), "{:?}", server.asked());
}

/// What a server says of a version that it no longer has, as the answer or within a watch.
fn gone() -> Value {
    json!({ "kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version: 9 (20)" })
}

#[test]
fn a_watch_whose_position_the_server_no_longer_has_says_so_and_goes_on_only_from_a_new_list() {
    for first in [(410, None, gone()), (200, None, json!({ "type": "ERROR", "object": gone() }))] {
        let newer = json!({ "metadata": { "resourceVersion": "20" }, "items": [] });
        let mut late = tier();
        late["metadata"]["resourceVersion"] = json!("21");
        let change = json!({ "type": "ADDED", "object": late });
        let server = Server::start([(200, None, tiers()), first, (200, None, newer), (200, None, change)]);
        let store = server.store(LONG);
        let selection = Selection::kind(Kind::Tier);
        let position = store.list(&selection).unwrap().position;
        let mut watch = store.watch(&selection, &position).unwrap();
        let mut next = || watch.next(LONG);
        assert!(matches!(next(), Err(StoreError::Expired { kind: Kind::Tier })));
        assert_eq!(server.asked().len(), 2, "a list is the caller's: {:?}", server.asked());
        let listing = store.list(&selection).unwrap();
        assert!(listing.items.is_empty(), "the tier was deleted in the time that nobody knows of");
        watch.resume(Kind::Tier, &listing.position).unwrap();
        let event = watch.next(LONG).unwrap().expect("a change");
        assert_eq!(*event.key(), Key::cluster(Kind::Tier, "a"));
        assert!(server.asked()[3].0.ends_with("&resourceVersion=20"), "{:?}", server.asked());
    }
}

#[test]
fn a_list_whose_further_pages_the_server_no_longer_has_is_begun_again() {
    let mut first = tiers();
    first["metadata"]["continue"] = json!("more");
    let server = Server::start([(200, None, first), (410, None, gone()), (200, None, tiers())]);
    let listing = server.store(LONG).list(&Selection::kind(Kind::Tier)).unwrap();
    assert_eq!(listing.items.len(), 1, "nothing of the list that was given up");
    let lines: Vec<_> = server.asked().into_iter().map(|(line, _)| line).collect();
    let whole = "GET /apis/projectcalico.org/v3/tiers?limit=500".to_owned();
    assert_eq!(lines, [whole.clone(), format!("{whole}&continue=more"), whole]);
}

#[test]
fn a_server_that_ends_each_watch_at_once_is_asked_ever_more_seldom() {
    let nothing = std::iter::repeat_n((200, None, Value::Null), 6);
    let server = Server::start(std::iter::once((200, None, tiers())).chain(nothing));
    let store = server.store(LONG);
    let selection = Selection::kind(Kind::Tier);
    let _watch = store.watch(&selection, &store.list(&selection).unwrap().position).unwrap();
    let deadline = Instant::now() + LONG;
    while server.asked().len() < 7 {
        assert!(Instant::now() < deadline, "{:?}", server.asked());
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = server.asked();
    for (pause, least) in asked[2..7].iter().zip([50, 100, 200, 400, 800]) {
        assert!(pause.1 >= Duration::from_millis(least), "{asked:?}");
    }
}

#[test]
fn policies_and_namespaces_are_never_taken_for_absent_while_the_server_answers_something_else() {
    let policies = Selection::kind(Kind::KubernetesNetworkPolicy);
    let not_found = || (404, None, json!({ "kind": "Status", "code": 404, "message": "page not found" }));
    for answer in [not_found(), (200, None, json!({})), (200, None, json!({ "items": null }))] {
        let server = Server::start([answer]);
        let error = server.store(Duration::from_millis(100)).list(&policies).unwrap_err();
        assert!(matches!(error, StoreError::Failed(_)), "{error}");
    }
    // A watch goes on where it was, so a deletion that it missed is told.
    let policy =
        json!({ "metadata": { "name": "a", "namespace": "b", "resourceVersion": "7" }, "spec": { "podSelector": {} } });
    let list = json!({ "metadata": { "resourceVersion": "9" }, "items": [policy] });
    let mut late = policy.clone();
    late["metadata"]["resourceVersion"] = json!("10");
    let deleted = json!({ "type": "DELETED", "object": late });
    let server = Server::start([(200, None, list), not_found(), (200, None, deleted)]);
    let store = server.store(LONG);
    let mut watch = store.watch(&policies, &store.list(&policies).unwrap().position).unwrap();
    let event = watch.next(LONG).unwrap().expect("a change");
    assert_eq!(
        event,
        tortie_store::Event::Deleted(Key::namespaced(Kind::KubernetesNetworkPolicy, "b", "a"), "10".into())
    );
    assert!(server.asked()[2].0.ends_with("&resourceVersion=9"), "{:?}", server.asked());
}

#[test]
fn resources_that_the_server_lacks_are_looked_for_together_and_ever_more_seldom() {
    let server = Server::answering(|line| {
        Some(match line.split('?').next().unwrap() {
            "GET /apis" => (200, None, groups(&["apps/v1"])),
            line if line.starts_with("GET /apis/projectcalico.org/") => (404, None, json!({})),
            _ => (200, None, json!({ "metadata": { "resourceVersion": "9" }, "items": [] })),
        })
    });
    let store = server.store(LONG);
    let listing = store.list(&Selection::default()).unwrap();
    let before = server.asked().len();
    let mut watch = store.watch(&Selection::default(), &listing.position).unwrap();
    assert!(watch.next(Duration::from_secs(14)).unwrap().is_none());
    let asked: Vec<String> = server.asked().into_iter().skip(before).map(|(line, _)| line).collect();
    let lists = asked.iter().filter(|line| *line == "GET /apis").count();
    // After 2.5 to 5 s, and after 5 to 10 s more.
    assert!((1..=3).contains(&lists), "{asked:?}");
    let of_resources: Vec<_> = asked.iter().filter(|line| line.contains("projectcalico")).collect();
    assert!(of_resources.is_empty(), "{of_resources:?}");
}

/// What a server has: these groups, each with a version and its resources.
fn groups(names: &[&str]) -> Value {
    let group = |name: &&str| json!({ "name": name.split('/').next(), "versions": [{ "groupVersion": name }] });
    json!({ "kind": "APIGroupList", "groups": names.iter().map(group).collect::<Vec<_>>() })
}

#[test]
fn a_custom_resource_is_absent_only_if_the_server_does_not_name_it_among_those_that_it_has() {
    let not_found = || (404, None, json!({ "kind": "Status", "code": 404, "message": "page not found" }));
    let ok = |body: Value| (200, None, body);
    let resources = |name: &str| json!({ "kind": "APIResourceList", "resources": [{ "name": name }] });
    let group = || groups(&["apps/v1", "projectcalico.org/v3"]);
    for (answers, absent) in [
        (vec![not_found(), ok(groups(&["apps/v1"]))], true),
        (vec![not_found(), ok(groups(&["projectcalico.org/v4"]))], true),
        (vec![not_found(), ok(group()), ok(resources("networksets"))], true),
        (vec![not_found(), ok(group()), ok(resources("tiers"))], false),
        (vec![not_found(), ok(group()), not_found()], false),
        (vec![not_found(), ok(group()), ok(json!({}))], false),
        (vec![not_found(), not_found()], false),
        (vec![not_found(), ok(json!({}))], false),
    ] {
        let server = Server::start(answers.clone());
        let listed = server.store(Duration::from_millis(100)).list(&Selection::kind(Kind::Tier));
        match listed {
            Ok(listing) => assert!(absent && listing.items.is_empty(), "{answers:?}"),
            Err(error) => assert!(!absent && matches!(error, StoreError::Failed(_)), "{answers:?} {error}"),
        }
        assert_eq!(server.asked().len(), answers.len(), "{answers:?}");
    }
}

#[test]
fn a_watch_of_a_resource_that_is_gone_expires_so_that_what_was_read_of_it_is_listed_again() {
    let not_found = (404, None, json!({ "kind": "Status", "code": 404, "message": "page not found" }));
    let server = Server::start([(200, None, tiers()), not_found]);
    let store = server.store(LONG);
    let selection = Selection::kind(Kind::Tier);
    let mut watch = store.watch(&selection, &store.list(&selection).unwrap().position).unwrap();
    assert!(matches!(watch.next(LONG), Err(StoreError::Expired { kind: Kind::Tier })));
}

/// As a proxy that hangs: it takes connections, and says nothing on them.
#[test]
fn a_watch_over_http_1_notices_a_server_that_stops_answering_and_keeps_one_that_has_nothing_to_say() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (answers, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (answering, counted) = (answers.clone(), asked.clone());
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if answering.load(Ordering::SeqCst) {
                let line = request(&stream).unwrap();
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
                let answer = if line.contains("watch=1") {
                    format!("{head}\r\n")
                } else {
                    counted.fetch_add(usize::from(line.starts_with("GET /version")), Ordering::SeqCst);
                    let body = tiers().to_string();
                    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
                };
                stream.write_all(answer.as_bytes()).unwrap();
            }
            // Nothing more comes, and nobody closes it.
            open.push(stream);
        }
    });
    let given = RawSettings { endpoint: url, ..RawSettings::default() };
    let keepalive = (Duration::from_millis(100), Duration::from_secs(1));
    let settings = Settings { keepalive, ..Settings::new(&given, &|_| None).unwrap() };
    let store = KubeStore::new(Settings { group: Some(Group::Native), patience: LONG, ..settings }).unwrap();
    let selection = Selection::kind(Kind::Tier);
    let position = store.list(&selection).unwrap().position;
    let mut watch = store.watch(&selection, &position).unwrap();
    let deadline = Instant::now() + LONG;
    while asked.load(Ordering::SeqCst) < 3 {
        assert!(Instant::now() < deadline, "nobody asks while nothing is said");
        assert_eq!(watch.next(Duration::from_millis(50)).unwrap(), None);
    }
    answers.store(false, Ordering::SeqCst);
    let error = loop {
        assert!(Instant::now() < deadline, "the watch waits for a server that does not answer");
        if let Err(error) = watch.next(Duration::from_millis(50)) {
            break error.to_string();
        }
    };
    assert!(error.contains("no answer within"), "{error}");
}
