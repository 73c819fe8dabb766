//! Every list of the API comes in pages: whoever follows the links sees each row once, also while rows are added.

use axum::http::Method;
use schemars::SchemaGenerator;
use serde_json::{Value, json};
use wiregrant_control::router::endpoints;
use wiregrant_core::api::PREFIX;
use wiregrant_core::note::Salt;
use wiregrant_core::usage_report::Class;

use crate::money::{MB, begin, closed, epoch, plane_with_grant};
use crate::support::{FakeNode, Plane};

/// Every list, with what tells one of its rows from another.
const LISTS: [(&str, &[&str]); 23] = [
    ("/tokens", &["id"]),
    ("/funders", &["funder"]),
    ("/auditors", &["auditor"]),
    ("/operators", &["operator"]),
    ("/locations", &["location"]),
    ("/nodes", &["node"]),
    ("/distributors", &["distributor"]),
    ("/access-codes", &["number"]),
    ("/distributors/{distributor}/access-codes", &["number"]),
    ("/organisations/{role}/{organisation}/tokens", &["id"]),
    ("/grants", &["grant"]),
    ("/drafts", &["grant"]),
    ("/grants/{grant}/terms", &["version"]),
    ("/grants/{grant}/operators", &["operator"]),
    ("/grants/{grant}/findings", &["number"]),
    ("/grants/{grant}/statements", &["epoch"]),
    ("/grants/{grant}/lines", &["epoch", "operator"]),
    ("/grants/{grant}/epochs/{epoch}/credit", &["node"]),
    ("/grants/{grant}/adjustments", &["number"]),
    ("/grants/{grant}/ledger", &["account", "operator"]),
    ("/batches", &["batch"]),
    ("/operators/{operator}/usage", &["begin"]),
    ("/nodes/{node}/evidence", &["sequence", "other"]),
];

/// Rows that a list has before it is read: more than two pages of two.
const ROWS: usize = 5;

struct World {
    plane: Plane,
    ngo: String,
    members: Vec<FakeNode>,
    /// A node outside of the grant, of an operator of its own.
    other: FakeNode,
    /// Epochs that are closed.
    epochs: u64,
    /// Rows that were added to any list.
    added: u8,
}

impl World {
    async fn new() -> Self {
        let (plane, north, south) = plane_with_grant(20, 5).await;
        let ngo = plane.distributor("relief").await;
        let mut members = vec![north, south];
        for seed in 3..6 {
            let node = plane.node("nordlicht", "de-fra", seed).await;
            plane.admit("spring", &node).await;
            members.push(node);
        }
        plane.operator("quelle").await;
        let mut other = plane.node("quelle", "de-fra", 6).await;
        other.report(&plane, plane.now(), |_| {}).await;
        let mut world = Self { plane, ngo, members, other, epochs: 0, added: 0 };
        begin(&world.plane, &mut world.members.iter_mut().collect::<Vec<_>>()).await;
        world.close().await;
        world
    }

    async fn close(&mut self) {
        self.epochs += 1;
        let mut served: Vec<_> = self.members.iter_mut().map(|node| (node, MB)).collect();
        epoch(&self.plane, self.epochs, &mut served).await;
        closed(&self.plane, self.epochs).await;
    }

    /// Adds a row to a list, if one can be added to it.
    async fn add(&mut self, list: &str) {
        self.added += 1;
        let (plane, n) = (&self.plane, self.added);
        let called = format!("row-{n:03}");
        match list {
            "/tokens" => drop(plane.token(&plane.admin, &called).await),
            "/funders" => drop(plane.funder(&called, &["spring"]).await),
            "/auditors" => drop(plane.auditor(&called, &["spring"]).await),
            "/operators" => drop(plane.operator(&called).await),
            "/locations" => plane.location(&called).await,
            "/nodes" => drop(plane.node("quelle", "de-fra", 10 + n).await),
            "/distributors" => drop(plane.distributor(&called).await),
            "/access-codes" | "/distributors/{distributor}/access-codes" => {
                drop(plane.codes(&self.ngo, 1, 1, MB).await);
            }
            "/organisations/{role}/{organisation}/tokens" => drop(plane.token(&self.ngo, &called).await),
            "/grants" => plane.grant(&called, 1, 1_000, |_| {}).await,
            "/drafts" => self.draft(&called).await,
            "/grants/{grant}/terms" => self.change_terms().await,
            "/grants/{grant}/operators" => {
                plane.operator(&called).await;
                plane.post("/grants/spring/operators", json!({ "operator": called })).await.ok();
            }
            "/grants/{grant}/findings" => {
                let body = json!({ "node": self.members[0].id, "reason": called });
                plane.post("/grants/spring/findings", body).await.ok();
            }
            "/grants/{grant}/statements" | "/grants/{grant}/lines" => self.close().await,
            "/grants/{grant}/adjustments" => {
                let body = json!({ "operator": "nordlicht", "sats": 1, "reason": called, "epoch": 1 });
                plane.post("/grants/spring/adjustments", body).await.ok();
            }
            "/batches" => {
                let body = json!({ "batch": called, "grant": "spring", "stage": "draft" });
                plane.post("/batches", body).await.ok();
            }
            "/nodes/{node}/evidence" => {
                let mut fork = self.other.next_report(plane.now(), |_| {}).into_content();
                (fork.sequence, fork.previous, fork.salt) = (1, None, Salt([n; 16]));
                let fork = wiregrant_core::note::Signed::sign(fork, &self.other.key).unwrap();
                assert!(!self.other.send(plane, fork.note()).await.status.is_success());
            }
            "/operators/{operator}/usage" => {
                plane.clock.advance(3_600);
                self.other.serve(Class::Assigned, 1_000, 1_000);
                self.other.report(plane, plane.now(), |_| {}).await;
            }
            // Of a closed epoch and of the kinds of accounts there are no more than there are.
            "/grants/{grant}/epochs/{epoch}/credit" | "/grants/{grant}/ledger" => {}
            _ => panic!("nothing is known of {list}"),
        }
    }

