//! `Browser`: a real Chromium in a host, and what a person does with it: opens pages, clicks, types, looks, downloads.

mod session;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::host::Host;
use crate::programs::Programs;
use crate::wait::eventually;
use session::Session;

pub use session::{Scripts, Setup, Window};

/// For what a page does within a moment.
const MOMENT: Duration = Duration::from_secs(60);
/// What WebDriver calls an element's reference.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Light or dark, as the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// Dark ink on light paper.
    Light,
    /// Light ink on dark paper.
    Dark,
}

/// An element of a page.
#[derive(Debug, Clone)]
pub struct Element(String);

/// A browser that runs.
pub struct Browser {
    session: Session,
    scripts: Scripts,
    downloads: PathBuf,
    // Its folder outlives the session, which writes into it until it ends.
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser in a host. Its profile is empty, and gone with it.
    ///
    /// # Errors
    /// When the driver does not come up; `cargo xtask test packages` installs it.
    pub fn start(programs: &Programs, host: &Host, setup: &Setup, logs: &Path) -> Result<Self> {
        let profile = tempfile::Builder::new().prefix("wiregrant-browser-").tempdir()?;
        let downloads = profile.path().join("downloads");
        std::fs::create_dir(&downloads)?;
        let session = Session::start(programs, host, setup, profile.path(), logs)?;
        let browser = Self { session, scripts: setup.scripts, downloads, _profile: profile };
        let folder = browser.downloads.display().to_string();
        browser.devtools(
            "Browser.setDownloadBehavior",
            json!({ "behavior": "allow", "downloadPath": folder }),
        )?;
        if setup.scripts == Scripts::Blocked {
            browser.devtools("Emulation.setScriptExecutionDisabled", json!({ "value": true }))?;
        }
        Ok(browser)
    }

