//! Forms that work without scripts: signing in and out. Pages have their own address space beside the API and the same gate.

use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use wiregrant_core::api::ProblemKind;

use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Query;
use crate::pages::{SignIn, staff};
use crate::sign_in::{self, Asked, Holder};

/// Where one signs in.
pub const SIGN_IN: &str = "/sign-in";
/// Where one signs out.
pub const SIGN_OUT: &str = "/sign-out";
const MAX_NEXT_BYTES: usize = 512;

/// `?next=<path>`
#[derive(Debug, Default, Deserialize)]
pub struct Leading {
    /// Where to go once one is signed in.
    next: Option<String>,
}

/// What is filled in.
#[derive(Deserialize)]
struct Filled {
    token: String,
    next: Option<String>,
}

/// `GET /sign-in`
///
/// # Errors
/// `internal`.
pub async fn show(
    State(plane): State<Shared>,
    holder: Option<Holder>,
    Query(Leading { next }): Query<Leading>,
) -> Answer<Response> {
    page(&plane, StatusCode::OK, next.as_deref(), holder, None)
}

/// `POST /sign-in`: a token in, a cookie out.
///
/// # Errors
/// `invalid-request`, `busy`, `internal`. A token that does not sign in is said on the page.
pub async fn sign_in(State(plane): State<Shared>, request: Request) -> Answer<Response> {
    let (parts, body) = request.into_parts();
    let asked = Asked::of_head(&parts);
    let form = Request::from_parts(parts.clone(), body);
    let axum::Form(Filled { token, next }) = axum::Form::from_request(form, &())
        .await
        .map_err(|error| Failure::new(ProblemKind::InvalidRequest, format!("form: {}", error.body_text())))?;
    let opened = match sign_in::open(&plane, &asked, &token).await {
        Ok(opened) => opened,
        Err(failure) if failure.problem().is(ProblemKind::Unauthorized) => {
            let why = Some(failure.problem().detail.clone());
            return page(&plane, StatusCode::UNAUTHORIZED, next.as_deref(), None, why);
        }
        Err(failure) => return Err(failure),
    };
    // Also ends the session that the browser had before, which nobody could use any more.
    sign_in::close(&plane, &asked).await?;
    with_cookie(Redirect::to(safe(next.as_deref())), &opened.set_cookie)
}

/// `POST /sign-out`
///
/// # Errors
/// `busy`, `internal`.
pub async fn sign_out(State(plane): State<Shared>, request: Request) -> Answer<Response> {
    let (parts, _) = request.into_parts();
    let cookie = sign_in::close(&plane, &Asked::of_head(&parts)).await?;
    with_cookie(Redirect::to("/"), &cookie)
}

fn page(
    plane: &Shared,
    status: StatusCode,
    next: Option<&str>,
    holder: Option<Holder>,
    refused: Option<String>,
) -> Answer<Response> {
    let page = SignIn {
        frame: staff::frame(&plane.config.title, Vec::new(), ""),
        next: safe(next).to_owned(),
        holder: holder.map(|holder| holder.name),
        refused,
    };
    let html = Html(askama::Template::render(&page).map_err(Failure::internal)?);
    Ok((status, [(header::CACHE_CONTROL, "no-store")], html).into_response())
}

fn with_cookie(redirect: Redirect, cookie: &str) -> Answer<Response> {
    let mut response = redirect.into_response();
    let cookie = HeaderValue::from_str(cookie).map_err(Failure::internal)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// The path to go on to: one of this site's own, whatever a link asked for.
fn safe(next: Option<&str>) -> &str {
    let is_own = |next: &&str| {
        next.starts_with('/')
            && next.len() <= MAX_NEXT_BYTES
            && !next[1..].starts_with(['/', '\\'])
            && next.bytes().all(|byte| byte.is_ascii_graphic())
    };
    next.filter(is_own).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_link_leads_from_here_to_another_site() {
        for own in ["/", "/operator?a=b", "/r/spring/"] {
            assert_eq!(safe(Some(own)), own);
        }
        for other in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\nb", "/\t/evil.example"]
        {
            assert_eq!(safe(Some(other)), "/", "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_path_leads_somewhere_here(next in "\\PC{0,40}|/[/\\\\a-z]{0,8}") {
            let next = safe(Some(&next));
            prop_assert!(next.starts_with('/') && !next.starts_with("//") && !next.starts_with("/\\"));
        }
    }
}
