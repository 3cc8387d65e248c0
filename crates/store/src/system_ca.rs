//! Where systems keep the certificate authorities that they trust.

use std::path::Path;

/// The files that may hold them; the first is Debian's.
pub const FILES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// The first of them that this machine has.
pub fn file() -> Option<&'static Path> {
    FILES.iter().map(Path::new).find(|path| path.exists())
}
