//! Keys and certificates for one connection, read when it is made.

use std::fs;

use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use tortie_store::system_ca;

use crate::settings::{Pem, TlsFiles};

/// What the connection needs, or a line that says which file is wrong.
pub(crate) fn config(files: &TlsFiles) -> Result<ClientTlsConfig, String> {
    let mut config = ClientTlsConfig::new();
    config = match &files.ca {
        Some(ca) => {
            config.ca_certificate(Certificate::from_pem(read(ca, "CERTIFICATE", "the CA certificate of etcd")?))
        }
        None => match system_ca::FILES.iter().find_map(|path| fs::read(path).ok()) {
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
            None => {
                return Err(format!(
                    "no CA certificate is given (ETCD_CA_CERT_FILE), and the system has none at {}",
                    system_ca::FILES[0]
                ));
            }
        },
    };
    if let Some((cert, key)) = &files.identity {
        let cert = read(cert, "CERTIFICATE", "the client certificate for etcd")?;
        let key = read(key, "PRIVATE KEY", "the client key for etcd")?;
        config = config.identity(Identity::from_pem(cert, key));
    }
    Ok(config)
}

fn read(pem: &Pem, label: &str, what: &str) -> Result<String, String> {
    let (text, place) = match pem {
        Pem::Inline(text) => (text.clone(), "given inline".to_owned()),
        Pem::File(path) => match fs::read_to_string(path) {
            Ok(text) => (text, path.display().to_string()),
            Err(error) => return Err(format!("{what} cannot be read: {}: {error}", path.display())),
        },
    };
    let found =
        text.lines().any(|line| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{label}-----")));
    if found { Ok(text) } else { Err(format!("{what} ({place}) holds no PEM block of a {}", label.to_lowercase())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_certificate_file_or_text_is_named() {
        let files = |ca| TlsFiles { ca: Some(ca), identity: None };
        let error = config(&files(Pem::File("/nonexistent/ca.pem".into()))).unwrap_err();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
        let error = config(&files(Pem::Inline("hello".into()))).unwrap_err();
        assert_eq!(error, "the CA certificate of etcd (given inline) holds no PEM block of a certificate");
    }
}
