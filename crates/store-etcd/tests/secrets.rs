//! Connections by TLS: certificates from files and inline, replaced while we run, and what is said of wrong ones.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use std::path::Path;

use support::Cluster;
use tortie_api::{Key, Kind};
use tortie_store::Store;
use tortie_store_etcd::{EtcdStore, Pem, Settings, TlsFiles};
use tortie_testkit::certificates::Authority;

/// A member that speaks TLS only, wants client certificates of its authority, and that authority.
fn guarded() -> (Cluster, Authority) {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::generate();
    let put = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let [certificate, key] = authority.sign();
    put("ca.pem", &authority.certificate);
    put("server.pem", &certificate);
    put("server.key", &key);
    let more = [
        "--cert-file={dir}/server.pem",
        "--key-file={dir}/server.key",
        "--trusted-ca-file={dir}/ca.pem",
        "--client-cert-auth",
    ];
    (Cluster::prepared(directory, "https", 1, &more), authority)
}

fn ask(settings: Settings) -> Result<(), String> {
    EtcdStore::connect(settings).map(drop).map_err(|error| error.to_string())
}

fn file(directory: &Path, name: &str) -> Pem {
    Pem::File(directory.join(name))
}

#[test]
fn certificates_are_taken_from_files_and_inline() {
    let (cluster, authority) = guarded();
    let [cert, key] = authority.sign();
    let inline = TlsFiles {
        ca: Some(Pem::Inline(authority.certificate.clone())),
        identity: Some((Pem::Inline(cert.clone()), Pem::Inline(key.clone()))),
    };
    ask(Settings { tls: inline, ..cluster.settings() }).unwrap();
    std::fs::write(cluster.directory().join("client.pem"), cert).unwrap();
    std::fs::write(cluster.directory().join("client.key"), key).unwrap();
    let files = |name| file(cluster.directory(), name);
    let tls = TlsFiles { ca: Some(files("ca.pem")), identity: Some((files("client.pem"), files("client.key"))) };
    ask(Settings { tls, ..cluster.settings() }).unwrap();
}

#[test]
fn a_replaced_key_is_used_for_the_next_connection() {
    let (cluster, authority) = guarded();
    let put = |name: &str, text: &str| std::fs::write(cluster.directory().join(name), text).unwrap();
    let [cert, key] = Authority::generate().sign();
    put("client.pem", &cert);
    put("client.key", &key);
    let files = |name| file(cluster.directory(), name);
    let tls = TlsFiles { ca: Some(files("ca.pem")), identity: Some((files("client.pem"), files("client.key"))) };
    let store = EtcdStore::new(Settings { tls, ..cluster.settings() });
    let node = Key::cluster(Kind::Node, "a");
    store.get(&node).unwrap_err();
    let [cert, key] = authority.sign();
    put("client.pem", &cert);
    put("client.key", &key);
    assert_eq!(store.get(&node).unwrap(), None);
}

#[test]
fn mistakes_in_a_certificate_are_reported_in_a_line() {
    let (cluster, authority) = guarded();
    let [cert, key] = authority.sign();
    let identity = Some((Pem::Inline(cert), Pem::Inline(key)));
    let ca = Some(Pem::Inline(authority.certificate.clone()));
    let foreign = Some(Pem::Inline(Authority::generate().certificate));
    let url = cluster.endpoints().remove(0);
    for (tls, url, said) in [
        (TlsFiles { ca: foreign, identity: identity.clone() }, url.clone(), "not signed by the given CA"),
        (TlsFiles { ca: ca.clone(), identity: None }, url.clone(), "client certificate"),
        (
            TlsFiles { ca: ca.clone(), identity: identity.clone() },
            url.replace("127.0.0.1", "localhost.localdomain"),
            "",
        ),
        (TlsFiles { ca, identity }, url.replace("https", "http"), ""),
    ] {
        let error = ask(Settings { tls, endpoints: vec![url], ..cluster.settings() }).unwrap_err();
        assert!(error.contains(said) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn tls_towards_a_member_without_it_is_named() {
    let cluster = Cluster::start(1);
    let endpoints = vec![cluster.endpoints()[0].replace("http", "https")];
    let tls = TlsFiles { ca: Some(Pem::Inline(Authority::generate().certificate)), identity: None };
    let error = ask(Settings { endpoints, tls, ..cluster.settings() }).unwrap_err();
    assert!(error.contains("does not speak TLS, write http://"), "{error}");
}

#[test]
fn an_unreachable_member_is_named() {
    let settings = Settings::plain(["http://127.0.0.1:1"]);
    let error = ask(settings).unwrap_err();
    assert_eq!(error, "etcd at http://127.0.0.1:1 cannot be used: Connection refused");
}
