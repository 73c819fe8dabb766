//! Agents, control planes and command lines one minor version apart: what the other side says less is taken as it was meant then,
//! and what it says more is passed over.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiregrant_core::api::{Condition, Desired, Device, DeviceCreated, Node, ReportHead};

/// Reads an answer with a field more than this version knows, and without those named.
fn read<T: DeserializeOwned>(whole: &Value, without: &[&str]) -> T {
    let mut answer = whole.clone();
    let fields = answer.as_object_mut().expect("an object");
    for field in without {
        assert!(fields.remove(*field).is_some(), "{field}");
    }
    fields.insert("a_later_versions_field".into(), json!({ "of": ["any", "kind"] }));
    serde_json::from_value(answer).expect("it is understood")
}

#[test]
fn an_older_and_a_newer_agents_condition_is_understood() {
    let whole = json!({
        "agent": "0.2.0", "backend": "kernel", "endpoint": "192.0.2.1:51820", "socks5_endpoint": "192.0.2.1:1080",
        "paused": "budget", "megabits_per_second": 100, "gigabytes_per_month": 5000, "levels": [],
    });
    let newer: Condition = read(&whole, &[]);
    assert_eq!(newer.megabits_per_second, Some(100));
    let optional = ["socks5_endpoint", "paused", "megabits_per_second", "gigabytes_per_month", "levels"];
    let older: Condition = read(&whole, &optional);
    assert_eq!((older.paused, older.gigabytes_per_month, older.levels.len()), (None, None, 0));
    // What is not declared is not said, so that an older control plane hears nothing that it does not know.
    let said = serde_json::to_value(&older).expect("it serialises");
    assert!(said.get("megabits_per_second").is_none() && said.get("gigabytes_per_month").is_none());
}

#[test]
fn an_older_and_a_newer_control_planes_wishes_are_understood() {
    let peer = json!({
        "public_key": "cU1fVfGCXVXAxQ2CYk7LnzwzTXRzG3LMw6Z2lDyCAmU=", "allowed_ips": ["10.64.0.2/32"], "class": "assigned",
        "allotment": "1000", "expires": "2026-08-01T00:00:00Z", "a_later_versions_field": 1,
    });
    let whole = json!({
        "revision": 7, "peers": [peer], "changes": null, "membership": null, "time": "2026-07-06T12:00:00Z", "frozen": false,
    });
    let newer: Desired = read(&whole, &[]);
    assert_eq!(newer.peers.map(|peers| peers.len()), Some(1));
    let older: Desired = read(&whole, &["changes"]);
    assert!(older.changes.is_none());
    let head: ReportHead = read(&json!({ "sequence": 3, "note": null }), &[]);
    assert_eq!(head.sequence, 3);
}

#[test]
fn what_people_and_operators_are_shown_by_another_version_is_understood() {
    let node = json!({
        "node": "node-1", "operator": "nordlicht", "location": "de-fra", "endpoint": "192.0.2.1:51820", "endpoint_reached": true,
        "socks5_endpoint": null, "agent": "0.1.0", "backend": "kernel", "paused": null, "state": "active", "last_seen": null,
        "devices": 0, "sequence": 0, "reported_until": null, "usage": [],
    });
    assert!(read::<Node>(&node, &[]).endpoint_reached);
    let older: Node = read(&node, &["endpoint_reached", "socks5_endpoint", "agent", "backend", "paused"]);
    assert!(!older.endpoint_reached && older.backend.is_none());

    let device = json!({
        "public_key": "cU1fVfGCXVXAxQ2CYk7LnzwzTXRzG3LMw6Z2lDyCAmU=", "location": "de-fra",
        "configuration": {
            "address_v4": "10.64.0.2", "address_v6": "fd00::2", "dns": [], "endpoint": "a:1",
            "node_public_key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        },
        "allotment": "5", "period": "total", "level": "over-half", "expires": "2026-08-01T00:00:00Z", "paused": null, "gone": true,
        "socks5": null,
    });
    assert!(read::<Device>(&device, &[]).gone);
    let older: DeviceCreated = read(&device, &["period", "level", "paused", "gone", "socks5"]);
    assert!(!older.device.gone && older.device.level.is_none());
}
