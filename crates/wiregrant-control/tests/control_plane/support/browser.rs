//! A browser without JavaScript: it keeps the cookies it is given, and sends forms.

use axum::body::Body;
use axum::http::{Method, Request, header};

use super::{Answered, Plane};

/// What a browser says of a form on this site's own page.
pub const HERE: (&str, &str) = ("sec-fetch-site", "same-origin");

pub struct Browser<'p> {
    plane: &'p Plane,
    pub cookies: Vec<(String, String)>,
    pub language: &'static str,
}

impl<'p> Browser<'p> {
    pub fn new(plane: &'p Plane) -> Self {
        Self { plane, cookies: Vec::new(), language: "en" }
    }

    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Answered {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "grants.example")
            .header(header::ACCEPT_LANGUAGE, self.language)
            .header(header::COOKIE, cookies.join("; "))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let escaped = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let body: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let answer = self.plane.send(request.body(Body::from(body.join("&"))).unwrap()).await;
        for cookie in &answer.cookies {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !cookie.contains("Max-Age=0") {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    pub async fn get(&mut self, path: &str) -> Answered {
        self.ask(Method::GET, path, &[], &[]).await
    }

    pub async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answered {
        self.ask(Method::POST, path, &[HERE], form).await
    }

    /// Signs in with a token.
    pub async fn sign_in(&mut self, token: &str) {
        let answer = self.post("/sign-in", &[("token", token)]).await;
        assert_eq!(answer.status.as_u16(), 303, "{}", answer.body);
    }
}
