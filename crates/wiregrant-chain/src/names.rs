//! Looking up a name that is paid (BIP 353): the records that prove it, from a resolver, each asked once.
//!
//! The resolver is not trusted: what it says counts only as far as the DNS's own signatures prove it, which
//! [`PaymentName::resolved`] checks. It learns which name is looked up.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dnssec_prover::query::{ProofBuilder, QueryBuf};
use dnssec_prover::rr::TXT_TYPE;
use wiregrant_payout::PaymentName;
use wiregrant_payout::pay::MAX_PROOF_BYTES;

use crate::ChainError;

const TIMEOUT: Duration = Duration::from_secs(10);

/// The records that lead from the DNS's root to the name, as RFC 9102 orders them, asked over TCP.
///
/// # Errors
/// The resolver cannot be reached, or has no such record; nothing is proved yet by what came.
pub fn name_proof(resolver: SocketAddr, name: &PaymentName) -> Result<Vec<u8>, ChainError> {
    let failed = |problem: String| ChainError::Unreachable { url: format!("resolver {resolver}"), problem };
    let io = |error: std::io::Error| failed(error.to_string());
    let mut stream = TcpStream::connect_timeout(&resolver, TIMEOUT).map_err(io)?;
    stream.set_read_timeout(Some(TIMEOUT)).and(stream.set_write_timeout(Some(TIMEOUT))).map_err(io)?;
    let (mut builder, first) = ProofBuilder::new(name.record(), TXT_TYPE);
    send(&mut stream, &first).map_err(io)?;
    while builder.awaiting_responses() {
        let answer = receive(&mut stream).map_err(io)?;
        let next = builder.process_response(&answer).map_err(|error| {
            ChainError::form(format!("name {name}"), format!("of the resolver {error:?}"))
        })?;
        for query in next {
            send(&mut stream, &query).map_err(io)?;
        }
    }
    let unfinished = || ChainError::form(format!("name {name}"), "of the resolver leads nowhere");
    let (proof, _) = builder.finish_proof().map_err(|()| unfinished())?;
    if proof.len() > MAX_PROOF_BYTES {
        return Err(ChainError::form(format!("name {name}"), "is longer than 64 KiB"));
    }
    Ok(proof)
}

/// Messages over TCP are preceded by their length in two bytes (RFC 1035, section 4.2.2).
fn send(stream: &mut TcpStream, query: &QueryBuf) -> std::io::Result<()> {
    let length = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(query)
}

fn receive(stream: &mut TcpStream) -> std::io::Result<QueryBuf> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = QueryBuf::new_zeroed(u16::from_be_bytes(length));
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod resolver;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use wiregrant_core::Timestamp;
    use wiregrant_core::note::Network;

    use super::resolver::{ADDRESS, NAME, VALID_AT, serve};
    use super::*;

    fn name(text: &str) -> PaymentName {
        PaymentName::parse(text, Network::Bitcoin).unwrap()
    }

    #[test]
    fn a_name_is_looked_up_and_what_comes_proves_its_address() {
        let (name, then) = (name(NAME), Timestamp::from_unix_seconds(VALID_AT).unwrap());
        let proof = name_proof(serve(|_| {}), &name).unwrap();
        assert_eq!(name.resolved(&proof, then).unwrap().address().unwrap().to_string(), ADDRESS);
    }

    #[test]
    fn a_resolver_that_lies_knows_nothing_or_is_not_there_proves_nothing() {
        let then = Timestamp::from_unix_seconds(VALID_AT).unwrap();
        let lying = serve(|answer| {
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
        });
        let lie = name_proof(lying, &name(NAME)).unwrap();
        let refused = name(NAME).resolved(&lie, then).unwrap_err().to_string();
        assert!(refused.contains("proof"), "{refused}");
        let unknown = name_proof(serve(|_| {}), &name("nobody@mattcorallo.com")).unwrap_err().to_string();
        assert!(unknown.contains("name nobody@mattcorallo.com"), "{unknown}");
        let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let gone = name_proof(nobody, &name(NAME)).unwrap_err().to_string();
        assert!(gone.contains(&format!("resolver {nobody}")), "{gone}");
        let cut = name_proof(serve(|answer| answer.truncate(20)), &name(NAME)).unwrap_err().to_string();
        assert!(cut.contains(&format!("name {NAME}")), "{cut}");
    }
}
