//! Whether a release keeps all rules, and is what was accepted. Pure: what comes out is what the status says of it.
//!
//! A release is accepted once, by its digest, for ever: docs/decisions/2026-11-30-accepted-once.md.

use kube::ResourceExt;
use plexica_crds::{
    Plugin,
    plugin::{
        AcceptedScript,
        conditions::{Outcome, Reason},
        immutability, migrations,
        validation::check_plugin,
    },
    text,
    violation::Violation,
};

use super::dereference::{Script, references};
use crate::backends::hash::sha256_hex;

/// A release that is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// SHA-256 of what was accepted.
    pub digest: String,
    /// The statements of ConfigMaps that were accepted with it, and are copied.
    pub scripts: Vec<AcceptedScript>,
    /// Advice that stops nothing.
    pub warnings: Vec<String>,
    /// What people should know of the ConfigMaps with its migrations.
    pub notices: Vec<String>,
    /// Rules that it breaks though it was accepted: they are newer.
    pub broken: Option<String>,
}

impl Accepted {
    /// Takes note that there is no copy of statements in ConfigMaps, and why.
    pub fn is_uncopied(&mut self, why: &str) {
        self.scripts.clear();
        self.notices
            .push(format!("its migrations in ConfigMaps are not copied yet: {why}"));
    }
}

/// Checks a release that was never accepted.
///
/// # Errors
/// The outcome `Blocked`: it breaks rules.
pub fn accept(plugin: &Plugin, scripts: &[Script]) -> Result<Accepted, Outcome> {
    let (mut violations, warnings) = check(plugin);
    for Script { migration: index, text } in scripts {
        if let Some(migration) = plugin.spec.migrations.get(*index) {
            let field = format!("spec.migrations[{index}].configMapRef");
            violations.extend(text::nul(&field, text));
            violations.extend(migrations::script_violations(&field, migration, text));
        }
    }
    if let Some(told) = told(&violations) {
        return Err(Outcome::Blocked(Reason::ManifestInvalid, told));
    }
    let scripts = hashed(plugin, scripts);
    Ok(Accepted {
        digest: digests(plugin, &scripts)?[0].clone(),
        scripts,
        warnings,
        ..Accepted::default()
    })
}

/// Compares a release with what was accepted as `digest`, together with these statements of ConfigMaps.
///
/// # Errors
/// The outcome `Blocked`: it is not what was accepted.
pub fn confirm(plugin: &Plugin, digest: &str, scripts: Vec<AcceptedScript>) -> Result<Accepted, Outcome> {
    let digests = digests(plugin, &scripts)?;
    if !digests.iter().any(|known| known == digest) {
        return Err(Outcome::Blocked(
            Reason::ReleaseChanged,
            format!(
                "the release is not what was accepted as {}: restore it, or publish another version",
                plugin.name_any()
            ),
        ));
    }
    let [digest, _] = digests;
    Ok(Accepted {
        digest,
        scripts,
        ..unconfirmed(plugin, "")
    })
}

/// What is known of a release that was accepted as `digest` by an operator that made no copies, when its ConfigMaps do not
/// tell whether they are what was accepted. Its spec cannot have changed: the API server refuses that.
pub fn unconfirmed(plugin: &Plugin, digest: &str) -> Accepted {
    let (violations, warnings) = check(plugin);
    Accepted {
        digest: digest.to_owned(),
        warnings,
        broken: told(&violations),
        ..Accepted::default()
    }
}

/// What was accepted, if the release ever was: its digest.
pub fn accepted_digest(plugin: &Plugin) -> Option<&str> {
    plugin.status.as_ref()?.accepted_digest.as_deref()
}

/// The statements of ConfigMaps that were accepted, if all that the manifest refers to are recorded. A manifest that refers
/// to none has all of them.
pub fn recorded(plugin: &Plugin) -> Option<Vec<AcceptedScript>> {
    let known = plugin.status.as_ref().map(|status| status.accepted_scripts.as_slice());
    let known = known.unwrap_or_default();
    references(plugin)
        .map(|(_, migration, _)| known.iter().find(|script| script.migration == migration.name).cloned())
        .collect()
}

/// The same of statements that were read.
pub fn hashed(plugin: &Plugin, scripts: &[Script]) -> Vec<AcceptedScript> {
    let named = scripts.iter().filter_map(|script| {
        let migration = plugin.spec.migrations.get(script.migration)?;
        Some(AcceptedScript {
            migration: migration.name.clone(),
            sha256: sha256_hex(&script.text),
        })
    });
    named.collect()
}

fn check(plugin: &Plugin) -> (Vec<Violation>, Vec<String>) {
    match check_plugin(plugin) {
        Ok(manifest) => (vec![], manifest.warnings),
        Err(violations) => (violations, vec![]),
    }
}

fn told(violations: &[Violation]) -> Option<String> {
    let told: Vec<_> = violations.iter().map(ToString::to_string).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Equal for equal releases: the spec without `deprecated`, and the statements that it refers to. First as it is written to
/// the status, then as operators before 2026-11-30 wrote it, for whom the order of every list counted.
fn digests(plugin: &Plugin, scripts: &[AcceptedScript]) -> Result<[String; 2], Outcome> {
    let of = |content: Result<String, serde_json::Error>| {
        let mut content =
            content.map_err(|error| Outcome::Blocked(Reason::ManifestInvalid, format!("spec: is no JSON: {error}")))?;
        for AcceptedScript { migration, sha256 } in scripts {
            let all = plugin.spec.migrations.iter();
            let index = all.enumerate().find(|(_, each)| each.name == *migration);
            let index = index.map_or_else(String::new, |(index, _)| index.to_string());
            content.extend(["\n", &index, " ", sha256]);
        }
        Ok(sha256_hex(content))
    };
    Ok([
        of(immutability::released(&plugin.spec))?,
        of(immutability::as_written(&plugin.spec))?,
    ])
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