    async fn draft(&self, grant: &str) {
        let mut terms = self.plane.get("/grants/spring").await.json::<Value>()["terms"].clone();
        terms["start"] = json!(self.plane.now().plus_seconds(3_600));
        let new = json!({ "grant": grant, "title": "Draft", "terms": terms, "state": "draft" });
        self.plane.post("/grants", new).await.ok();
    }

    async fn change_terms(&self) {
        let mut terms = self.plane.get("/grants/spring").await.json::<Value>()["terms"].clone();
        terms["ceiling_sats_per_unit"] = json!((1_000 + u64::from(self.added)).to_string());
        terms["rule"] = json!(2);
        self.plane.post("/grants/spring/terms", json!({ "terms": terms })).await.ok();
    }

    /// Where the list is, and who asks for it.
    fn at(&self, list: &str) -> (String, &str) {
        let path = list.replace("{grant}", "spring").replace("{epoch}", "1").replace("{operator}", "quelle");
        let path = path.replace("{node}", self.other.id.as_str()).replace("{distributor}", "relief");
        let path = path.replace("{role}", "distributor").replace("{organisation}", "relief");
        let query = if list.ends_with("/usage") { "by=hour&" } else { "" };
        let token = if list == "/access-codes" { &self.ngo } else { &self.plane.admin };
        (format!("{path}?{query}"), token)
    }

    /// One page's rows by what they are called, and where the next one is.
    async fn page(&self, path: &str, token: &str, named: &[&str]) -> (Vec<String>, Option<String>) {
        let page = self.plane.ask(Method::GET, path, token, Value::Null).await;
        let listed: Value = page.json();
        let name =
            |row: &Value| named.iter().map(|field| row[*field].to_string()).collect::<Vec<_>>().join(" ");
        let rows = listed["items"].as_array().unwrap().iter().map(name).collect();
        let next = page.headers.get("link").map(|link| {
            let next = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            next.strip_prefix(PREFIX).unwrap().to_owned()
        });
        (rows, next)
    }
}

#[tokio::test]
async fn every_list_is_read_whole_page_by_page_while_rows_are_added() {
    let mut world = World::new().await;
    for (list, named) in LISTS {
        for _ in 0..ROWS {
            world.add(list).await;
        }
        let (path, token) = world.at(list);
        let (path, token) = (path, token.to_owned());
        let (before, none) = world.page(&path, &token, named).await;
        assert!(before.len() >= ROWS && none.is_none(), "{list}: {before:?}");
        let (mut seen, mut next, mut more) = (Vec::new(), Some(format!("{path}limit=2")), 2);
        while let Some(path) = next {
            let (rows, link) = world.page(&path, &token, named).await;
            assert!(rows.len() <= 2 && (rows.len() == 2 || link.is_none()), "{path}: {rows:?}");
            seen.extend(rows);
            next = link;
            if more > 0 {
                world.add(list).await;
                more -= 1;
            }
        }
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{list}: a row came twice: {seen:?}");
        let old: Vec<_> = seen.iter().filter(|row| before.contains(row)).collect();
        assert_eq!(old, before.iter().collect::<Vec<_>>(), "{list}: not every row came, in its order");
    }
}

#[test]
fn no_list_is_without_pages() {
    let mut schemas = SchemaGenerator::default();
    let mut paged = Vec::new();
    for endpoint in endpoints().iter().filter(|endpoint| endpoint.method == Method::GET) {
        let shape = (endpoint.shape)(&mut schemas);
        let is_list =
            shape.answer.1.as_ref().is_some_and(|(_, schema)| schema.to_string().contains("/ListOf"));
        assert_eq!(is_list, shape.is_listed, "{}", endpoint.path);
        if is_list {
            paged.push(endpoint.path);
        }
    }
    let mut tried: Vec<_> = LISTS.iter().map(|(list, _)| *list).collect();
    tried.sort_unstable();
    paged.sort_unstable();
    assert_eq!(paged, tried, "each is read page by page above");
}
