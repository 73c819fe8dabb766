//! A person's story, from the first click to bytes through the tunnel.

use std::process::Command;

use testbed::browser::{Scripts, Setup, Window};
use testbed::client;
use testbed::control_plane;
use testbed::node::Pace;
use testbed::process;
use testbed::traffic::Order;
use testbed::wait::eventually;
use testbed::world::World;

use crate::support::{LIMIT, programs, turn};
use crate::watched::Watched;

const PEOPLE: usize = 2;
const ORDER: Order = Order { up: 100_000, down: 400_000, bytes_per_second: 0 };

fn world() -> World {
    let pace = Pace { sample_seconds: 1, report_seconds: 1 };
    World::new(programs(), PEOPLE, pace, None, &|_| {}).expect("a world")
}

/// What an independent decoder reads in a picture.
pub fn decoded(world: &World, picture: &[u8]) -> String {
    let path = world.logs.join("code.png");
    std::fs::write(&path, picture).unwrap();
    let mut zbarimg = Command::new("zbarimg");
    zbarimg.args(["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable"]).arg(&path);
    process::run(&mut zbarimg).expect("zbarimg reads the code").trim_end_matches('\n').to_owned()
}

/// Loads a file into the person's real WireGuard, and moves bytes that are checked.
fn moves_traffic(world: &mut World, number: usize, file: &str) {
    let host = &world.network.people[number];
    world.people[number].take_client_file(file).unwrap();
    world.people[number].connect(host).expect("WireGuard takes the file");
    let mut transfer =
        world.people[number].start_transfer(&world.programs, host, world.sink(), ORDER).unwrap();
    let printed =
        eventually("the person's bytes", LIMIT, &[&world.node.log()], || transfer.finished()).unwrap();
    let moved = client::transfer(&printed).unwrap();
    assert_eq!((moved.sent_bytes, moved.received_bytes), (ORDER.up, ORDER.down));
}

fn private_key(file: &str) -> String {
    file.lines().find_map(|line| line.strip_prefix("PrivateKey = ")).expect("a private key").to_owned()
}

/// From the landing page to a file, with a mistake on the way.
fn gets_a_file(world: &World, browser: &mut Watched, code: &str) -> (String, String) {
    browser.open(&format!("{}/", control_plane::url())).unwrap();
    browser.click("main a[href=redeem]").unwrap();
    browser.type_into("#code", "0000000000").unwrap();
    browser.click("form button").unwrap();
    assert!(!browser.text_of("#code-error").unwrap().is_empty());
    assert_eq!(browser.property("#code", "value").unwrap(), "0000000000", "what was typed is still there");
    browser.type_into("#code", &format!("\u{e009}a\u{e000}{}", code.to_lowercase())).unwrap();
    browser.click("#hand-over summary").unwrap();
    browser.find("#hand-over-qr svg").unwrap();
    let handed_over = decoded(world, &browser.screenshot_of("#hand-over-qr").unwrap());
    assert_eq!(handed_over, format!("{}/redeem#{code}", control_plane::url()));
    browser.click("form button").unwrap();

    browser.click("input[value=de-fra]").unwrap();
    browser.click("form[data-makes] button.big").unwrap();
    let made = browser.text_of("#made h1").unwrap();
    browser.click("#download").unwrap();
    let (name, file) = browser.downloaded().unwrap();
    assert_eq!(name, "de-fra.conf");
    if browser.all("#made-qr[open]").unwrap().is_empty() {
        browser.click("#made-qr summary").unwrap();
    }
    browser.find("#made-qr svg").unwrap();
    let drawn = decoded(world, &browser.screenshot_of("#made-qr .qr").unwrap());
    assert_eq!(drawn, file.trim_end_matches('\n'), "the code and the file are the same");
    browser.never_sent(&private_key(&file));
    (made, file)
}

