//! Every page, rendered from its sample: the snapshot that is kept, valid HTML, and nothing in it that the policy forbids.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use askama::Template;
use wiregrant_control::pages::admin::AdminPage;
use wiregrant_control::pages::admin_grant::AdminGrantPage;
use wiregrant_control::pages::admin_grants::AdminGrantsPage;
use wiregrant_control::pages::batch::BatchPage;
use wiregrant_control::pages::codes::CodesPage;
use wiregrant_control::pages::decisions::DecisionsPage;
use wiregrant_control::pages::device_file::DeviceFilePage;
use wiregrant_control::pages::devices::DevicesPage;
use wiregrant_control::pages::funder::FunderPage;
use wiregrant_control::pages::grant_terms::GrantTermsPage;
use wiregrant_control::pages::help::HelpPage;
use wiregrant_control::pages::language::Language;
use wiregrant_control::pages::new_batch::NewBatchPage;
use wiregrant_control::pages::operator_credit::OperatorCreditPage;
use wiregrant_control::pages::operator_destination::OperatorDestinationPage;
use wiregrant_control::pages::operator_enrol::OperatorEnrolPage;
use wiregrant_control::pages::operator_grants::OperatorGrantsPage;
use wiregrant_control::pages::operator_nodes::OperatorNodesPage;
use wiregrant_control::pages::operator_payouts::OperatorPayoutsPage;
use wiregrant_control::pages::operator_traffic::OperatorTrafficPage;
use wiregrant_control::pages::organisations::OrganisationsPage;
use wiregrant_control::pages::problem::ProblemPage;
use wiregrant_control::pages::redeem::RedeemPage;
use wiregrant_control::pages::socks5::Socks5Page;
use wiregrant_control::pages::tokens::TokensPage;
use wiregrant_control::pages::{EpochPage, GrantReport, Landing, SignIn, assets};

/// Set to write the snapshots anew; look at what `git diff` then says.
const UPDATE: &str = "UPDATE_SNAPSHOTS";

/// Every page, by the name of its template, in the languages it is kept in.
fn samples() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    let mut add = |name: &str, page: &dyn Fn() -> Result<String, askama::Error>| {
        // A new release of an asset changes its path and nothing of the page.
        let hash = assets::path("style.css").split('/').nth(1).unwrap().to_owned();
        pages.insert(name.to_owned(), page().unwrap().replace(&hash, "HASH") + "\n");
    };
    for language in [Language::English, Language::Persian] {
        let named = |name: &str| format!("{name}.{}", language.tag());
        add(&named("redeem"), &|| RedeemPage::sample(language).render());
        add(&named("devices"), &|| DevicesPage::sample(language).render());
        add(&named("device_file"), &|| DeviceFilePage::sample(language).render());
        add(&named("socks5"), &|| Socks5Page::sample(language).render());
        add(&named("help"), &|| HelpPage::sample(language).render());
        add(&named("problem"), &|| ProblemPage::sample(language).render());
    }
    add("operator_nodes", &|| OperatorNodesPage::sample().render());
    add("operator_enrol", &|| OperatorEnrolPage::sample().render());
    add("operator_enrol.made", &|| OperatorEnrolPage::sample_made().render());
    add("operator_traffic", &|| OperatorTrafficPage::sample().render());
    add("operator_grants", &|| OperatorGrantsPage::sample().render());
    add("operator_credit", &|| OperatorCreditPage::sample().render());
    add("operator_payouts", &|| OperatorPayoutsPage::sample().render());
    add("operator_destination", &|| OperatorDestinationPage::sample().render());
    add("codes", &|| CodesPage::sample().render());
    add("codes.made", &|| CodesPage::sample_made().render());
    add("codes.admin", &|| CodesPage::sample_admin().render());
    add("tokens", &|| TokensPage::sample().render());
    add("tokens.made", &|| TokensPage::sample_made().render());
    add("admin", &|| AdminPage::sample().render());
    add("admin_grants", &|| AdminGrantsPage::sample().render());
    add("admin_grant", &|| AdminGrantPage::sample().render());
    add("grant_terms", &|| GrantTermsPage::sample().render());
    add("grant_terms.draft", &|| GrantTermsPage::sample_draft().render());
    add("organisations", &|| OrganisationsPage::sample().render());
    add("organisations.made", &|| OrganisationsPage::sample_made().render());
    add("decisions", &|| DecisionsPage::sample().render());
    add("funder", &|| FunderPage::sample().render());
    add("funder.made", &|| FunderPage::sample_made().render());
    add("new_batch", &|| NewBatchPage::sample().render());
    add("batch.cancelled", &|| BatchPage::sample_cancelled().render());
    add("batch", &|| BatchPage::sample().render());
    add("batch.frozen", &|| BatchPage::sample_frozen().render());
    add("sign_in", &|| SignIn::sample().render());
    add("landing", &|| Landing::sample().render());
    add("grant", &|| GrantReport::sample().render());
    add("epoch", &|| EpochPage::sample().render());
    pages
}

