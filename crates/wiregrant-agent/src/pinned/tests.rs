//! Real TLS, with certificates that OpenSSL makes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection};

use super::*;

/// A certificate that its own key signed, as `cert.pem` and `key.pem`, and the pin of its key as OpenSSL has it.
fn certificate(folder: &Path, more: &[&str]) -> Pin {
    let openssl = |arguments: &[&str]| {
        let made = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    };
    let new =
        ["req", "-x509", "-nodes", "-subj", "/CN=nowhere.example", "-keyout", "key.pem", "-out", "cert.pem"];
    openssl(&[&new[..], more].concat());
    openssl(&["pkey", "-in", "key.pem", "-pubout", "-outform", "DER", "-out", "key.der"]);
    let digest = openssl(&["dgst", "-sha256", "-binary", "key.der"]);
    Pin(Hash(digest.try_into().unwrap()))
}

const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
const RSA: [&str; 2] = ["-newkey", "rsa:2048"];

/// Answers `answers` connections with "held", over TLS of this version where the client gets so far.
fn serve(folder: &Path, version: &'static rustls::SupportedProtocolVersion, answers: usize) -> String {
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for _ in 0..answers {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            let mut head = String::new();
            let mut reader = BufReader::new(&mut stream);
            while !head.ends_with("\r\n\r\n") {
                // A client that refuses the certificate ends here.
                if reader.read_line(&mut head).unwrap_or_default() == 0 {
                    break;
                }
            }
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nheld");
            let _ = stream.flush();
        }
    });
    url
}

fn ask(url: &str, pin: Option<Pin>) -> Result<String, String> {
    let config =
        ureq::Agent::config_builder().timeout_global(Some(std::time::Duration::from_secs(60))).build();
    let mut answer = client(config, pin).get(url).call().map_err(|error| error.to_string())?;
    answer.body_mut().read_to_string().map_err(|error| error.to_string())
}

#[test]
fn whoever_has_the_pinned_key_is_taken_whatever_their_certificate_says() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, version) in [
        (&P256[..], &rustls::version::TLS13),
        (&P256[..], &rustls::version::TLS12),
        (&RSA[..], &rustls::version::TLS13),
        (&RSA[..], &rustls::version::TLS12),
    ] {
        // Nobody vouches for it, it is for another name, and it has expired.
        let pin = certificate(folder.path(), &[kind, &["-days", "1"]].concat());
        let url = serve(folder.path(), version, 2);
        assert_eq!(ask(&url, Some(pin)), Ok("held".to_owned()), "{kind:?} {version:?}");
        let unpinned = ask(&url, None).unwrap_err();
        assert!(unpinned.contains("certificate"), "{unpinned}");
    }
}

#[test]
fn another_key_than_the_pinned_one_is_refused_with_both() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (pin, other) = (certificate(folder.path(), &P256), certificate(elsewhere.path(), &P256));
    let url = serve(elsewhere.path(), &rustls::version::TLS13, 2);
    let refused = ask(&url, Some(pin)).unwrap_err();
    for part in [&pin.to_string(), &other.to_string(), "new invitation"] {
        assert!(refused.contains(part), "{part} is missing in {refused}");
    }
    // The certificate alone is public: without its key nobody answers for it.
    std::fs::copy(elsewhere.path().join("cert.pem"), folder.path().join("cert.pem")).unwrap();
    let chain =
        CertificateDer::pem_file_iter(folder.path().join("cert.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).unwrap();
    let provider = rustls::crypto::ring::default_provider();
    let signer = provider.key_provider.load_private_key(key).unwrap();
    let stolen = rustls::sign::CertifiedKey::new(chain, signer);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(stolen)));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut connection = ServerConnection::new(Arc::new(config)).unwrap();
        while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        connection.is_handshaking()
    });
    let refused = ask(&url, Some(other)).unwrap_err();
    assert!(refused.contains("BadSignature") || refused.contains("signature"), "{refused}");
    assert!(served.join().unwrap(), "the handshake did not end well on the other side either");
}