    /// Opens an address and waits until it has loaded, where scripts run; else whoever looks at the page waits for what is on it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn open(&self, url: &str) -> Result<()> {
        self.session.post("url", json!({ "url": url })).map(drop)
    }

    /// The address of the page.
    ///
    /// # Errors
    /// What the driver says.
    pub fn address(&self) -> Result<String> {
        let address = self.session.get("url")?;
        Ok(address.as_str().context("an address is a text")?.to_owned())
    }

    /// Waits until the address of the page ends with this.
    ///
    /// # Errors
    /// When it does not for a while.
    pub fn arrives(&self, end: &str) -> Result<()> {
        eventually(&format!("an address that ends with {end}"), MOMENT, &[], || {
            Ok(self.address()?.ends_with(end).then_some(()))
        })
    }

    /// The first element that a CSS selector finds and that is to be seen; waited for.
    ///
    /// # Errors
    /// When there is none for a while; what the page shows is told.
    pub fn find(&self, css: &str) -> Result<Element> {
        self.with(css, |element| Ok(element.clone()))
    }

    /// Does something with the first element that a selector finds and that is to be seen; waited for, and done once.
    fn with<T>(&self, css: &str, act: impl Fn(&Element) -> Result<T>) -> Result<T> {
        let done = eventually(&format!("{css} to be seen"), MOMENT, &[], || {
            for element in self.all(css)? {
                let displayed = self.session.get(&format!("element/{}/displayed", element.0));
                match displayed.and_then(|shown| (shown == true).then(|| act(&element)).transpose()) {
                    Ok(Some(done)) => return Ok(Some(done)),
                    Ok(None) => {}
                    // The page turned meanwhile.
                    Err(error) if format!("{error:#}").contains("stale element reference") => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(None)
        });
        done.with_context(|| format!("the page shows:\n{}", self.text().unwrap_or_default()))
    }

    /// All elements that a CSS selector finds now.
    ///
    /// # Errors
    /// What the driver says.
    pub fn all(&self, css: &str) -> Result<Vec<Element>> {
        let found = self.session.post("elements", json!({ "using": "css selector", "value": css }))?;
        let found = found.as_array().context("elements are a list")?;
        Ok(found
            .iter()
            .filter_map(|element| element[ELEMENT].as_str())
            .map(|id| Element(id.to_owned()))
            .collect())
    }

    /// Clicks what a selector finds.
    ///
    /// # Errors
    /// When it is not there, or something lies over it.
    pub fn click(&self, css: &str) -> Result<()> {
        self.with(css, |element| match self.scripts {
            Scripts::Run => self.session.post(&format!("element/{}/click", element.0), json!({})).map(drop),
            // Before it clicks, the driver waits for a timer of the page, which never fires where scripts are blocked.
            Scripts::Blocked => self.click_in_the_middle(css),
        })
    }

    /// Presses and releases the mouse over what a selector finds first.
    fn click_in_the_middle(&self, css: &str) -> Result<()> {
        let shown =
            format!("[...document.querySelectorAll({})].find((e) => e.checkVisibility())", json!(css));
        // What still loads may move it.
        eventually("a page that has loaded", MOMENT, &[], || {
            Ok((self.evaluate("document.readyState")? == json!("complete")).then_some(()))
        })?;
        self.evaluate(&format!("{shown}.scrollIntoView({{ block: 'center', behavior: 'instant' }})"))?;
        // The mouse meets what was drawn last, which a picture waits for.
        self.screenshot()?;
        // What breaks into two lines has two places, and nothing of it may lie in the middle of both.
        let place = self.evaluate(&format!(
            "(({{ x, y, width, height }}) => ({{ x: x + width / 2, y: y + height / 2 }}))({shown}.getClientRects()[0])"
        ))?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event =
                json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
            self.devtools("Input.dispatchMouseEvent", event)?;
        }
        Ok(())
    }

    /// Types into what a selector finds, after what stands there.
    ///
    /// # Errors
    /// When it is not there.
    pub fn type_into(&self, css: &str, text: &str) -> Result<()> {
        self.with(css, |element| {
            self.session.post(&format!("element/{}/value", element.0), json!({ "text": text })).map(drop)
        })
    }

    /// The text of what a selector finds.
    ///
    /// # Errors
    /// When it is not there.
    pub fn text_of(&self, css: &str) -> Result<String> {
        let text = self.with(css, |element| self.session.get(&format!("element/{}/text", element.0)))?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// A property of what a selector finds, such as `value`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn property(&self, css: &str, name: &str) -> Result<Value> {
        self.with(css, |element| self.session.get(&format!("element/{}/property/{name}", element.0)))
    }

    /// Waits until the text of what a selector finds has this in it.
    ///
    /// # Errors
    /// When it has not for a while; what the page shows is told.
    pub fn shows(&self, css: &str, text: &str) -> Result<()> {
        let found = eventually(&format!("{text:?} in {css}"), MOMENT, &[], || {
            Ok(self.text_of(css).is_ok_and(|shown| shown.contains(text)).then_some(()))
        });
        found.with_context(|| format!("the page shows:\n{}", self.text().unwrap_or_default()))
    }

    /// All text that the page shows.
    ///
    /// # Errors
    /// What the driver says.
    pub fn text(&self) -> Result<String> {
        let Some(body) = self.all("body")?.into_iter().next() else { return Ok(String::new()) };
        Ok(self.session.get(&format!("element/{}/text", body.0))?.as_str().unwrap_or_default().to_owned())
    }

    /// A picture of the window.
    ///
    /// # Errors
    /// What the driver says.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        png(&self.session.get("screenshot")?)
    }

    /// A picture of the whole page, as long as it is.
    ///
    /// # Errors
    /// What the driver says.
    pub fn screenshot_of_page(&self) -> Result<Vec<u8>> {
        let shot = json!({ "format": "png", "captureBeyondViewport": true });
        png(&self.devtools("Page.captureScreenshot", shot)?["data"])
    }

    /// A picture of one element, twice as large as it is shown, wherever on the page it is.
    ///
    /// # Errors
    /// When it is not there.
    pub fn screenshot_of(&self, css: &str) -> Result<Vec<u8>> {
        self.find(css)?;
        let place = format!(
            "(() => {{ const {{ x, y, width, height }} = document.querySelector({}).getBoundingClientRect();
                return {{ x: x + scrollX, y: y + scrollY, width, height, scale: 2 }}; }})()",
            json!(css)
        );
        let clip = self.evaluate(&place)?;
        let shot = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        png(&self.devtools("Page.captureScreenshot", shot)?["data"])
    }

    /// Presses one key so many times, as a keyboard does; special keys are WebDriver's code points, such as `\u{e004}` for the
    /// tabulator.
    ///
    /// # Errors
    /// What the driver says.
    pub fn press(&self, key: char, times: usize) -> Result<()> {
        let once = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let actions: Vec<Value> = std::iter::repeat_n(once, times).flatten().collect();
        let keyboard = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.session.post("actions", keyboard).map(drop)
    }

    /// The value of an expression in the page, awaited if it is a promise. What it loads is held to no policy of the page.
    ///
    /// # Errors
    /// What it throws.
    pub fn evaluate(&self, expression: &str) -> Result<Value> {
        let question = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.devtools("Runtime.evaluate", question)?;
        ensure!(answer.get("exceptionDetails").is_none(), "{}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].clone())
    }

    /// Changes the window, to look at the page; what is clicked afterwards may be missed.
    ///
    /// # Errors
    /// What the driver says.
    pub fn resize(&self, window: Window) -> Result<()> {
        let Window { width, height, mobile } = window;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).map(drop)
    }

    /// Changes the theme.
    ///
    /// # Errors
    /// What the driver says.
    pub fn set_theme(&self, theme: Theme) -> Result<()> {
        let value = if theme == Theme::Dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).map(drop)
    }

    /// The one file that was downloaded, once it is whole; it is taken out of the folder.
    ///
    /// # Errors
    /// When there is none for a while, or it is no text.
    pub fn downloaded(&self) -> Result<(String, String)> {
        let (name, bytes) = self.downloaded_bytes()?;
        Ok((name, String::from_utf8(bytes)?))
    }

    /// The same of a file that is no text.
    ///
    /// # Errors
    /// As [`Self::downloaded`].
    pub fn downloaded_bytes(&self) -> Result<(String, Vec<u8>)> {
        eventually("a download", MOMENT, &[], || {
            for entry in std::fs::read_dir(&self.downloads)? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                // Chromium writes under another name until all is there.
                if name.ends_with(".crdownload") || name.starts_with('.') {
                    continue;
                }
                let bytes = std::fs::read(&path)?;
                // It keeps its place with an empty file until then.
                if bytes.is_empty() {
                    continue;
                }
                std::fs::remove_file(&path)?;
                return Ok(Some((name, bytes)));
            }
            Ok(None)
        })
    }

    /// Every request of pages since the last time this was asked: its address, and its body where it has one.
    ///
    /// # Errors
    /// What the driver says.
    pub fn requests(&self) -> Result<Vec<(String, String)>> {
        let mut requests = Vec::new();
        for entry in self.session.log("performance")? {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap_or_default())?;
            let message = &message["message"];
            if message["method"] == "Network.requestWillBeSent" {
                let request = &message["params"]["request"];
                let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
                requests.push((text("url"), text("postData")));
            }
        }
        Ok(requests)
    }

    /// What the console said since the last time this was asked: errors, and violations of the policy.
    ///
    /// # Errors
    /// What the driver says.
    pub fn complaints(&self) -> Result<Vec<String>> {
        let entries = self.session.log("browser")?;
        // What is said for whoever develops a page, and no fault of it, has a level below these.
        let grave = entries.iter().filter(|entry| entry["level"] == "WARNING" || entry["level"] == "SEVERE");
        Ok(grave.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// A DevTools command.
    ///
    /// # Errors
    /// What the driver says.
    pub fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.session.devtools(command, parameters)
    }
}

fn png(base64: &Value) -> Result<Vec<u8>> {
    Ok(BASE64.decode(base64.as_str().context("a picture is base64")?.as_bytes())?)
}
