//! A checkpoint as the witness network made it: arche2025h1.staging.ct.transparency.dev, in May 2026, with the log's
//! two signatures and four witnesses' cosignatures, and the keys that log and witnesses publish.

use transparency_log::{
    Checkpoint, CosignerVerifier, LogError, Note, Verifier, WitnessPolicy, verify_cosignature,
};

const CHECKPOINT: &str = "\
arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

\u{2014} arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
\u{2014} arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
\u{2014} transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
\u{2014} witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
\u{2014} remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
\u{2014} witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";

const LOG: &str =
    "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f";

const WITNESSES: [&str; 3] = [
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
];

fn witnesses() -> Vec<CosignerVerifier> {
    WITNESSES.iter().map(|vkey| vkey.parse().expect("a published key")).collect()
}

#[test]
fn the_logs_and_its_witnesses_signatures_verify() {
    let log: Verifier = LOG.parse().unwrap();
    assert_eq!(Checkpoint::parse_verified(CHECKPOINT, &log).unwrap().size, 1_432_088_532);
    let note = Note::parse(CHECKPOINT).unwrap();
    for (vkey, witness) in WITNESSES.iter().zip(witnesses()) {
        assert_eq!(witness.to_string(), *vkey);
        assert_eq!(verify_cosignature(&note, &witness), Ok(1_779_573_024), "{vkey}");
    }
    let policy = WitnessPolicy::new(witnesses(), 3).unwrap();
    let names: Vec<_> = witnesses().iter().map(|witness| witness.name().to_owned()).collect();
    assert_eq!(policy.check(&note), Ok(names));
}

#[test]
fn a_checkpoint_of_another_size_is_nobodys() {
    let note = Note::parse(&CHECKPOINT.replace("1432088532", "1432088533")).unwrap();
    for witness in witnesses() {
        let refused = verify_cosignature(&note, &witness);
        assert!(matches!(refused, Err(LogError::BadSignature { .. })), "{refused:?}");
    }
}
