//! The configuration from the environment: `WIREGRANT_CONTROL_<FIELD>`, which goes before the file and after the command line.
//!
//! Lists are separated by spaces; a field of the table `[chain]` begins with `CHAIN_`:
//!
//! ```text
//! WIREGRANT_CONTROL_LISTEN=[::1]:8080
//! WIREGRANT_CONTROL_PUBLIC_URLS=https://grants.example http://abcdef.onion
//! WIREGRANT_CONTROL_CHAIN_SOURCE=core-rpc
//! ```

use toml::{Table, Value};

use super::{ConfigError, ConfigFile};

/// How the variables begin.
pub const PREFIX: &str = "WIREGRANT_CONTROL_";
/// The one that names the file, which is no field of it.
pub const CONFIG_VARIABLE: &str = "WIREGRANT_CONTROL_CONFIG";
/// Fields that are lists.
const LISTS: [&str; 3] = ["public_urls", "dns", "witnesses"];
/// Fields that are numbers.
const NUMBERS: [&str; 1] = ["poll_seconds"];
/// How fields of the table `[chain]` begin.
const CHAIN: &str = "chain_";

/// The fields that these variables set; others than ours are passed over.
///
/// # Errors
/// A variable of ours that sets no field, by its name.
pub fn from_environment(
    variables: impl Iterator<Item = (String, String)>,
) -> Result<ConfigFile, ConfigError> {
    let (mut fields, mut chain) = (Table::new(), Table::new());
    for (name, value) in variables {
        let Some(field) = name.strip_prefix(PREFIX).filter(|_| name != CONFIG_VARIABLE) else { continue };
        let field = field.to_lowercase();
        match field.strip_prefix(CHAIN) {
            Some(field) => chain.insert(field.to_owned(), parsed(field, &value)),
            None => fields.insert(field.clone(), parsed(&field, &value)),
        };
    }
    if !chain.is_empty() {
        fields.insert("chain".to_owned(), Value::Table(chain));
    }
    fields.try_into().map_err(|error: toml::de::Error| ConfigError::Form {
        path: format!("the environment, {PREFIX}..."),
        message: error.message().trim().to_owned(),
    })
}

fn parsed(field: &str, value: &str) -> Value {
    if LISTS.contains(&field) {
        return Value::Array(value.split_whitespace().map(|word| Value::String(word.to_owned())).collect());
    }
    let number = NUMBERS.contains(&field).then(|| value.parse().ok()).flatten();
    number.map_or_else(|| Value::String(value.to_owned()), Value::Integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<ConfigFile, ConfigError> {
        from_environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn every_kind_of_field_is_read_and_other_variables_are_passed_over() {
        let file = read(&[
            ("PATH", "/bin"),
            (CONFIG_VARIABLE, "/etc/x.toml"),
            ("WIREGRANT_CONTROL_ORIGIN", "grants.example/record"),
            ("WIREGRANT_CONTROL_PUBLIC_URLS", "https://a http://b.onion"),
            ("WIREGRANT_CONTROL_CHAIN_POLL_SECONDS", "30"),
        ])
        .unwrap();
        assert_eq!(file.origin.as_deref(), Some("grants.example/record"));
        assert_eq!(file.public_urls.unwrap(), ["https://a", "http://b.onion"]);
        assert_eq!(file.chain.poll_seconds, Some(30));
        assert_eq!(file.listen, None);
    }

    #[test]
    fn an_unknown_variable_of_ours_is_refused_by_name() {
        for (variable, field) in
            [("WIREGRANT_CONTROL_ORIGN", "orign"), ("WIREGRANT_CONTROL_CHAIN_SORCE", "sorce")]
        {
            let message = read(&[(variable, "x")]).unwrap_err().to_string();
            assert!(message.contains(field) && message.contains(PREFIX), "{message}");
        }
        let message = read(&[("WIREGRANT_CONTROL_CHAIN_POLL_SECONDS", "often")]).unwrap_err().to_string();
        assert!(message.contains("often"), "{message}");
    }
}
