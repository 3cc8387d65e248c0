//! Certificates and keys of a server, read from their files, and what its clients must show.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};

use crate::config::{ClientAuth, Tls};

/// What a connection needs, or a line that names the setting or file that is wrong.
pub(super) fn config(tls: &Tls) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = match tls.client_auth {
        ClientAuth::NoClientCert => builder.with_no_client_auth(),
        ClientAuth::RequireAnyClientCert => builder.with_client_cert_verifier(Arc::new(AnyCertificate(provider))),
        ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert => {
            let path =
                tls.client_ca.as_deref().ok_or("prometheusMetricsCAFile is not set, and clients are to be verified")?;
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path, "prometheusMetricsCAFile")? {
                roots.add(certificate).map_err(|error| wrong("prometheusMetricsCAFile", path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match tls.client_auth {
                ClientAuth::VerifyClientCertIfGiven => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            let verifier = verifier.build().map_err(|error| wrong("prometheusMetricsCAFile", path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(&tls.certificate, "prometheusMetricsCertFile")?;
    let key = PrivateKeyDer::from_pem_slice(&read(&tls.key, "prometheusMetricsKeyFile")?)
        .map_err(|error| wrong("prometheusMetricsKeyFile", &tls.key, error))?;
    let config = builder.with_single_cert(chain, key);
    config.map(Arc::new).map_err(|error| wrong("prometheusMetricsCertFile", &tls.certificate, error))
}

fn certificates(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path, setting)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(setting, path, "the file has no certificate")),
        Err(error) => Err(wrong(setting, path, error)),
    }
}

fn read(path: &Path, setting: &str) -> Result<Vec<u8>, String> {
    if path.as_os_str().is_empty() {
        return Err(format!("{setting} is not set"));
    }
    std::fs::read(path).map_err(|error| wrong(setting, path, error))
}

fn wrong(setting: &str, path: &Path, why: impl std::fmt::Display) -> String {
    format!("{setting} {} cannot be used: {why}", path.display())
}

/// Accepts every certificate of a client that has its private key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyCertificate {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
