//! What many pods cost, in counts: how many requests a list takes and what is kept of a pod, and that a watch which was lost
//! goes on where it was instead of listing again. The server is made by hand, since it counts.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_store::{Selection, Store};
use tortie_store_kube::custom::Group;
use tortie_store_kube::{KubeStore, RawSettings, Settings};

const PODS: usize = 1_200;

/// A pod of about 10 KB, as a server that is asked for JSON sends it.
fn pod(n: usize) -> Value {
    let pad = |bytes: usize| "f:metadata ".repeat(bytes / 11);
    let address = format!("10.65.{}.{}", n >> 8, n & 255);
    json!({ "metadata": { "name": format!("web-{n}"), "namespace": "shop", "resourceVersion": (n + 1).to_string(),
            "uid": "30316465-6365-4463-ad63-3564622d3638", "creationTimestamp": "2026-08-22T13:33:20Z",
            "labels": { "app": "web" }, "annotations": { "kubectl.kubernetes.io/last-applied-configuration": pad(3_000) },
            "managedFields": [{ "manager": "kubelet", "fieldsV1": { "f:spec": pad(3_000) } }] },
        "spec": { "nodeName": format!("n{}", n % 100), "serviceAccountName": "default",
            "containers": [{ "name": "c", "image": "i", "env": [{ "name": "e", "value": pad(3_000) }],
                "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }] }] },
        "status": { "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }], "message": pad(1_000) } })
}

/// A page of the pods; the token says where it begins.
fn page(query: &str) -> Value {
    let value =
        |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)).map(|text| text.parse().unwrap());
    let (limit, from): (usize, usize) = (value("limit=").unwrap(), value("continue=").unwrap_or(0));
    let until = (from + limit).min(PODS);
    let next = if until < PODS { until.to_string() } else { String::new() };
    json!({ "metadata": { "resourceVersion": "5000", "continue": next }, "items": (from..until).map(pod).collect::<Vec<_>>() })
}

/// Answers lists page by page, and each watch with one line, after which it ends. What it was asked.
fn server() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        let mut version = 5_000;
        for stream in listener.incoming().flatten() {
            let Some(query) = query(&stream) else { continue };
            let body = if query.contains("watch=1") {
                version += 1;
                let mut changed = pod(version % PODS);
                changed["metadata"]["resourceVersion"] = json!(version.to_string());
                json!({ "type": "MODIFIED", "object": changed })
            } else {
                page(&query)
            };
            seen.lock().unwrap().push(query);
            let body = format!("{body}\n");
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            drop((&stream).write_all((head + &body).as_bytes()));
        }
    });
    (url, asked)
}

/// What a request asks of pods.
fn query(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut line = first.clone();
    while !line.trim().is_empty() {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    let path = first.split(' ').nth(1)?;
    path.strip_prefix("/api/v1/pods?").map(str::to_owned)
}

#[test]
fn pods_are_listed_in_pages_and_little_of_each_is_kept_and_a_lost_watch_lists_nothing() {
    let (url, asked) = server();
    let settings = Settings::new(&RawSettings { endpoint: url, ..RawSettings::default() }, &|_| None).unwrap();
    let store = KubeStore::new(Settings { group: Some(Group::Native), ..settings }).unwrap();
    let selection = Selection::for_enforcement("n1").of_kind(Kind::WorkloadEndpoint);
    let (mut pods, mut kept, mut largest_page) = (0, 0, 0);
    let position = store
        .list_pages(&selection, &mut |page| {
            pods += page.len();
            largest_page = largest_page.max(page.len());
            kept += page.iter().map(|it| it.value.len() + it.key.name.len() + it.key.namespace.len()).sum::<usize>();
        })
        .unwrap();
    assert_eq!((pods, largest_page), (PODS, 500), "no more than a page is held at once");
    assert_eq!(asked.lock().unwrap().len(), 3, "{:?}", asked.lock().unwrap());
    let size = pod(1).to_string().len();
    assert!(size > 10_000 && kept / PODS < 800, "of {size} bytes {} are kept", kept / PODS);
    // Each watch ends after one change: the next one begins behind it.
    let mut watch = store.watch(&selection, &position).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut changes = 0;
    while changes < 5 {
        assert!(Instant::now() < deadline);
        changes += usize::from(watch.next(Duration::from_secs(1)).unwrap().is_some());
    }
    let asked = asked.lock().unwrap();
    let watches = &asked[3..];
    assert!(
        watches.iter().all(|query| query.contains("watch=1") && query.contains("allowWatchBookmarks=true")),
        "{watches:?}"
    );
    for (at, query) in watches.iter().enumerate() {
        assert!(query.ends_with(&format!("resourceVersion={}", 5_000 + at)), "{at}: {query}");
    }
}
