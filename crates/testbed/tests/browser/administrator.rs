//! A grant's story: an administrator sets it up, an operator is approved, a line is held and released, something is found, codes are
//! made, by the distributor too; then its funder approves the statement and pays it with a wallet of their own. Nobody types a command
//! on the way.

use testbed::browser::{Scripts, Setup, Window};
use testbed::control_plane;
use testbed::host::Host;
use testbed::node::Pace;
use testbed::traffic::Order;
use testbed::wait::eventually;
use testbed::world::{DISTRIBUTOR, GRANT, OPERATOR, World};
use wiregrant_core::Sats;
use wiregrant_core::api::Grant;

use crate::distributor;
use crate::funder;
use crate::support::{LIMIT, programs, turn};
use crate::watched::Watched;

const PACE: Pace = Pace { sample_seconds: 1, report_seconds: 1 };
const ORDER: Order = Order { up: 500_000, down: 4_000_000, bytes_per_second: 0 };
/// Selects all that stands in a field, so that what is typed takes its place.
const ALL: &str = "\u{e009}a\u{e000}";

const DESKTOP: Setup =
    Setup { window: Window::DESKTOP, language: "en", scripts: Scripts::Run, trusted_origin: None };

/// A browser of somebody who has signed in and looks at a page.
pub fn signed_in(world: &World, host: &Host, setup: &Setup, token: &str, path: &str) -> Watched {
    let browser = Watched::start(world, host, setup);
    browser.open(&format!("{}{path}", control_plane::url())).unwrap();
    browser.type_into("#token", token).unwrap();
    browser.click("form[action='/sign-in'] button").unwrap();
    browser.arrives(path).unwrap();
    browser
}

fn open(browser: &Watched, path: &str) {
    browser.open(&format!("{}{path}", control_plane::url())).unwrap();
}

fn type_over(browser: &Watched, field: &str, text: &str) {
    browser.type_into(field, &format!("{ALL}{text}")).unwrap();
}

/// From a draft with a mistake in it to a grant that is open and has sats.
fn sets_a_grant_up(admin: &Watched) {
    admin.click("a[href='/admin/grants']").unwrap();
    admin.click("a[href='/admin/new-grant']").unwrap();
    admin.type_into("#terms-grant", GRANT).unwrap();
    admin.type_into("#terms-title", "Spring 2026").unwrap();
    for (field, text) in [
        ("epoch-seconds", "30s"),
        ("epochs", "many"),
        ("unit-bytes", "1MB"),
        ("floor", "0"),
        ("minimum-payout-sats", "1000"),
        ("close-delay-seconds", "0"),
        ("challenge-seconds", "0"),
        ("approvals", "1"),
    ] {
        type_over(admin, &format!("#terms-{field}"), text);
    }
    admin.click("#terms-admission option[value='1']").unwrap();
    type_over(admin, "#terms-start", "90s");
    admin.click("main form button.primary").unwrap();
    admin.shows("#terms-epochs-error", "is not a whole number").unwrap();
    for (field, kept) in
        [("epochs", "many"), ("title", "Spring 2026"), ("unit-bytes", "1MB"), ("admission", "1")]
    {
        assert_eq!(admin.property(&format!("#terms-{field}"), "value").unwrap(), kept);
    }
    type_over(admin, "#terms-epochs", "20");
    admin.click("main form button.primary").unwrap();
    admin.arrives(&format!("/admin/drafts/{GRANT}")).unwrap();
    admin.click(&format!("form[action='/admin/drafts/{GRANT}/open'] button")).unwrap();
    admin.arrives(&format!("/admin/grants/{GRANT}")).unwrap();
    admin.type_into("#contribute-sats", "1000000").unwrap();
    admin.click(&format!("form[action='/admin/grants/{GRANT}/contributions'] button")).unwrap();
    admin.shows(".figures", "1\u{202f}000\u{202f}000").unwrap();
}

/// The operator applies, is approved, and admits the node.
fn takes_an_operator_in(world: &World, admin: &Watched) {
    let grants = format!("/operators/{OPERATOR}/grants");
    let mut operator =
        signed_in(world, &world.network.web, &DESKTOP, &world.operator_token().unwrap(), &grants);
    operator.click(&format!("form[action='{grants}/{GRANT}/apply'] button")).unwrap();
    operator.shows("main", "you applied; nobody has decided").unwrap();
    open(admin, "/admin/decisions");
    admin
        .click(&format!("form[action='/admin/grants/{GRANT}/operators/{OPERATOR}/approve'] button"))
        .unwrap();
    admin.shows("table", "approved").unwrap();
    open(&operator, &grants);
    operator.click(&format!("form[action='{grants}/{GRANT}/admit'] button")).unwrap();
    operator.shows("table", &world.node_id).unwrap();
    operator.check();
}

