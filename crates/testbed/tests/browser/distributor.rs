//! A distributor's part: makes codes in bulk, as cards to print, of which a phone's camera opens the page that redeems.

use testbed::browser::{Scripts, Setup, Window};
use testbed::control_plane;
use testbed::world::World;

use crate::administrator::signed_in;
use crate::person::decoded;

const DESKTOP: Setup =
    Setup { window: Window::DESKTOP, language: "en", scripts: Scripts::Run, trusted_origin: None };

pub fn makes_cards(world: &World) {
    let host = &world.network.web;
    let mut browser = signed_in(world, host, &DESKTOP, &world.distributor_token().unwrap(), "/codes");
    browser.type_into("#codes-count", "\u{e009}a\u{e000}some").unwrap();
    browser.click("main form button.primary").unwrap();
    browser.shows("#codes-count-error", "is not a whole number").unwrap();
    assert_eq!(browser.property("#codes-count", "value").unwrap(), "some", "what was typed is kept");
    browser.type_into("#codes-count", "\u{e009}a\u{e000}3").unwrap();
    browser.click("main form button.primary").unwrap();
    browser.shows("#made", "3 new").unwrap();
    browser.find("[data-code] .qr svg").unwrap();
    assert_eq!(browser.all("[data-code] .qr svg").unwrap().len(), 3);
    let code = browser.text_of("[data-code] code").unwrap();
    let on_the_card = decoded(world, &browser.screenshot_of("[data-code] .qr").unwrap());
    assert_eq!(on_the_card, format!("{}/redeem#{code}", control_plane::url()));

    // On paper there are the cards alone.
    browser.devtools("Emulation.setEmulatedMedia", serde_json::json!({ "media": "print" })).unwrap();
    let printed = browser.text_of("main").unwrap();
    assert!(printed.contains(&code) && !printed.contains("Make codes"), "{printed}");
    browser.devtools("Emulation.setEmulatedMedia", serde_json::json!({ "media": "" })).unwrap();

    browser.open(&on_the_card).unwrap();
    assert_eq!(browser.property("#code", "value").unwrap(), code.as_str(), "the code is filled in");
    browser.click("main form button").unwrap();
    browser.arrives("/devices").unwrap();
    browser.check();
}
