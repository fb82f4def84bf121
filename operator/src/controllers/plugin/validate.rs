//! Whether a release keeps all rules, and is what was accepted. Pure: what comes out is what the status says of it.

use kube::ResourceExt;
use plexica_crds::{
    Plugin,
    plugin::{
        conditions::{Outcome, Reason},
        immutability, migrations,
        validation::check_plugin,
    },
};

use super::dereference::Script;
use crate::backends::hash::sha256_hex;

/// A release that keeps all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// SHA-256 of what was accepted.
    pub digest: String,
    /// Advice that stops nothing.
    pub warnings: Vec<String>,
}

/// Checks a release.
///
/// # Errors
/// The outcome `Blocked`: the release is not what was accepted, or breaks rules.
pub fn validate(plugin: &Plugin, scripts: &[Script]) -> Result<Accepted, Outcome> {
    let digest = digest(plugin, scripts)?;
    let before = plugin
        .status
        .as_ref()
        .and_then(|status| status.accepted_digest.as_ref());
    if before.is_some_and(|before| *before != digest) {
        return Err(Outcome::Blocked(
            Reason::ReleaseChanged,
            format!(
                "the release, or a ConfigMap with its migrations, is not what was accepted as {}: restore it, or publish another version",
                plugin.name_any()
            ),
        ));
    }
    let (mut violations, warnings) = match check_plugin(plugin) {
        Ok(manifest) => (vec![], manifest.warnings),
        Err(violations) => (violations, vec![]),
    };
    for Script { migration: index, text } in scripts {
        if let Some(migration) = plugin.spec.migrations.get(*index) {
            let field = format!("spec.migrations[{index}].configMapRef");
            violations.extend(migrations::script_violations(&field, migration, text));
        }
    }
    if violations.is_empty() {
        return Ok(Accepted { digest, warnings });
    }
    let told: Vec<_> = violations.iter().map(ToString::to_string).collect();
    Err(Outcome::Blocked(Reason::ManifestInvalid, told.join("; ")))
}

/// Equal for equal releases: the spec without `deprecated`, and the statements that it refers to.
fn digest(plugin: &Plugin, scripts: &[Script]) -> Result<String, Outcome> {
    let mut content = immutability::released(&plugin.spec)
        .map_err(|error| Outcome::Blocked(Reason::ManifestInvalid, format!("spec: is no JSON: {error}")))?;
    for Script { migration, text } in scripts {
        content.extend(["\n", &migration.to_string(), " ", &sha256_hex(text)]);
    }
    Ok(sha256_hex(content))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn plugin(migration: &Value) -> Plugin {
        serde_json::from_value(json!({
            "metadata": { "name": "notes-1.0.0" },
            "spec": {
                "id": "notes", "version": "1.0.0", "displayName": "Notes", "runtime": { "image": "registry.example.com/notes:1.0.0" },
                "migrations": [migration],
            },
        }))
        .unwrap()
    }

    fn referring() -> Plugin {
        plugin(&json!({ "name": "0001_notes", "configMapRef": { "name": "notes", "key": "0001.sql" } }))
    }

    fn script(text: &str) -> [Script; 1] {
        [Script {
            migration: 0,
            text: text.to_owned(),
        }]
    }

    #[test]
    fn statements_in_a_config_map_keep_the_same_rules_as_those_in_the_manifest() {
        assert!(validate(&referring(), &script("CREATE TABLE {{schema}}.notes ()")).is_ok());
        let Err(Outcome::Blocked(Reason::ManifestInvalid, told)) = validate(&referring(), &script("COMMIT")) else {
            panic!("COMMIT was accepted");
        };
        assert!(
            told.contains("spec.migrations[0].configMapRef: `0001_notes`, line 1: it begins or ends"),
            "{told}"
        );
    }

    #[test]
    fn what_was_accepted_is_accepted_again_and_nothing_else_under_its_version() {
        let mut release = referring();
        let accepted = validate(&release, &script("SELECT 1")).unwrap();
        assert_eq!(accepted.warnings.len(), 1, "the image has no digest");
        release.status = serde_json::from_value(json!({ "acceptedDigest": accepted.digest })).unwrap();
        assert_eq!(validate(&release, &script("SELECT 1")), Ok(accepted));
        for (changed, scripts) in [
            (release.clone(), script("SELECT 2")),
            (
                {
                    let mut other = release.clone();
                    other.spec.display_name = "Other".into();
                    other
                },
                script("SELECT 1"),
            ),
        ] {
            let told = validate(&changed, &scripts);
            assert!(
                matches!(told, Err(Outcome::Blocked(Reason::ReleaseChanged, _))),
                "{told:?}"
            );
        }
    }
}
