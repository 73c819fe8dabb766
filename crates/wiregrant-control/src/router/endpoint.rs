//! One URL: its method, path, who may ask, and what it takes and answers.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};
use schemars::SchemaGenerator;
use wiregrant_core::api::ProblemKind;

use super::MAX_BODY_BYTES;
use crate::control_plane::Shared;
use crate::openapi::shape::{self, Documented, Shape};
use crate::sign_in::Who;

/// One URL of the API, or of a page.
pub struct Endpoint {
    /// Its method.
    pub method: Method,
    /// Its path: of the API below `PREFIX`, of a page in full.
    pub path: &'static str,
    /// Who may ask.
    pub who: Who,
    /// What it does, in a sentence.
    pub says: &'static str,
    /// How it may refuse, beside what follows from who may ask and from what goes in.
    pub problems: &'static [ProblemKind],
    /// What goes in and comes out.
    pub shape: fn(&mut SchemaGenerator) -> Shape<'_>,
    /// The longest body, in bytes.
    pub(super) body_bytes: usize,
    pub(super) handler: MethodRouter<Shared>,
}

impl Endpoint {
    fn new(
        method: Method,
        path: &'static str,
        who: Who,
        handler: MethodRouter<Shared>,
        shape: fn(&mut SchemaGenerator) -> Shape<'_>,
    ) -> Self {
        Self { method, path, who, says: "", problems: &[], shape, body_bytes: MAX_BODY_BYTES, handler }
    }

    pub(super) fn says(self, says: &'static str, problems: &'static [ProblemKind]) -> Self {
        Self { says, problems, ..self }
    }

    pub(super) fn with_body(self, bytes: usize) -> Self {
        Self { body_bytes: bytes, ..self }
    }
}

pub(super) fn get<H, T, D>(path: &'static str, who: Who, handler: H) -> Endpoint
where
    H: Handler<T, Shared> + Documented<D>,
    T: 'static,
{
    Endpoint::new(Method::GET, path, who, routing::get(handler), shape::of_handler::<H, D>)
}

pub(super) fn post<H, T, D>(path: &'static str, who: Who, handler: H) -> Endpoint
where
    H: Handler<T, Shared> + Documented<D>,
    T: 'static,
{
    Endpoint::new(Method::POST, path, who, routing::post(handler), shape::of_handler::<H, D>)
}

pub(super) fn put<H, T, D>(path: &'static str, who: Who, handler: H) -> Endpoint
where
    H: Handler<T, Shared> + Documented<D>,
    T: 'static,
{
    Endpoint::new(Method::PUT, path, who, routing::put(handler), shape::of_handler::<H, D>)
}

pub(super) fn delete<H, T, D>(path: &'static str, who: Who, handler: H) -> Endpoint
where
    H: Handler<T, Shared> + Documented<D>,
    T: 'static,
{
    Endpoint::new(Method::DELETE, path, who, routing::delete(handler), shape::of_handler::<H, D>)
}

/// Lines of the list of pages: these are for people, and not described.
pub(super) mod page {
    use axum::handler::Handler;
    use axum::http::Method;
    use axum::routing;

    use super::{Endpoint, shape};
    use crate::control_plane::Shared;
    use crate::sign_in::Who;

    pub fn get<H: Handler<T, Shared>, T: 'static>(path: &'static str, who: Who, handler: H) -> Endpoint {
        Endpoint::new(Method::GET, path, who, routing::get(handler), shape::of_page)
    }

    pub fn post<H: Handler<T, Shared>, T: 'static>(path: &'static str, who: Who, handler: H) -> Endpoint {
        Endpoint::new(Method::POST, path, who, routing::post(handler), shape::of_page)
    }
}
