//! SOCKS5 logins: a username and a password for a device, of which only the person ever has the password.
//!
//! The password is not drawn but derived from the server's secret, the device and what the client calls its request
//! ([`IdempotencyKey`]): a request that is sent again, because its answer was lost, gets the same password, in whatever order the
//! two are worked on. Whoever lacks either of the two secrets finds none of its 130 bits.

use transparency_log::Hash;
use wiregrant_core::WireGuardPublicKey;
use wiregrant_core::api::{ProblemKind, Socks5Access};
use wiregrant_core::socks5::{Socks5Login, Socks5Username};
use wiregrant_store::Write;

use crate::control_plane::ControlPlane;
use crate::endpoint::Endpoint;
use crate::error::{Answer, Failure};
use crate::extract::IdempotencyKey;
use crate::keys::{Keys, Purpose};
use crate::random;

/// Five bits each: 60 bits, so that no two are alike.
const USERNAME_CHARS: usize = 12;
/// Five bits each: 130 bits, which nobody finds by trying.
const PASSWORD_CHARS: usize = 26;

/// Gives a device that is live a login in place of the one it had.
///
/// # Errors
/// `conflict` where its node has no SOCKS5 service, `not-found` where there is no such device.
pub async fn give(
    plane: &ControlPlane,
    write: &mut Write,
    public_key: &WireGuardPublicKey,
    request: &IdempotencyKey,
) -> Answer<Socks5Access> {
    let device = write.device(public_key).await?.filter(|device| device.removed_at.is_none());
    let device = device.ok_or_else(|| Failure::not_found("device", public_key))?;
    let node = write.node(&device.node).await?;
    let endpoint = node.and_then(|node| node.socks5_endpoint).ok_or_else(|| {
        let detail =
            format!("device: the node of {public_key} has no SOCKS5 service now; use its WireGuard file");
        Failure::new(ProblemKind::Conflict, detail)
    })?;
    let endpoint = Endpoint::checked("socks5_endpoint", &endpoint).map_err(Failure::internal)?;
    let password = password(&plane.keys, public_key, request);
    let username = device.socks5_username.clone().map_or_else(new_username, Ok)?;
    let login = Socks5Login { username, password_hash: Hash::of(password.as_bytes()) };
    if device.socks5_login().as_ref() != Some(&login) {
        write.set_socks5_login(public_key, &login).await?;
    }
    Ok(Socks5Access::new(endpoint.host, endpoint.port, login.username, password))
}

fn new_username() -> Answer<Socks5Username> {
    let mut name = random::word(&random::bytes::<8>());
    name.truncate(USERNAME_CHARS);
    name.parse().map_err(Failure::internal)
}

fn password(keys: &Keys, public_key: &WireGuardPublicKey, request: &IdempotencyKey) -> String {
    let Hash(secret) = keys.hash(Purpose::Socks5Password, &format!("{public_key}\n{}", request.0));
    let mut password = random::word(&secret);
    password.truncate(PASSWORD_CHARS);
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_for_the_same_request_of_the_same_device_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open_or_make(folder.path(), &"grants.example/record".parse().unwrap()).unwrap();
        let of =
            |key: u8, request: &str| password(&keys, &[key; 32].into(), &IdempotencyKey(request.to_owned()));
        assert_eq!(of(9, "first"), of(9, "first"));
        assert_ne!(of(9, "first"), of(9, "second"));
        assert_ne!(of(9, "first"), of(10, "first"));
        assert_eq!(of(9, "first").len(), 26);
        assert!(of(9, "first").bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        assert_eq!(new_username().unwrap().as_str().len(), 12);
        assert_ne!(new_username().unwrap(), new_username().unwrap());
    }
}
