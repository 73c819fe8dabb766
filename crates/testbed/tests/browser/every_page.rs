//! Every page of every role, in both themes and on both windows: nothing that axe finds, nothing that the keyboard does not reach,
//! nothing that needs scrolling sideways at 200 % zoom.

use std::path::Path;

use serde_json::Value;
use testbed::browser::{Browser, Scripts, Setup, Theme, Window};
use testbed::host::Host;
use testbed::samples::Samples;

use crate::support::{programs, turn};

/// The tabulator, as WebDriver names it.
const TAB: char = '\u{e004}';
/// More than any page has to stop at.
const MAX_STOPS: usize = 300;
/// A window of 1,280 pixels at 200 %, a small phone, and the narrowest that WCAG 2.2 asks for (success criterion 1.4.10).
const NARROW: [u32; 3] = [640, 375, 320];
/// A desktop, and the narrowest window in which tables are not cards yet.
const WIDE: [u32; 2] = [1_280, 900];

/// What stands out of the column that a page's content has, in a form that is told.
const STANDS_OUT: &str = r#"(({ left, right }) => [...document.querySelectorAll("main :is(table, pre, dl, form, figure)")]
    .filter((e) => e.checkVisibility())
    .filter((e) => e.getBoundingClientRect().left < left - 1 || e.getBoundingClientRect().right > right + 1)
    .map((e) => e.outerHTML.slice(0, 80)))(document.querySelector("main").getBoundingClientRect())"#;

/// What can be reached and is to be seen, in a form that is told.
const REACHABLE: &str = r#"[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary")]
    .filter((e) => !e.disabled && e.checkVisibility({ visibilityProperty: true }))
    .filter((e) => e.type !== "radio" || e.checked || !document.querySelector(`[name=${e.name}]:checked`))
    .map((e) => e.outerHTML.slice(0, 80))"#;

/// Keeps what the keyboard reaches, in the same form.
const LISTEN: &str = r#"window.reached = [];
    document.addEventListener("focusin", (event) => { window.reached.push(event.target.outerHTML.slice(0, 80)); });"#;

/// What axe finds, told.
const FOUND: &str =
    "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((n) => n.html + ' ' + n.failureSummary).join(' | ')}`))";

fn axe() -> String {
    let target = Path::new(env!("CARGO_BIN_EXE_testbed")).ancestors().nth(2).unwrap();
    let axe = target.join("axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&axe)
        .unwrap_or_else(|error| panic!("{}: {error}: `cargo xtask test packages` fetches it", axe.display()))
}

fn texts(told: &Value) -> Vec<String> {
    told.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

/// One browser goes through all pages once: starting it and opening them is most of the work.
#[test]
fn every_page_is_reached_by_the_keyboard_needs_no_scrolling_sideways_and_axe_finds_nothing_in_either_theme() {
    let _turn = turn();
    let axe = axe();
    let (logs, host) = (tempfile::tempdir().unwrap(), Host::new().unwrap());
    let samples = Samples::serve(&host, logs.path()).unwrap();
    let setup =
        Setup { window: Window::DESKTOP, language: "en", scripts: Scripts::Run, trusted_origin: None };
    let browser = Browser::start(&programs(), &host, &setup, logs.path()).unwrap();
    let mut faults = Vec::new();
    for (name, address) in &samples.addresses {
        browser.resize(Window::DESKTOP).unwrap();
        browser.set_theme(Theme::Light).unwrap();
        browser.open(address).unwrap();
        // What is folded away is looked at too.
        browser.evaluate("document.querySelectorAll('details').forEach((e) => { e.open = true; })").unwrap();
        let mut found = not_reached_by_the_keyboard(&browser);
        found.extend(wider_than_the_window(&browser));
        found.extend(out_of_its_column(&browser));
        browser.evaluate(&axe).unwrap();
        for (theme, window) in [(Theme::Light, Window::DESKTOP), (Theme::Dark, Window::PHONE)] {
            browser.set_theme(theme).unwrap();
            browser.resize(window).unwrap();
            found.extend(
                texts(&browser.evaluate(FOUND).unwrap()).into_iter().map(|f| format!("{theme:?}: {f}")),
            );
        }
        faults.extend(found.into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn not_reached_by_the_keyboard(browser: &Browser) -> Vec<String> {
    let mut missed = texts(&browser.evaluate(REACHABLE).unwrap());
    assert!(!missed.is_empty(), "every page has a link at least");
    browser.evaluate("document.activeElement.blur()").unwrap();
    browser.evaluate(LISTEN).unwrap();
    let mut pressed = 0;
    while !missed.is_empty() && pressed < MAX_STOPS {
        // A few more than are left: the keyboard also stops at what scrolls.
        let times = missed.len() + 5;
        browser.press(TAB, times).unwrap();
        pressed += times;
        let reached = texts(&browser.evaluate("window.reached").unwrap());
        missed.retain(|wanted| !reached.contains(wanted));
    }
    missed.into_iter().map(|element| format!("the keyboard does not reach {element}")).collect()
}

fn wider_than_the_window(browser: &Browser) -> Vec<String> {
    let beyond = |width| {
        browser.resize(Window { width, height: 800, mobile: false }).unwrap();
        let beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        let beyond = browser.evaluate(beyond).unwrap();
        (beyond != 0).then(|| format!("at {width} pixels it is {beyond} pixels wider than the window"))
    };
    NARROW.into_iter().filter_map(beyond).collect()
}

fn out_of_its_column(browser: &Browser) -> Vec<String> {
    let stands_out = |width| {
        browser.resize(Window { width, height: 800, mobile: false }).unwrap();
        let found = texts(&browser.evaluate(STANDS_OUT).unwrap());
        found.into_iter().map(move |element| format!("at {width} pixels {element} is wider than its page"))
    };
    WIDE.into_iter().flat_map(stands_out).collect()
}
