//! Sessions: a browser that is signed in with somebody's token.

use data_encoding::BASE64URL_NOPAD;
use transparency_log::Hash;
use wiregrant_core::Timestamp;
use wiregrant_core::api::{ProblemKind, Role};
use wiregrant_store::{self as store, Write};

use super::cookie::{Cookie, SameSite};
use super::{Asked, credential};
use crate::control_plane::ControlPlane;
use crate::error::{Answer, Failure};
use crate::keys::Purpose;
use crate::random;

/// Sessions of one token at a time; one more ends the oldest.
pub const SESSIONS_PER_TOKEN: u64 = 20;
/// How often a session's last use is noted, in seconds: no finer trace of anyone's doings is kept.
const SEEN_STEP_SECONDS: u64 = 300;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// How long a session lasts, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// From when it was opened.
    pub in_all: u64,
    /// From when it was used last.
    pub idle: u64,
}

/// How long a session of this role lasts. Whoever can do more signs in more often.
#[must_use]
pub fn lifetime(role: Role) -> Lifetime {
    match role {
        Role::Administrator => Lifetime { in_all: 12 * HOUR, idle: HOUR },
        Role::Funder | Role::Auditor => Lifetime { in_all: DAY, idle: 2 * HOUR },
        Role::Operator | Role::Distributor => Lifetime { in_all: 30 * DAY, idle: 7 * DAY },
    }
}

/// The longest that any session lasts.
const LONGEST: Lifetime = Lifetime { in_all: 30 * DAY, idle: 7 * DAY };

/// A session that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The header that gives the browser its cookie.
    pub set_cookie: String,
    /// The token it was opened with.
    pub token: store::Token,
}

/// Opens a session for whoever has this token. The one that signs in once is used up by it.
///
/// # Errors
/// `unauthorized`, `busy`.
pub async fn open(plane: &ControlPlane, asked: &Asked<'_>, token: &str) -> Answer<Opened> {
    let now = plane.clock.now();
    let hash = plane.keys.hash(Purpose::Token, token.trim());
    // Looked up before the writers' lock is taken: guessing keeps no report waiting.
    credential::usable(plane.store.read().await?.token_of_hash(hash).await?, now)?;
    let mut write = plane.store.write().await?;
    let token = credential::usable(write.token_of_hash(hash).await?, now)?;
    delete_ended(&mut write, now).await?;
    let secret = BASE64URL_NOPAD.encode(&random::bytes::<32>());
    write.insert_browser_session(session_hash(plane, &secret), &token.token, SESSIONS_PER_TOKEN, now).await?;
    if token.one_time {
        write.spend_token(&token.token, now).await?;
    }
    write.commit().await?;
    if token.one_time {
        plane.forget_bootstrap_file();
    }
    let role = token.party.role();
    let same_site = if role == Role::Administrator { SameSite::Strict } else { SameSite::Lax };
    let cookie = Cookie::for_request(&plane.config.public_urls, asked);
    Ok(Opened { set_cookie: cookie.set(&secret, same_site, lifetime(role).in_all), token })
}

/// Ends the session whose cookie was sent, if any; the header takes the cookie away.
///
/// # Errors
/// `busy`.
pub async fn close(plane: &ControlPlane, asked: &Asked<'_>) -> Answer<String> {
    let cookie = Cookie::for_request(&plane.config.public_urls, asked);
    if let Some(secret) = cookie.value(asked) {
        let mut write = plane.store.write().await?;
        write.delete_browser_session(session_hash(plane, secret)).await?;
        write.commit().await?;
    }
    Ok(cookie.unset())
}

/// The token whose session's cookie was sent.
///
/// # Errors
/// `unauthorized`, `busy`.
pub async fn token(plane: &ControlPlane, asked: &Asked<'_>) -> Answer<store::Token> {
    let nobody = || {
        Failure::new(
            ProblemKind::Unauthorized,
            "send the header `Authorization: Bearer <token or access code>`, or sign in",
        )
    };
    let cookie = Cookie::for_request(&plane.config.public_urls, asked);
    let hash = session_hash(plane, cookie.value(asked).ok_or_else(nobody)?);
    let now = plane.clock.now();
    let mut read = plane.store.read().await?;
    let session = read.browser_session(hash).await?.ok_or_else(nobody)?;
    let token = read.token(&session.token).await?.ok_or_else(nobody)?;
    drop(read);
    let Lifetime { in_all, idle } = lifetime(token.party.role());
    let is_over = token.revoked_at.is_some()
        || session.created_at.plus_seconds(in_all) <= now
        || session.seen_at.plus_seconds(idle) <= now;
    if is_over {
        return Err(nobody());
    }
    if session.seen_at.plus_seconds(SEEN_STEP_SECONDS) <= now {
        let mut write = plane.store.write().await?;
        write.touch_browser_session(hash, now).await?;
        write.commit().await?;
    }
    Ok(token)
}

/// Deletes what is over for any role. How many.
///
/// # Errors
/// `busy`.
pub async fn delete_ended(write: &mut Write, now: Timestamp) -> Answer<u64> {
    let ago = |seconds: u64| {
        Timestamp::from_unix_seconds(now.unix_seconds().saturating_sub_unsigned(seconds).max(0))
    };
    Ok(write.delete_browser_sessions(ago(LONGEST.in_all)?, ago(LONGEST.idle)?).await?)
}

fn session_hash(plane: &ControlPlane, secret: &str) -> Hash {
    plane.keys.hash(Purpose::Session, secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_session_outlives_what_the_retention_job_waits_for() {
        for role in Role::ALL {
            let Lifetime { in_all, idle } = lifetime(*role);
            assert!(in_all <= LONGEST.in_all && idle <= LONGEST.idle && idle <= in_all, "{role}");
        }
    }
}
