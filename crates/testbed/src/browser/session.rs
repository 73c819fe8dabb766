//! `Session`: a browser's driver, and the WebDriver session with it (<https://www.w3.org/TR/webdriver2/>).
//!
//! The protocol is JSON over HTTP, and a dozen commands of it are used, so it is spoken here instead of taking a crate in. The
//! driver listens inside the host; a [`Relay`] leads to it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::host::Host;
use crate::process::Process;
use crate::programs::Programs;
use crate::relay::Relay;
use crate::wait::eventually;

/// Where the driver listens in its host.
const DRIVER: &str = "127.0.0.1:9515";
/// A browser starts within seconds, also on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(90);
/// What the driver may take for one answer: a page that never ends to load is a failure, and not a test that never ends.
const ANSWER_LIMIT: Duration = Duration::from_secs(150);

/// How large a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// In CSS pixels.
    pub width: u32,
    /// In CSS pixels.
    pub height: u32,
    /// Whether it behaves as a phone's: touch, and the page's own viewport.
    pub mobile: bool,
}

impl Window {
    /// A laptop's.
    pub const DESKTOP: Self = Self { width: 1280, height: 800, mobile: false };
    /// A small phone's.
    pub const PHONE: Self = Self { width: 375, height: 740, mobile: true };
}

/// What a browser is started with.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Its window.
    pub window: Window,
    /// The language it prefers.
    pub language: &'static str,
    /// Whether pages may run scripts.
    pub scripts: Scripts,
    /// An origin without TLS that is taken as safe, so that WebCrypto is there.
    pub trusted_origin: Option<String>,
}

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    /// They may.
    Run,
    /// They may not.
    Blocked,
}

/// A session of a driver that runs. Both end with it.
pub struct Session {
    http: ureq::Agent,
    /// The session's own address.
    url: String,
    _driver: Process,
    _relay: Relay,
}

impl Session {
    /// Starts a driver in a host, and with it a browser whose profile is in `folder`.
    ///
    /// # Errors
    /// When the driver does not come up; `cargo xtask test packages` installs it.
    pub fn start(
        programs: &Programs,
        host: &Host,
        setup: &Setup,
        folder: &Path,
        logs: &Path,
    ) -> Result<Self> {
        let mut command = host.command("chromedriver");
        command.arg("--port=9515").env("HOME", folder);
        let driver = Process::spawn("chromedriver", &mut command, logs)?;
        let relay = Relay::start(programs, host, DRIVER, logs)?;
        let http: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_LIMIT))
            .build()
            .into();
        let root = format!("http://{}", relay.address);
        let id = open(&http, &root, &capabilities(setup, folder), driver.log())?;
        Ok(Self { http, url: format!("{root}/session/{id}"), _driver: driver, _relay: relay })
    }

    /// Asks for what is below the session's address.
    ///
    /// # Errors
    /// What the driver says.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(format!("{}/{path}", self.url)).call();
        value(answer.with_context(|| path.to_owned())?).with_context(|| path.to_owned())
    }

    /// Gives a command.
    ///
    /// # Errors
    /// What the driver says.
    #[expect(clippy::needless_pass_by_value, reason = "bodies are written where they are sent")]
    pub fn post(&self, path: &str, body: Value) -> Result<Value> {
        let answer = self.http.post(format!("{}/{path}", self.url)).send_json(&body);
        value(answer.with_context(|| path.to_owned())?).with_context(|| format!("{path} {body}"))
    }

    /// A command of DevTools, which the driver passes on.
    ///
    /// # Errors
    /// What the driver says.
    pub fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters }))
    }

    /// What was logged since the last time this was asked.
    ///
    /// # Errors
    /// What the driver says.
    pub fn log(&self, kind: &str) -> Result<Vec<Value>> {
        let entries = self.post("se/log", json!({ "type": kind }))?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The driver ends the browser when its session ends; ended by a signal it would leave it behind.
        let _ = self.http.delete(&self.url).call();
    }
}

/// What the browser is started with, as the driver wants it told.
fn capabilities(setup: &Setup, folder: &Path) -> Value {
    let mut arguments = vec![
        "--headless=new".to_owned(),
        // The tests run as root, in a network namespace of their own.
        "--no-sandbox".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-background-networking".to_owned(),
        "--no-first-run".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--user-data-dir={}", folder.join("profile").display()),
        format!("--lang={}", setup.language),
        format!("--window-size={},{}", setup.window.width, setup.window.height),
    ];
    if let Some(origin) = &setup.trusted_origin {
        arguments.push(format!("--unsafely-treat-insecure-origin-as-secure={origin}"));
    }
    let preferences = json!({ "intl.accept_languages": setup.language });
    let mut options = json!({ "args": arguments, "prefs": preferences });
    if setup.window.mobile {
        // The driver has to know of it, or it clicks beside what it means.
        let Window { width, height, .. } = setup.window;
        let metrics = json!({ "width": width, "height": height, "pixelRatio": 1, "touch": true });
        options["mobileEmulation"] = json!({ "deviceMetrics": metrics });
    }
    // Where scripts are blocked, the mouse is moved past the driver, and it is not the driver that waits for the next page.
    let load_strategy = if setup.scripts == Scripts::Blocked { "none" } else { "normal" };
    json!({ "capabilities": { "alwaysMatch": {
        "browserName": "chrome",
        "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        "goog:chromeOptions": options,
        "unhandledPromptBehavior": "accept",
        "pageLoadStrategy": load_strategy,
    } } })
}

/// Opens a session once the driver listens, and gives its id.
fn open(http: &ureq::Agent, root: &str, capabilities: &Value, log: &Path) -> Result<String> {
    eventually("the driver of the browser", START_LIMIT, &[log], || {
        let ready = http.get(format!("{root}/status")).call();
        Ok(ready.is_ok_and(|answer| answer.status() == 200).then_some(()))
    })?;
    let answer = value(http.post(format!("{root}/session")).send_json(capabilities)?)?;
    Ok(answer["sessionId"].as_str().context("a session has an id")?.to_owned())
}

/// What WebDriver answered, or its error.
fn value(mut answer: ureq::http::Response<ureq::Body>) -> Result<Value> {
    // Screenshots of long pages are the longest answers.
    let body = answer.body_mut().with_config().limit(64 * 1024 * 1024).read_to_string()?;
    let mut body: Value =
        serde_json::from_str(&body).with_context(|| format!("the driver answered {body:?}"))?;
    let value = body["value"].take();
    if !answer.status().is_success() {
        bail!(
            "{}: {}",
            value["error"].as_str().unwrap_or_default(),
            value["message"].as_str().unwrap_or_default()
        );
    }
    Ok(value)
}
