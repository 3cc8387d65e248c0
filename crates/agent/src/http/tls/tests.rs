//! A server with TLS as its clients find it.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use tortie_testkit::certificates::Authority;

use super::*;
use crate::config::Served;
use crate::http::{Answer, Server};

/// Asks over TLS, with a certificate if one is given.
fn get(place: &Served, authority: &Authority, identity: Option<[String; 2]>) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate.as_bytes()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some([certificate, key]) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    let stream = TcpStream::connect((place.host.as_str(), place.port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream);
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map(|_| text)
}

fn place(tls: Tls) -> Served {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Served { host: "127.0.0.1".to_owned(), port, tls: Some(tls) }
}

fn files(folder: &Path, authority: &Authority, client_auth: ClientAuth) -> Tls {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let [certificate, key] = authority.sign();
    Tls {
        certificate: file("server.pem", &certificate),
        key: file("server.key", &key),
        client_ca: Some(file("ca.pem", &authority.certificate)),
        client_auth,
    }
}

#[test]
fn each_kind_of_client_is_answered_only_where_the_setting_says_so() {
    let [known, other] = [Authority::generate(), Authority::generate()];
    for (client_auth, without, with_other) in [
        (ClientAuth::NoClientCert, true, true),
        (ClientAuth::RequireAnyClientCert, false, true),
        (ClientAuth::VerifyClientCertIfGiven, true, false),
        (ClientAuth::RequireAndVerifyClientCert, false, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let place = place(files(folder.path(), &known, client_auth));
        let (report, reports) = channel();
        let answer = |_: &str| Answer::text(200, "metrics");
        let _server = Server::start(place.clone(), None, answer, move |one| drop(report.send(one)), "test").unwrap();
        reports.recv().unwrap().unwrap();
        let is_answered = |identity| get(&place, &known, identity).is_ok_and(|text| text.ends_with("metrics"));
        assert!(is_answered(Some(known.sign())), "{client_auth:?}");
        assert_eq!(is_answered(None), without, "{client_auth:?} without a certificate");
        assert_eq!(
            is_answered(Some(other.sign())),
            with_other,
            "{client_auth:?} with a certificate of another authority"
        );
        let mut plain = TcpStream::connect((place.host.as_str(), place.port)).unwrap();
        plain.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        // The server may reset the connection.
        drop(plain.read_to_end(&mut bytes));
        assert!(!bytes.windows(7).any(|part| part == b"metrics"), "plain HTTP was answered");
    }
}

#[test]
fn replaced_files_are_used_and_unusable_ones_leave_the_earlier_ones() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = [Authority::generate(), Authority::generate()];
    let place = place(files(folder.path(), &first, ClientAuth::NoClientCert));
    let (report, reports) = channel();
    let answer = |_: &str| Answer::text(200, "metrics");
    let _server = Server::start(place.clone(), None, answer, move |one| drop(report.send(one)), "test").unwrap();
    reports.recv().unwrap().unwrap();
    assert!(get(&place, &first, None).is_ok());
    files(folder.path(), &second, ClientAuth::NoClientCert);
    assert!(get(&place, &second, None).is_ok());
    assert!(get(&place, &first, None).is_err());
    std::fs::write(folder.path().join("server.key"), "half").unwrap();
    assert!(get(&place, &first, None).is_ok());
    let told = |about: &str| {
        let told = reports.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err().to_string();
        assert!(told.starts_with("prometheusMetricsKeyFile") && told.contains("read at the start"), "{about}: {told}");
    };
    told("a file that is half written");
    std::fs::remove_file(folder.path().join("server.key")).unwrap();
    assert!(get(&place, &first, None).is_ok() && get(&place, &first, None).is_ok());
    told("a file that is gone");
    files(folder.path(), &second, ClientAuth::NoClientCert);
    assert!(get(&place, &second, None).is_ok());
    reports.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert!(reports.try_recv().is_err(), "each was told once");
}

#[test]
fn nothing_is_served_until_the_files_can_be_used_and_the_report_names_the_setting() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::generate();
    let good = files(folder.path(), &authority, ClientAuth::RequireAndVerifyClientCert);
    let nowhere = folder.path().join("nowhere");
    let without_key = Tls { key: Path::new("").to_owned(), ..good.clone() };
    let without_ca = Tls { client_ca: None, ..good.clone() };
    for (tls, setting) in [
        (Tls { certificate: nowhere.clone(), ..good.clone() }, "prometheusMetricsCertFile"),
        (Tls { key: nowhere.clone(), ..good.clone() }, "prometheusMetricsKeyFile"),
        (without_key, "prometheusMetricsKeyFile is not set"),
        (Tls { client_ca: Some(nowhere), ..good.clone() }, "prometheusMetricsCAFile"),
        (without_ca, "prometheusMetricsCAFile is not set"),
    ] {
        let error = config(&tls).unwrap_err();
        assert!(error.starts_with(setting), "{error}");
    }
    let certificate = folder.path().join("later.pem");
    let place = place(Tls { certificate: certificate.clone(), ..good.clone() });
    let (report, reports) = channel();
    let answer = |_: &str| Answer::text(200, "metrics");
    let _server = Server::start(place.clone(), None, answer, move |one| drop(report.send(one)), "test").unwrap();
    assert!(reports.recv().unwrap().unwrap_err().to_string().starts_with("prometheusMetricsCertFile"));
    std::fs::copy(&good.certificate, &certificate).unwrap();
    reports.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
    assert!(get(&place, &authority, Some(authority.sign())).is_ok());
}
