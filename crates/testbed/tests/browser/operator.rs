//! An operator's story: signs in, sees the node that serves, enrols another with the one line, and watches the page turn.

use testbed::browser::{Scripts, Setup, Window};
use testbed::control_plane;
use testbed::node::{Node, Pace};
use testbed::world::{OPERATOR, World};

use crate::support::{programs, turn};
use crate::watched::Watched;

const PACE: Pace = Pace { sample_seconds: 1, report_seconds: 1 };

fn signed_in(world: &World, setup: &Setup, token: &str, path: &str) -> Watched {
    let browser = Watched::start(world, &world.network.people[0], setup);
    browser.open(&format!("{}{path}", control_plane::url())).unwrap();
    browser.type_into("#token", token).unwrap();
    browser.click("form[action='/sign-in'] button").unwrap();
    browser
}

#[test]
fn an_operator_enrols_a_node_on_a_desktop_and_sees_it_on_a_phone_without_javascript() {
    let _turn = turn();
    let world = World::new(programs(), 1, PACE, None, &|_| {}).expect("a world");
    let token = world.operator_token().unwrap();
    let desktop =
        Setup { window: Window::DESKTOP, language: "en", scripts: Scripts::Run, trusted_origin: None };
    let mut browser = signed_in(&world, &desktop, &token, "/operator");
    let nodes = browser.text_of("table").unwrap();
    assert!(nodes.contains(&world.node_id) && nodes.contains("Serving"), "{nodes}");

    browser.click(&format!("a.primary[href='/operators/{OPERATOR}/enrol']")).unwrap();
    browser.click("option[value=de-fra]").unwrap();
    browser.click("input[name=understood]").unwrap();
    browser.click("main form button.primary").unwrap();
    let command = browser.text_of("#command").unwrap();
    let invitation = command.strip_prefix("wiregrant-agent join ").expect("one line to copy").to_owned();
    browser.shows("main", "Waiting for your node").unwrap();
    let folder = world.logs.join("second");
    std::fs::create_dir_all(&folder).unwrap();
    let second = Node::new(&world.programs, &world.network.web, &invitation, PACE, &folder, &folder).unwrap();
    let joined = browser.text_of("[data-joined]").unwrap();
    assert!(joined.contains("Here it is"), "{joined}");
    browser.check();
    drop(browser);

    let phone =
        Setup { window: Window::PHONE, language: "fa", scripts: Scripts::Blocked, trusted_origin: None };
    let mut browser = signed_in(&world, &phone, &token, "/operator");
    let nodes = browser.text_of("table").unwrap();
    assert_eq!(nodes.matches("Serving").count(), 2, "{nodes}");
    for page in ["credit", "payouts", "destination"] {
        browser.click(&format!("a[href='/operators/{OPERATOR}/{page}']")).unwrap();
        browser.arrives(&format!("/operators/{OPERATOR}/{page}")).unwrap();
        browser.shows("h1", OPERATOR).unwrap();
    }
    browser.check();
    drop(second);
}
