//! What a handler takes and gives, read off its signature: the description cannot say something else than the code does.

use std::collections::BTreeSet;
use std::future::Future;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use wiregrant_core::api::ProblemKind;

use crate::answer::{Listed, PlainText};
use crate::error::Failure;
use crate::extract::{self, IdempotencyKey, Page, Text};
use crate::sign_in::{Caller, Holder};

/// The shape of one operation.
pub struct Shape<'g> {
    /// Where named schemas go.
    pub schemas: &'g mut SchemaGenerator,
    /// The variables of the path: by name, or the only one.
    pub path: Variables,
    /// The variables of the query, and whether each must be there.
    pub query: Vec<(String, Value, bool)>,
    /// What goes in: media type and schema.
    pub body: Option<(&'static str, Value)>,
    /// What comes out when all is well: status, media type and schema.
    pub answer: (u16, Option<(&'static str, Value)>),
    /// Whether 200 says that it was so already.
    pub may_be_there: bool,
    /// Whether there may be a next page.
    pub is_listed: bool,
    /// What follows from the parts: how each can be refused.
    pub problems: BTreeSet<ProblemKind>,
}

/// The variables of a path.
#[derive(Debug, Default)]
pub enum Variables {
    /// None are read.
    #[default]
    None,
    /// The only one.
    One(Value),
    /// Several, by name.
    Named(Map<String, Value>),
}

/// The shape of a handler.
pub fn of_handler<H: Documented<T>, T>(schemas: &mut SchemaGenerator) -> Shape<'_> {
    let mut shape = of_page(schemas);
    H::describe(&mut shape);
    shape
}

/// Pages for people are not described.
pub fn of_page(schemas: &mut SchemaGenerator) -> Shape<'_> {
    Shape {
        schemas,
        path: Variables::None,
        query: Vec::new(),
        body: None,
        answer: (204, None),
        may_be_there: false,
        is_listed: false,
        problems: BTreeSet::new(),
    }
}

impl Shape<'_> {
    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.schemas.subschema_for::<T>().to_value()
    }

    /// The properties of a struct, and which of them must be there.
    fn properties<T: JsonSchema>(&mut self) -> Option<(Map<String, Value>, BTreeSet<String>)> {
        let schema: Schema = T::json_schema(self.schemas);
        let properties = schema.get("properties")?.as_object()?.clone();
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned()));
        Some((properties, required.collect()))
    }
}

/// What a handler takes out of a request.
pub trait Input {
    /// Adds itself to the shape.
    fn describe(shape: &mut Shape<'_>);
}

/// What a handler answers with.
pub trait Output {
    /// Adds itself to the shape.
    fn describe(shape: &mut Shape<'_>);
}

/// A handler whose shape follows from its signature.
pub trait Documented<T> {
    /// Its shape.
    fn describe(shape: &mut Shape<'_>);
}

macro_rules! documented {
    ($($input:ident)*) => {
        impl<F, Answered, Out, $($input),*> Documented<($($input,)*)> for F
        where
            F: FnOnce($($input),*) -> Answered,
            Answered: Future<Output = Out>,
            Out: Output,
            $($input: Input,)*
        {
            fn describe(shape: &mut Shape<'_>) {
                $($input::describe(shape);)*
                Out::describe(shape);
            }
        }
    };
}
documented!();
documented!(A);
documented!(A B);
documented!(A B C);
documented!(A B C D);
documented!(A B C D E);
documented!(A B C D E G);

impl<S> Input for State<S> {
    fn describe(_: &mut Shape<'_>) {}
}

impl Input for Caller {
    fn describe(_: &mut Shape<'_>) {}
}

impl Input for Holder {
    fn describe(_: &mut Shape<'_>) {}
}

impl<A: Input, B: Input> Input for (A, B) {
    fn describe(shape: &mut Shape<'_>) {
        A::describe(shape);
        B::describe(shape);
    }
}

/// The header is described with every operation that takes one.
impl Input for IdempotencyKey {
    fn describe(_: &mut Shape<'_>) {}
}

impl<T: JsonSchema> Input for extract::Path<T> {
    fn describe(shape: &mut Shape<'_>) {
        shape.problems.insert(ProblemKind::InvalidRequest);
        shape.path = match shape.properties::<T>() {
            Some((properties, _)) => Variables::Named(properties),
            None => Variables::One(shape.schema::<T>()),
        };
    }
}

impl<T: JsonSchema> Input for extract::Query<T> {
    fn describe(shape: &mut Shape<'_>) {
        shape.problems.insert(ProblemKind::InvalidRequest);
        if let Some((properties, required)) = shape.properties::<T>() {
            let described = |(name, schema): (String, Value)| {
                let is_required = required.contains(&name);
                (name, schema, is_required)
            };
            shape.query.extend(properties.into_iter().map(described));
        }
    }
}

impl Input for Page {
    fn describe(shape: &mut Shape<'_>) {
        shape.problems.insert(ProblemKind::InvalidRequest);
        let limit = json!({
            "type": "integer", "minimum": 1, "maximum": Page::MAX_LIMIT, "default": Page::MAX_LIMIT,
            "description": "How many things at most.",
        });
        let cursor = json!({ "type": "string", "description": "From the link to the next page; opaque." });
        shape.query.extend([("limit".to_owned(), limit, false), ("cursor".to_owned(), cursor, false)]);
    }
}

impl<T: JsonSchema> Input for extract::Json<T> {
    fn describe(shape: &mut Shape<'_>) {
        shape.problems.extend([ProblemKind::InvalidRequest, ProblemKind::TooLarge]);
        shape.body = Some(("application/json", shape.schema::<T>()));
    }
}

impl Input for Text {
    fn describe(shape: &mut Shape<'_>) {
        shape.problems.extend([ProblemKind::InvalidRequest, ProblemKind::TooLarge]);
        shape.body = Some(("text/plain", json!({ "type": "string" })));
    }
}

impl<T: Output> Output for Result<T, Failure> {
    fn describe(shape: &mut Shape<'_>) {
        T::describe(shape);
    }
}

impl<T: JsonSchema> Output for Json<T> {
    fn describe(shape: &mut Shape<'_>) {
        shape.answer = (200, Some(("application/json", shape.schema::<T>())));
    }
}

/// What is created is answered with 201, and with 200 where it was so already; a test holds every answer against this.
impl<T: JsonSchema> Output for (StatusCode, Json<T>) {
    fn describe(shape: &mut Shape<'_>) {
        shape.may_be_there = true;
        shape.answer = (201, Some(("application/json", shape.schema::<T>())));
    }
}

impl Output for StatusCode {
    fn describe(shape: &mut Shape<'_>) {
        shape.answer = (204, None);
    }
}

impl<T: JsonSchema> Output for Listed<T> {
    fn describe(shape: &mut Shape<'_>) {
        let list = shape.schema::<wiregrant_core::api::List<T>>();
        shape.answer = (200, Some(("application/json", list)));
        shape.is_listed = true;
    }
}

impl Output for PlainText {
    fn describe(shape: &mut Shape<'_>) {
        shape.answer = (200, Some(("text/plain", json!({ "type": "string" }))));
    }
}

impl Output for String {
    fn describe(shape: &mut Shape<'_>) {
        PlainText::describe(shape);
    }
}
