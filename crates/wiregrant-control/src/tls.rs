//! TLS with certificates that are given: a chain and its key, both PEM, read again when told to.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::server::TlsStream;
use transparency_log::Hash;

/// Where certificate and key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The present certificate.
pub struct Tls {
    files: TlsFiles,
    acceptor: RwLock<TlsAcceptor>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let acceptor = RwLock::new(read(&files)?);
        Ok(Self { files, acceptor })
    }

    /// Reads the files again; connections that begin from now on get the new certificate. One that cannot be read changes nothing.
    ///
    /// # Errors
    /// Which file, and what is wrong with it.
    pub fn reload(&self) -> anyhow::Result<()> {
        let acceptor = read(&self.files)?;
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    /// The server's side of a handshake.
    ///
    /// # Errors
    /// When the client does not hold it.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
        acceptor.accept(stream).await
    }
}

/// What invitations pin: SHA-256, in padded base64, of the key of the first certificate in a file (its SubjectPublicKeyInfo in DER).
///
/// # Errors
/// Which file, and what is wrong with it.
pub fn pin(file: &Path) -> anyhow::Result<String> {
    let chain = certificates(file).context("tls_pin")?;
    let certificate = chain.first().context("tls_pin: the file has a certificate")?;
    let certificate = ParsedCertificate::try_from(certificate)
        .with_context(|| format!("tls_pin: the first certificate in {} cannot be read", file.display()))?;
    Ok(Hash::of(certificate.subject_public_key_info().as_ref()).to_string())
}

fn read(files: &TlsFiles) -> anyhow::Result<TlsAcceptor> {
    let chain = certificates(&files.certificate).context("tls_certificate")?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| {
            anyhow::anyhow!("{}: {error}; a private key in PEM belongs there", files.key.display())
        })
        .context("tls_key")?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("tls_key: {} does not belong to the certificate", files.key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let form = |error| {
        anyhow::anyhow!(
            "{}: {error}; the certificate and those above it belong there, in PEM",
            path.display()
        )
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(form)?.collect();
    let chain = chain.map_err(form)?;
    ensure!(!chain.is_empty(), "{}: there is no certificate in it; it belongs there in PEM", path.display());
    Ok(chain)
}