/// Codes of a distributor as cards, each with a picture that a phone reads.
fn makes_codes(admin: &Watched) {
    admin.click("a[href='/admin/codes']").unwrap();
    admin.click(&format!("main a[href='/admin/codes?distributor={DISTRIBUTOR}']")).unwrap();
    type_over(admin, "#codes-count", "2");
    admin.click("main form button.primary").unwrap();
    admin.shows("#made", "2 new").unwrap();
    admin.find("[data-code] .qr svg").unwrap();
    assert_eq!(admin.all("[data-code] .qr svg").unwrap().len(), 2);
}

/// Bytes through the tunnel until a statement pays for them.
fn earns(world: &mut World) {
    let grant: Grant = world.ask(&["grant", "show", GRANT]).unwrap();
    world.connect_people().unwrap();
    world.await_first_epoch(&grant.terms.schedule()).unwrap();
    let host = &world.network.people[0];
    let mut transfer = world.people[0].start_transfer(&world.programs, host, world.sink(), ORDER).unwrap();
    eventually("the person's bytes", LIMIT, &[&world.node.log()], || transfer.finished()).unwrap();
    let log = world.control_plane.log();
    eventually("a statement that pays", LIMIT, &[&log], || {
        let statements = world.statements()?;
        let pays = |statement: &wiregrant_core::statement::Statement| {
            statement.operators.values().any(|line| line.payable > Sats::ZERO)
        };
        Ok(statements.iter().any(pays).then_some(()))
    })
    .unwrap();
}

/// A line is held with a reason, and released again; a finding about its node holds it once more.
fn holds_finds_and_releases(world: &World, admin: &Watched) {
    decides(admin, "hold", "held until it is released");
    decides(admin, "release", "more people must approve");
    admin.click(&format!("#finding-node option[value='{}']", world.node_id)).unwrap();
    admin.type_into("#finding-reason", "inflated").unwrap();
    admin.type_into("#finding-detail", "more than its link carries").unwrap();
    admin.click("form[action='/admin/findings'] button").unwrap();
    admin.shows("#findings + table", "more than its link carries").unwrap();
    admin.shows("#lines + table", "held until it is released").unwrap();
    decides(admin, "release", "more people must approve");
}

fn decides(admin: &Watched, button: &str, status: &str) {
    open(admin, "/admin/decisions");
    admin.click("#lines + table details summary").unwrap();
    admin.type_into("#lines + table input[name=reason]", "looked-at").unwrap();
    admin.click(&format!("#lines + table button[value={button}]")).unwrap();
    admin.shows("#lines + table", status).unwrap();
}

#[test]
fn an_administrator_sets_a_grant_up_and_its_funder_pays_it_all_in_browsers() {
    let _turn = turn();
    let mut world = World::new(programs(), 1, PACE, None, &|_| {}).expect("a world");
    let token = std::fs::read_to_string(world.control_plane.admin_token()).unwrap();
    let mut admin = signed_in(&world, &world.network.people[0], &DESKTOP, token.trim(), "/admin");
    sets_a_grant_up(&admin);
    takes_an_operator_in(&world, &admin);
    makes_codes(&admin);
    distributor::makes_cards(&world);

    admin.click("a[href='/admin/organisations']").unwrap();
    admin.click("details:has(form[action='/admin/funders']) summary").unwrap();
    admin.type_into("#funder-funder", "mosaic").unwrap();
    admin.click(&format!("form[action='/admin/funders'] input[value='{GRANT}']")).unwrap();
    admin.click("form[action='/admin/funders'] button").unwrap();
    let funder = admin.text_of("#made-token").unwrap();
    // The person's tunnel would stand in the way of a browser in the same host.
    admin.check();
    drop(admin);
    earns(&mut world);

    let mut admin = signed_in(&world, &world.network.web, &DESKTOP, token.trim(), "/admin");
    holds_finds_and_releases(&world, &admin);
    admin.check();
    drop(admin);
    funder::pays(&mut world, &funder);
}