fn snapshot(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.html"))
}

#[test]
fn every_page_is_as_it_was_last_looked_at() {
    let mut differ = Vec::new();
    for (name, html) in samples() {
        let path = snapshot(&name);
        if std::env::var_os(UPDATE).is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &html).unwrap();
        }
        if std::fs::read_to_string(&path).ok().as_deref() != Some(html.as_str()) {
            differ.push(name);
        }
    }
    assert!(differ.is_empty(), "{differ:?} differ from tests/snapshots; {UPDATE}=1 writes them anew");
}

#[test]
fn every_template_has_a_sample() {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let samples = samples();
    for entry in std::fs::read_dir(templates).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if text.contains("{% extends") && name != "staff" {
            assert!(
                samples.keys().any(|sample| sample.split('.').next() == Some(name)),
                "{name} has no sample"
            );
        }
    }
}

#[test]
fn no_page_has_a_script_a_style_or_an_address_of_another_site_in_it() {
    for (name, html) in samples() {
        for tag in html.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
            let attributes: Vec<&str> = tag.split_whitespace().skip(1).collect();
            let begins = |start: &str| attributes.iter().any(|attribute| attribute.starts_with(start));
            assert!(!begins("style="), "{name}: <{tag}>");
            assert!(!attributes.iter().any(|a| a.starts_with("on") && a.contains('=')), "{name}: <{tag}>");
            assert!(!tag.starts_with("script") || begins("src="), "{name}: <{tag}>");
            assert!(!tag.starts_with("style"), "{name}: <{tag}>");
            for loaded in ["src=\"http", "src=\"//", "href=\"http", "href=\"//", "action=\"http"] {
                assert!(!begins(loaded), "{name}: <{tag}>");
            }
        }
        for typed in ["<on2bx>", "<Iceland>", "<here>", "<networks>", "<for>"] {
            assert!(!html.contains(typed), "{name}: {typed} is not escaped");
        }
    }
}

/// Parses standard input's pages, separated by NUL, as a browser does (WHATWG HTML), and fails at the first parse error.
const STRICT_PARSER: &str = r#"
import sys, html5lib
for page in sys.stdin.buffer.read().decode().split("\0"):
    name, html = page.split("\n", 1)
    parser = html5lib.HTMLParser(strict=True)
    try:
        tree = parser.parse(html)
    except html5lib.html5parser.ParseError as error:
        sys.exit(f"{name}: {error} at {parser.tokenizer.stream.position()}")
    ids = [e.get("id") for e in tree.iter() if e.get("id")]
    twice = sorted({i for i in ids if ids.count(i) > 1})
    if twice:
        sys.exit(f"{name}: ids used twice: {twice}")
    for e in tree.iter():
        for attribute in ("for", "aria-labelledby", "aria-describedby", "data-copy"):
            for i in (e.get(attribute) or "").split():
                if i not in ids:
                    sys.exit(f"{name}: {attribute}={i!r} leads nowhere")
"#;

#[test]
fn every_page_is_valid_html() {
    let pages: Vec<String> = samples().into_iter().map(|(name, html)| format!("{name}\n{html}")).collect();
    let mut parser = Command::new("/usr/bin/python3")
        .args(["-c", STRICT_PARSER])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3, and python3-html5lib: `cargo xtask test packages` installs them");
    parser.stdin.take().unwrap().write_all(pages.join("\0").as_bytes()).unwrap();
    let said = parser.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}
