//! How a node signs in: each request by its identity key, at its time, once.

use axum::body::{self, Body};
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use data_encoding::BASE64;
use transparency_log::Verifier;
use wiregrant_core::api::ProblemKind;
use wiregrant_core::note::{Origin, Salt};
use wiregrant_core::request::{
    HEADER_NODE, HEADER_NONCE, HEADER_SIGNATURE, HEADER_TIME, MAX_CLOCK_DISTANCE_SECONDS, Request as Signed,
};
use wiregrant_core::{NodeId, Timestamp};
use wiregrant_store::RequestNonce;

use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::extract;
use crate::ingest::Sender;
use crate::visits::Trace;

/// `last_seen` is not written more often than this: nobody needs it finer, each write costs an fsync, and the less is known of
/// when a node asks, the less of a trace it is.
const SEEN_SECONDS: u64 = 60;

/// What a node puts into its headers.
pub(crate) struct NodeHeaders {
    node: NodeId,
    time: Timestamp,
    nonce: Salt,
    signature: [u8; 64],
}

impl NodeHeaders {
    /// The node that says it signed the request.
    pub(crate) fn node(&self) -> &NodeId {
        &self.node
    }

    /// Whether this key signed the request with this head and body for this log.
    pub(crate) fn are_signed_by(&self, key: &Verifier, log: &Origin, head: &Parts, body: &[u8]) -> bool {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let signed = Signed {
            log,
            node: &self.node,
            method: head.method.as_str(),
            path,
            body,
            time: self.time,
            nonce: self.nonce,
        };
        key.verify(signed.text().as_bytes(), &self.signature)
    }

    /// Refuses a request of another time.
    ///
    /// # Errors
    /// `request-clock`.
    pub(crate) fn check_time(&self, now: Timestamp) -> Answer<()> {
        if self.time.distance_seconds(now) <= MAX_CLOCK_DISTANCE_SECONDS {
            return Ok(());
        }
        let detail = format!(
            "{HEADER_TIME}: {} is more than {MAX_CLOCK_DISTANCE_SECONDS} s from {now}; set the node's clock",
            self.time
        );
        Err(Failure::new(ProblemKind::RequestClock, detail).with("now", now.to_string()))
    }

    /// What the headers say.
    ///
    /// # Errors
    /// `request-signature`, naming the header.
    pub(crate) fn read(headers: &HeaderMap) -> Answer<Self> {
        let refuse = |detail: String| Failure::new(ProblemKind::RequestSignature, detail);
        let text = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .ok_or_else(|| refuse(format!("header {name} is missing")))
        };
        let fact = |error: wiregrant_core::FactError| refuse(error.to_string());
        let signature =
            BASE64.decode(text(HEADER_SIGNATURE)?.as_bytes()).ok().and_then(|b| b.try_into().ok());
        Ok(Self {
            node: text(HEADER_NODE)?.parse().map_err(fact)?,
            time: text(HEADER_TIME)?.parse().map_err(fact)?,
            nonce: text(HEADER_NONCE)?.parse().map_err(fact)?,
            signature: signature.ok_or_else(|| {
                refuse(format!("header {HEADER_SIGNATURE} is not 64 bytes in padded base64"))
            })?,
        })
    }
}

/// The node that signed a request, and the request with its body of at most `body_bytes` read. Notes that the node was seen.
///
/// # Errors
/// `request-signature`, `log-continued`, `request-clock`, `request-replayed`, `too-large`, `busy`.
pub async fn signed_by_a_node(
    plane: &ControlPlane,
    request: Request,
    body_bytes: usize,
) -> Answer<(Sender, Request)> {
    let headers = NodeHeaders::read(request.headers())?;
    let (parts, body) = request.into_parts();
    // The only error besides the limit is a client that went away.
    let body = body::to_bytes(body, body_bytes).await.map_err(|_| extract::too_large())?;

    let unknown = || {
        let detail = "no node of this name signed this request with its key; was it enrolled here?";
        Failure::new(ProblemKind::RequestSignature, detail)
    };
    let now = plane.clock.now();
    let identity = plane.identities.of(&plane.store, &headers.node, now).await?.ok_or_else(unknown)?;
    let is_for = |log: &Origin| headers.are_signed_by(&identity.vkey, log, &parts, &body);
    if !is_for(&plane.config.origin) {
        return Err(plane.continued.told(&plane.log_keys, is_for).unwrap_or_else(unknown));
    }
    headers.check_time(now)?;
    plane.nonces.take(&headers.node, headers.time, headers.nonce, now)?;
    let is_due = identity.last_seen.is_none_or(|last| last.distance_seconds(now) >= SEEN_SECONDS);
    if is_due || plane.store.is_shared() {
        let NodeHeaders { node, time, nonce, .. } = &headers;
        let request = RequestNonce { node: node.clone(), time: *time, nonce: nonce.0 };
        plane.visits.take(request, if is_due { Trace::LastSeen } else { Trace::None }).await?;
    }
    let sender = Sender { node: headers.node, operator: identity.operator, vkey: identity.vkey };
    Ok((sender, Request::from_parts(parts, Body::from(body))))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_or_damaged_header_is_named() {
        let refusal =
            |headers: &HeaderMap| NodeHeaders::read(headers).err().map(|e| e.problem().detail.clone());
        let mut headers = HeaderMap::new();
        let good = [
            (HEADER_SIGNATURE, BASE64.encode(&[0; 64])),
            (HEADER_NODE, "node-1".to_owned()),
            (HEADER_TIME, "2026-07-06T12:00:00Z".to_owned()),
            (HEADER_NONCE, BASE64.encode(&[0; 16])),
        ];
        for (name, value) in good {
            assert!(refusal(&headers).unwrap().contains(name));
            headers.insert(name, value.parse().unwrap());
        }
        assert_eq!(refusal(&headers), None);
        headers.insert(HEADER_SIGNATURE, HeaderValue::from_static("AAAA"));
        assert!(refusal(&headers).unwrap().contains("64 bytes"));
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(
            values in proptest::collection::vec(proptest::collection::vec(32u8..=255, 0..100), 4),
        ) {
            let mut headers = HeaderMap::new();
            let names = [HEADER_NODE, HEADER_TIME, HEADER_NONCE, HEADER_SIGNATURE];
            for (name, value) in names.into_iter().zip(values) {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.insert(name, value);
                }
            }
            let _ = NodeHeaders::read(&headers);
        }
    }
}
