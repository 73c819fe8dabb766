//! A funder's part, on a phone that prefers Persian and runs no scripts, with a wallet on a real Bitcoin network of its own: approves a
//! statement, keeps a batch as a draft, freezes and exports it, takes the transaction away, puts another with a higher fee in its place,
//! cancels that one, and pays at last from a list that the wallet imports.

use data_encoding::BASE64;
use serde_json::Value;
use testbed::browser::{Scripts, Setup, Window};
use testbed::control_plane;
use testbed::demo::funder::Funder;
use testbed::world::{GRANT, World};

use crate::administrator::signed_in;
use crate::watched::Watched;

const PHONE: Setup =
    Setup { window: Window::PHONE, language: "fa", scripts: Scripts::Blocked, trusted_origin: None };

pub fn pays(world: &mut World, token: &str) {
    let wallet = Funder::start(&world.programs, &world.network.control, world.folder(), &world.logs).unwrap();
    world
        .control_plane
        .look_at_chain(&world.network.control, &wallet.url(), &wallet.cookie_file())
        .expect("a control plane that looks at the chain");
    let mut browser = signed_in(world, &world.network.web, &PHONE, token, "/funder");
    browser.click(&format!("form[action^='/funder/grants/{GRANT}/epochs/'] button")).unwrap();
    browser.shows("main", "New batch").unwrap();
    browser.click(&format!("a[href='/funder/grants/{GRANT}/new-batch']")).unwrap();

    let coin = wallet.coin().unwrap();
    let first = format!("{GRANT}-1");
    asks_for(&browser, &first, &coin, "2", &wallet.change, "draft");
    browser.shows("main", "a draft: it holds no line yet").unwrap();
    browser.click(&format!("form[action='/batches/{first}/freeze'] button")).unwrap();
    exports(&browser, &first);
    takes_the_transaction_away(&browser, &first);

    browser.click(&format!("a[href='/funder/grants/{GRANT}/new-batch?replaces={first}']")).unwrap();
    assert_eq!(
        browser.property("#batch-replaces", "value").unwrap(),
        first.as_str(),
        "it stands there already"
    );
    let second = format!("{GRANT}-2");
    asks_for(&browser, &second, &coin, "9", &wallet.change, "frozen");
    exports(&browser, &second);
    open(&browser, &first);
    browser.shows("main", "replaced: another batch holds its lines").unwrap();

    open(&browser, &second);
    browser.click("details:has(#cancel-reason) summary").unwrap();
    browser.type_into("#cancel-reason", "Another Wallet").unwrap();
    browser.click("form[action$='/cancel'] button.danger").unwrap();
    browser.find("#cancel-reason-error").unwrap();
    assert_eq!(
        browser.property("#cancel-reason", "value").unwrap(),
        "Another Wallet",
        "what was typed is kept"
    );
    browser.type_into("#cancel-reason", "\u{e009}a\u{e000}another-wallet").unwrap();
    browser.click("form[action$='/cancel'] input[name=unsigned]").unwrap();
    browser.click("form[action$='/cancel'] button.danger").unwrap();
    browser.shows("main", "void: its lines are payable again").unwrap();

    pays_from_a_list(&browser, &wallet);
    names_an_auditor(&browser);
    browser.check();
}

fn open(browser: &Watched, batch: &str) {
    browser.open(&format!("{}/batches/{batch}", control_plane::url())).unwrap();
    browser.shows("h1", batch).unwrap();
}

/// The form of a new batch, as far as it is typed into.
fn asks_for(browser: &Watched, batch: &str, coin: &str, fee_rate: &str, change: &str, stage: &str) {
    assert_eq!(browser.property("#batch-batch", "value").unwrap(), batch, "the id that is offered");
    browser.type_into("#batch-coins", coin).unwrap();
    browser.type_into("#batch-change", change).unwrap();
    browser.type_into("#batch-fee_rate_sat_per_vb", fee_rate).unwrap();
    browser.click(&format!("button[value={stage}]")).unwrap();
    browser.shows("h1", batch).unwrap();
}

fn exports(browser: &Watched, batch: &str) {
    browser.click(&format!("form[action='/batches/{batch}/export'] button")).unwrap();
    browser.shows("main", "exported: a signed copy may exist anywhere").unwrap();
}

/// The file of bytes (BIP 174) and the text beside it are the same transaction.
fn takes_the_transaction_away(browser: &Watched, batch: &str) {
    browser.click(&format!("a[href='/batches/{batch}/psbt']")).unwrap();
    let (name, bytes) = browser.downloaded_bytes().unwrap();
    assert_eq!(name, format!("{batch}.psbt"));
    assert!(bytes.starts_with(b"psbt\xff"), "{bytes:?}");
    browser.click("details:has(#psbt) summary").unwrap();
    assert_eq!(browser.text_of("#psbt").unwrap(), BASE64.encode(&bytes));
}

/// A batch without coins: the wallet chooses them, and the funder says which transaction it made.
fn pays_from_a_list(browser: &Watched, wallet: &Funder) {
    browser.open(&format!("{}/funder/grants/{GRANT}/new-batch", control_plane::url())).unwrap();
    let batch = format!("{GRANT}-3");
    assert_eq!(browser.property("#batch-batch", "value").unwrap(), batch.as_str());
    browser.click("button[value=frozen]").unwrap();
    exports(browser, &batch);
    for form in ["csv", "bip21", "sendmany"] {
        browser.click(&format!("a[href='/batches/{batch}/payees/{form}']")).unwrap();
        let (name, _) = browser.downloaded().unwrap();
        assert!(name.starts_with(&format!("{batch}-{form}.")), "{name}");
    }
    browser.click(&format!("a[href='/batches/{batch}/payees/walletcreatefundedpsbt']")).unwrap();
    let parameters: Value = serde_json::from_str(&browser.downloaded().unwrap().1).unwrap();
    let funded: Value = wallet.node.wallet("walletcreatefundedpsbt", &parameters).unwrap();
    let signed = wallet.node.sign(funded["psbt"].as_str().unwrap()).unwrap();
    let txid = wallet.node.broadcast(&signed).unwrap();

    browser.type_into("#declare-txid", "not an id").unwrap();
    browser.click("form[action$='/transaction'] button").unwrap();
    browser.find("#declare-txid-error").unwrap();
    browser.type_into("#declare-txid", &format!("\u{e009}a\u{e000}{txid}")).unwrap();
    browser.click("form[action$='/transaction'] button").unwrap();
    browser.arrives(&format!("/batches/{batch}")).unwrap();
    shows_after_a_while(browser, &batch, "seen: the network knows what pays it");
    wallet.node.mine(6).unwrap();
    shows_after_a_while(browser, &batch, "settled: all of it is six blocks deep");
    browser.shows(".notice.good", &txid).unwrap();
    browser.open(&format!("{}/funder", control_plane::url())).unwrap();
    browser.shows("main ul", &batch).unwrap();
}

fn names_an_auditor(browser: &Watched) {
    browser.type_into("input[name=auditor]", "careful-eyes").unwrap();
    browser.click(&format!("form[action='/funder/grants/{GRANT}/auditors'] button")).unwrap();
    browser.shows("#made-token", "wiregrant-auditor-").unwrap();
    browser.shows("section", "careful-eyes").unwrap();
}

/// A page without scripts is looked at again.
fn shows_after_a_while(browser: &Watched, batch: &str, text: &str) {
    testbed::wait::eventually(text, crate::support::LIMIT, &[], || {
        open(browser, batch);
        Ok(browser.text_of("main")?.contains(text).then_some(()))
    })
    .unwrap();
}
