//! A device's file, complete but for the private key, which never comes here.

use askama::Template;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;
use wiregrant_core::LocationId;
use wiregrant_core::api::{DeviceCreated, ProblemKind, Socks5Access};

use super::devices::of_person;
use super::frame::{self, Frame, Visitor};
use super::language::Language;
use super::person::Person;
use super::words::{PeopleWords, Words};
use crate::control_plane::Shared;
use crate::error::{Answer, Failure};
use crate::extract::Path;
use crate::placement;

/// A file's name becomes the name of a network interface, which Linux holds at 15 characters.
const MAX_NAME_CHARS: usize = 15;

/// `device_file.html`.
#[derive(Debug, Template)]
#[template(path = "device_file.html")]
pub struct DeviceFilePage {
    frame: Frame,
    w: &'static PeopleWords,
    file: String,
    name: String,
    path: String,
    socks5: Option<Socks5Access>,
}

impl DeviceFilePage {
    /// What the tests and the designer look at.
    ///
    /// # Panics
    /// Never: its values are fixed.
    #[must_use]
    pub fn sample(language: Language) -> Self {
        let file = "[Interface]\nPrivateKey = PUT-YOUR-PRIVATE-KEY-HERE\nAddress = 10.64.0.2/32, fd77:6772::2/128\n\
                    DNS = 9.9.9.9\nMTU = 1280\n\n[Peer]\nPublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
                    AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.7:51820\n";
        Self {
            frame: Frame { signed_in: true, ..Frame::sample(language, "devices") },
            w: Words::of(language).people,
            file: file.to_owned(),
            name: "de-fra.conf".to_owned(),
            path: BASE64URL_NOPAD.encode(&[9; 32]),
            socks5: Some(super::socks5::sample_access()),
        }
    }
}

/// What a file is called: the place, as far as it fits.
fn file_name(location: &LocationId) -> String {
    let name: String = location.as_str().chars().take(MAX_NAME_CHARS).collect();
    format!("{name}.conf")
}

/// The answer to a device that was placed: what belongs into the file for a module, a page for a browser.
///
/// # Errors
/// `internal` where the template fails.
pub fn made(visitor: &Visitor, created: &DeviceCreated) -> Answer<Response> {
    let file = created.device.configuration.to_wg_quick_with_hole();
    let name = file_name(&created.device.location);
    if visitor.wants_json {
        let socks5 = created.socks5_access.as_ref();
        return Ok(axum::Json(json!({ "file": file, "name": name, "socks5": socks5 })).into_response());
    }
    let page = DeviceFilePage {
        frame: visitor.clone().signed(true).frame("devices"),
        w: visitor.words.people,
        file,
        name,
        path: BASE64URL_NOPAD.encode(created.device.public_key.as_bytes()),
        socks5: created.socks5_access.clone(),
    };
    frame::page(StatusCode::OK, &page)
}

/// `GET /devices/{key}/file`: the file with a hole.
///
/// # Errors
/// `not-found` for a device of another code, or one that was removed.
pub async fn download(
    State(plane): State<Shared>,
    person: Person,
    Path(path): Path<String>,
) -> Answer<Response> {
    let mut read = plane.store.read().await?;
    let device = of_person(&mut read, &person.code, &path).await?;
    if device.removed_at.is_some() {
        return Err(Failure::new(ProblemKind::NotFound, "device: it was removed"));
    }
    let device = placement::shown(&plane, &mut read, device).await?;
    let disposition = format!("attachment; filename=\"{}\"", file_name(&device.location));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, device.configuration.to_wg_quick_with_hole()).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_is_one_that_an_interface_can_have() {
        let name = file_name(&"a-place-with-a-long-name".parse().unwrap());
        assert_eq!(name, "a-place-with-a-.conf");
    }
}
