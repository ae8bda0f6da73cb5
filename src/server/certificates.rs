//! The certificates of encrypted listeners: read from PEM files, served from memory, and exchanged
//! while connections come in.
//!
//! A handshake takes the certificate that is there at that moment; connections under way keep theirs.
//! New files take the place of the old certificate only when they are good: `reload` looks at them and
//! says what is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hickory_server::server::default_tls_server_config;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::error::X509Error;

/// The PEM files of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateFiles {
    /// The certificate and its chain, leaf first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A PEM file cannot be read, or holds nothing of what it should.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The certificate and the key do not go together, or are of a kind that cannot be used.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The certificate's file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The certificate cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        source: X509Error,
    },
    /// The new certificate is out of date, and the old one is not.
    #[error("{}: the certificate has expired", path.display())]
    Expired {
        /// The certificate's file.
        path: PathBuf,
    },
}

/// The certificate of one pair of files, as it is served now.
#[derive(Debug)]
pub struct Certificate {
    files: CertificateFiles,
    current: ArcSwap<Pair>,
}

/// A certificate and its key.
#[derive(Debug)]
struct Pair {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

/// When a certificate holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then on.
    pub begins: SystemTime,
    /// Until then.
    pub expires: SystemTime,
}

impl Certificate {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn read(files: CertificateFiles) -> Result<Self, CertificateError> {
        let pair = Pair::read(&files)?;
        Ok(Self { files, current: ArcSwap::from_pointee(pair) })
    }

    /// Reads the files again; true if they hold another certificate, which is served from now on.
    ///
    /// # Errors
    /// See [`CertificateError`]; then the old certificate stays.
    pub fn read_again(&self, now: SystemTime) -> Result<bool, CertificateError> {
        let new = Pair::read(&self.files)?;
        let old = self.current.load();
        if new.certified.cert == old.certified.cert {
            return Ok(false);
        }
        if new.validity.expires <= now && old.validity.expires > now {
            return Err(CertificateError::Expired { path: self.files.chain.clone() });
        }
        self.current.store(Arc::new(new));
        Ok(true)
    }

    /// Its files.
    pub fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// When the one that is served holds.
    pub fn validity(&self) -> Validity {
        self.current.load().validity
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load().certified.clone())
    }
}

impl Pair {
    fn read(files: &CertificateFiles) -> Result<Self, CertificateError> {
        let CertificateFiles { chain: chain_path, key: key_path } = files;
        let file = |path: &PathBuf, source| CertificateError::File { path: path.clone(), source };
        let chain = CertificateDer::pem_file_iter(chain_path)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
            .map_err(|source| file(chain_path, source))?;
        let key = PrivateKeyDer::from_pem_file(key_path).map_err(|source| file(key_path, source))?;
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|source| CertificateError::Unusable { path: chain_path.clone(), source })?;
        let validity = Validity::of(certified.end_entity_cert().map_or(&[], |leaf| leaf))
            .map_err(|source| CertificateError::Unreadable { path: chain_path.clone(), source })?;
        Ok(Self { certified: Arc::new(certified), validity })
    }
}

impl Validity {
    fn of(certificate: &[u8]) -> Result<Self, X509Error> {
        let (_, certificate) =
            x509_parser::parse_x509_certificate(certificate).map_err(|error| match error {
                x509_parser::nom::Err::Error(error) | x509_parser::nom::Err::Failure(error) => error,
                x509_parser::nom::Err::Incomplete(_) => X509Error::InvalidCertificate,
            })?;
        let time = |timestamp: i64| UNIX_EPOCH + Duration::from_secs(timestamp.max(0).unsigned_abs());
        let validity = certificate.validity();
        Ok(Self {
            begins: time(validity.not_before.timestamp()),
            expires: time(validity.not_after.timestamp()),
        })
    }
}

/// The TLS settings of a listener for one protocol (its name in ALPN).
pub(super) fn tls_settings(
    certificate: Arc<Certificate>,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, std::io::Error> {
    default_tls_server_config(protocol, certificate).map(Arc::new)
}
