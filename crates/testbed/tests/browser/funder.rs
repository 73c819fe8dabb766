//! A funder's part, on a phone that prefers Persian and runs no scripts: approves a statement, freezes a batch of what is due, and
//! exports it for a wallet that chooses the coins.

use testbed::browser::{Scripts, Setup, Window};
use testbed::world::{GRANT, World};

use crate::administrator::signed_in;

const PHONE: Setup =
    Setup { window: Window::PHONE, language: "fa", scripts: Scripts::Blocked, trusted_origin: None };

pub fn pays(world: &World, token: &str) {
    let mut browser = signed_in(world, &world.network.web, &PHONE, token, "/funder");
    browser.click(&format!("form[action^='/funder/grants/{GRANT}/epochs/'] button")).unwrap();
    browser.shows("main", "New batch").unwrap();
    browser.click(&format!("a[href='/funder/grants/{GRANT}/new-batch']")).unwrap();
    let batch = format!("{GRANT}-1");
    assert_eq!(browser.property("#batch-batch", "value").unwrap(), batch.as_str(), "the id that is offered");
    browser.click("button[value=frozen]").unwrap();
    browser.arrives(&format!("/batches/{batch}")).unwrap();
    browser.click(&format!("form[action='/batches/{batch}/export'] button")).unwrap();
    browser.shows("main", "exported: a signed copy may exist anywhere").unwrap();
    for form in ["csv", "bip21", "sendmany", "walletcreatefundedpsbt"] {
        browser.find(&format!("a[href='/batches/{batch}/payees/{form}']")).unwrap();
    }
    browser.check();
}