#[test]
fn a_person_gets_a_file_on_a_desktop_in_english_and_on_a_phone_in_persian_and_both_move_bytes() {
    let _turn = turn();
    let mut world = world();
    let codes = world.access_codes(PEOPLE, 2).unwrap();
    let trusted = Some(control_plane::url());
    for (number, setup, title) in [
        // With WebCrypto, as over TLS.
        (
            0,
            Setup { window: Window::DESKTOP, language: "en", scripts: Scripts::Run, trusted_origin: trusted },
            "Your file is ready",
        ),
        // Without it, as on any page without TLS: the keys are made by our own ladder.
        (
            1,
            Setup { window: Window::PHONE, language: "fa", scripts: Scripts::Run, trusted_origin: None },
            "فایل شما آماده است",
        ),
    ] {
        let is_webcrypto = setup.trusted_origin.is_some();
        let mut browser = Watched::start(&world, &world.network.people[number], &setup);
        let (made, file) = gets_a_file(&world, &mut browser, &codes[number]);
        assert_eq!(made, title);
        assert_eq!(browser.evaluate("typeof crypto.subtle === 'object'").unwrap(), is_webcrypto);
        browser.click("#saved").unwrap();
        let devices = browser.text_of("main").unwrap();
        assert!(devices.contains("1 / 2") && devices.contains("Frankfurt, Germany"), "{devices}");
        browser.check();
        drop(browser);
        moves_traffic(&mut world, number, &file);
    }
}

#[test]
fn a_person_without_javascript_brings_a_key_of_their_own_and_removes_the_device_and_all_trace_of_it_again() {
    let _turn = turn();
    let mut world = world();
    let code = world.access_codes(1, 1).unwrap().remove(0);
    let setup =
        Setup { window: Window::PHONE, language: "en", scripts: Scripts::Blocked, trusted_origin: None };
    let browser = Watched::start(&world, &world.network.people[0], &setup);
    let private = process::run(Command::new("wg").arg("genkey")).unwrap().trim().to_owned();
    let own = world.logs.join("own.key");
    std::fs::write(&own, &private).unwrap();
    let public =
        process::run(Command::new("sh").args(["-c", &format!("wg pubkey < {}", own.display())])).unwrap();

    browser.open(&format!("{}/redeem", control_plane::url())).unwrap();
    browser.type_into("#code", &code).unwrap();
    browser.click("form button").unwrap();
    browser.shows("main", "Without JavaScript").unwrap();
    browser.click("form[data-makes] details summary").unwrap();
    browser.type_into("#own-key", public.trim()).unwrap();
    browser.click("button[name=own]").unwrap();
    let shown = browser.text_of("#file").unwrap();
    browser.click("a.big").unwrap();
    let (name, file) = browser.downloaded().unwrap();
    assert_eq!((name.as_str(), file.trim()), ("de-fra.conf", shown.trim()));
    moves_traffic(&mut world, 0, &file.replace("PUT-YOUR-PRIVATE-KEY-HERE", &private));

    // The tunnel stands in the way of the browser's own host, so the device is removed from another one.
    drop(browser);
    let mut browser = Watched::start(&world, &world.network.people[1], &setup);
    browser.open(&format!("{}/redeem", control_plane::url())).unwrap();
    browser.type_into("#code", &code).unwrap();
    browser.click("form button").unwrap();
    browser.click("section details:last-of-type summary").unwrap();
    browser.click("button.danger").unwrap();
    browser.shows("main", "The device was removed.").unwrap();
    browser.click("details:has(form[action='/devices/delete-all']) summary").unwrap();
    browser.click("form[action='/devices/delete-all'] button").unwrap();
    browser.arrives("/redeem").unwrap();
    browser.open(&format!("{}/devices", control_plane::url())).unwrap();
    browser.shows("h1", "Enter your access code").unwrap();
    browser.check();
}

#[test]
fn a_person_whose_server_goes_away_is_told_in_persian_and_goes_on_with_the_same_key_once_it_is_back() {
    let _turn = turn();
    let mut world = world();
    let code = world.access_codes(1, 1).unwrap().remove(0);
    let setup = Setup { window: Window::PHONE, language: "fa", scripts: Scripts::Run, trusted_origin: None };
    let browser = Watched::start(&world, &world.network.people[0], &setup);
    browser.open(&format!("{}/redeem", control_plane::url())).unwrap();
    browser.type_into("#code", &code).unwrap();
    browser.click("form button").unwrap();
    browser.click("input[value=de-fra]").unwrap();
    world.control_plane.kill_9().unwrap();
    browser.click("form[data-makes] button.big").unwrap();
    browser.shows("form[data-makes] [data-says]", "به سرور دسترسی نیست").unwrap();
    assert_eq!(browser.property("input[value=de-fra]", "checked").unwrap(), true, "what was chosen stays");

    world.control_plane.start(&world.network.control).unwrap();
    browser.click("form[data-makes] button.big").unwrap();
    browser.shows("#made h1", "فایل شما آماده است").unwrap();
    browser.click("#download").unwrap();
    let (_, file) = browser.downloaded().unwrap();
    drop(browser);
    moves_traffic(&mut world, 0, &file);
}
