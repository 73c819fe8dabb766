//! `testbed screenshots`: pictures of the main pages for the documentation, from the same samples that the tests look at.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::browser::{Browser, Scripts, Setup, Theme, Window};
use crate::host::Host;
use crate::programs::Programs;
use crate::samples::Samples;

/// A picture: the sample's name, the theme, the window, and what the file is called.
type Picture = (&'static str, Theme, Window, &'static str);

/// What the documentation shows.
const PICTURES: &[Picture] = &[
    ("redeem.en", Theme::Light, Window::PHONE, "redeem-phone"),
    ("redeem.fa", Theme::Dark, Window::PHONE, "redeem-phone-fa-dark"),
    ("devices.en", Theme::Light, Window::DESKTOP, "devices"),
    ("devices.fa", Theme::Light, Window::PHONE, "devices-phone-fa"),
    ("landing", Theme::Light, Window::DESKTOP, "landing"),
    ("grant", Theme::Light, Window::DESKTOP, "grant"),
    ("grant", Theme::Dark, Window::DESKTOP, "grant-dark"),
    ("grant", Theme::Light, Window::PHONE, "grant-phone"),
    ("operator_payouts", Theme::Dark, Window::PHONE, "payouts-phone-dark"),
    ("codes.made", Theme::Light, Window::DESKTOP, "codes"),
    ("operator_nodes", Theme::Light, Window::DESKTOP, "nodes"),
    ("funder", Theme::Dark, Window::DESKTOP, "funder-dark"),
    ("new_batch", Theme::Light, Window::PHONE, "new-batch-phone"),
    ("batch", Theme::Light, Window::DESKTOP, "batch"),
    ("admin", Theme::Light, Window::DESKTOP, "admin"),
    ("admin_grants", Theme::Light, Window::DESKTOP, "grants"),
    ("grant_terms", Theme::Light, Window::DESKTOP, "new-grant"),
    ("admin_grant", Theme::Dark, Window::PHONE, "admin-grant-phone-dark"),
    ("organisations", Theme::Light, Window::DESKTOP, "organisations"),
    ("decisions", Theme::Light, Window::DESKTOP, "decisions"),
];

/// Which pictures are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Those of the main pages.
    Documentation,
    /// Of every page, on a desktop and on a phone, to look at while one is made.
    EverySample,
}

/// Takes the pictures into a folder.
///
/// # Errors
/// When the browser does not come up or the folder cannot be written.
pub fn take(programs: &Programs, folder: &Path, which: Pictures) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let logs = tempfile::tempdir()?;
    let host = Host::new()?;
    let samples = Samples::serve(&host, logs.path())?;
    let setup =
        Setup { window: Window::DESKTOP, language: "en", scripts: Scripts::Run, trusted_origin: None };
    let browser = Browser::start(programs, &host, &setup, logs.path())?;
    if which == Pictures::EverySample {
        for name in samples.addresses.keys() {
            for (theme, window, suffix) in
                [(Theme::Light, Window::DESKTOP, "desktop"), (Theme::Dark, Window::PHONE, "phone-dark")]
            {
                picture(&browser, &samples, folder, (name, theme, window, &format!("{name}-{suffix}")))?;
            }
        }
        return Ok(());
    }
    PICTURES.iter().try_for_each(|picture_of| picture(&browser, &samples, folder, *picture_of))
}

fn picture(
    browser: &Browser,
    samples: &Samples,
    folder: &Path,
    (page, theme, window, name): (&str, Theme, Window, &str),
) -> Result<()> {
    let address = samples.addresses.get(page).with_context(|| format!("there is no sample {page}"))?;
    browser.resize(window)?;
    browser.set_theme(theme)?;
    browser.open(address)?;
    let path = folder.join(format!("{name}.png"));
    std::fs::write(&path, browser.screenshot_of_page()?).with_context(|| path.display().to_string())
}
