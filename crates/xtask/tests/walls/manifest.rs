//! The dependencies a manifest names. Reads the few shapes a `Cargo.toml` writes them in, no more of TOML.

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Normal,
    Build,
    Dev,
}

/// A dependency, by the package's own name also where it is renamed.
#[derive(Debug, PartialEq, Eq)]
pub struct Dependency {
    pub kind: Kind,
    pub package: String,
}

/// Every dependency in the manifest's text, in its order.
pub fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found: Vec<Dependency> = Vec::new();
    let mut section = Section::Other;
    for line in manifest.lines().map(without_comment) {
        if let Some(header) = line.strip_prefix('[') {
            section = Section::read(header.trim_end_matches(']'));
            if let Section::One(kind, name) = &section {
                found.push(Dependency { kind: *kind, package: name.clone() });
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        match &section {
            Section::Many(kind) => {
                let name = key.trim().split('.').next().unwrap_or_default().trim_matches('"');
                let package = quoted_after(value, "package").unwrap_or(name);
                found.push(Dependency { kind: *kind, package: package.to_owned() });
            }
            // `[dependencies.name]` was pushed under its key; a `package` line below says what it is.
            Section::One(..) if key.trim() == "package" => {
                if let Some(last) = found.last_mut() {
                    last.package = value.trim().trim_matches('"').to_owned();
                }
            }
            Section::One(..) | Section::Other => {}
        }
    }
    found
}

enum Section {
    /// `[dependencies]`: a dependency on each line.
    Many(Kind),
    /// `[dependencies.name]`: one dependency.
    One(Kind, String),
    Other,
}

impl Section {
    /// Reads what stands between the brackets; `target.'cfg(..)'.` may stand before.
    fn read(header: &str) -> Self {
        for (word, kind) in [
            ("dev-dependencies", Kind::Dev),
            ("build-dependencies", Kind::Build),
            ("dependencies", Kind::Normal),
        ] {
            if header == word || header.ends_with(&format!(".{word}")) && !header.starts_with("workspace") {
                return Self::Many(kind);
            }
            let after = header.split_once(&format!(".{word}.")).map(|(_, name)| name);
            if let Some(name) = header.strip_prefix(&format!("{word}.")).or(after) {
                return Self::One(kind, name.trim_matches('"').to_owned());
            }
        }
        Self::Other
    }
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// The quoted value after `key =` in an inline table.
fn quoted_after<'a>(table: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = table.split_once(key)?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    rest.split_once('"').map(|(value, _)| value)
}

#[test]
fn every_shape_of_a_dependency_is_read() {
    let manifest = r#"
        [package]
        name = "x"
        [dependencies]
        serde.workspace = true       # a comment
        jiff = "0.2"
        sql = { package = "sqlx", version = "0.9" }
        [dependencies.axum]
        version = "0.8"
        [dependencies.web]
        package = "hyper"
        [target.'cfg(unix)'.dependencies]
        rustix = { version = "1" }
        [build-dependencies]
        cc = "1"
        [dev-dependencies]
        proptest.workspace = true
        [features]
        default = []
    "#;
    let read: Vec<(Kind, String)> = dependencies(manifest).into_iter().map(|d| (d.kind, d.package)).collect();
    let normal =
        ["serde", "jiff", "sqlx", "axum", "hyper", "rustix"].map(|name| (Kind::Normal, name.to_owned()));
    assert_eq!(read[..6], normal);
    assert_eq!(read[6..], [(Kind::Build, "cc".to_owned()), (Kind::Dev, "proptest".to_owned())]);
}
