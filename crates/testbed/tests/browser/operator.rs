//! An operator's story: signs in, sees the node that serves, enrols another with the one line, watches the page turn, and signs with
//! their own key where they are paid from now on.

use testbed::browser::{Scripts, Setup, Window};
use testbed::control_plane;
use testbed::demo::regtest;
use testbed::node::{Node, Pace};
use testbed::process;
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

/// Runs the command that the page shows, with an address and the key where it lies, and gives the page what it prints.
fn changes_the_destination(world: &World, browser: &Watched) {
    let address = regtest::nobodys_address(0x33);
    let command = browser.text_of("#sign").unwrap();
    let arguments =
        command.strip_prefix("wiregrant ").expect("a command to copy").replace("YOUR-ADDRESS", &address);
    let mut sign = world.network.control.command(&world.programs.cli);
    sign.args(arguments.split_whitespace()).current_dir(world.folder());
    let note = process::run(&mut sign).expect("the command that the page shows");
    browser.type_into("#destination", "not a note").unwrap();
    browser.click("main form button.primary").unwrap();
    browser.find("#destination-error").unwrap();
    // As it is copied from a terminal: without the end of the last line.
    browser.type_into("#destination", &format!("\u{e009}a\u{e000}{}", note.trim_end())).unwrap();
    browser.click("main form button.primary").unwrap();
    browser.shows("main", "until then you are paid at the one before").unwrap();
    assert_eq!(browser.text_of("#pay").unwrap(), address);
}

#[test]
fn an_operator_enrols_a_node_on_a_desktop_and_on_a_phone_without_javascript_sees_it_and_changes_where_they_are_paid()
 {
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
    changes_the_destination(&world, &browser);
    browser.check();
    drop(second);
}
