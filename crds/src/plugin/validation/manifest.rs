//! Rules of a manifest's version, front end, ranges, configuration and grants.

use std::collections::HashSet;

use semver::Version;
use serde_json::Value;

use super::ValidatedDependency;
use crate::{
    names::PluginId,
    plugin::{
        ConfigurationSpec, DatabaseSpec, PluginSpec,
        configuration_schema::{Awaited, ConfigurationSchema},
        paths,
    },
    schema,
    version_range::VersionRange,
    violation::Violation,
};

pub(super) fn version(text: &str, found: &mut Vec<Violation>) -> Option<Version> {
    let problem = match Version::parse(text) {
        Ok(version) if !version.build.is_empty() => "it has build metadata, which orders nothing".to_owned(),
        Ok(version) if text.bytes().any(|b| b.is_ascii_uppercase()) => {
            let lower = version.to_string().to_lowercase();
            format!("it is part of the object's name and so in lower case: {lower}")
        }
        Ok(version) => return Some(version),
        Err(error) => error.to_string(),
    };
    found.push(Violation::new(
        "spec.version",
        format!("`{text}` is no version: {problem}; write it as 1.4.0 or 2.0.0-rc.1"),
    ));
    None
}

pub(super) fn frontend(spec: &PluginSpec) -> Option<Violation> {
    let frontend = spec.frontend.as_ref()?;
    let problem = paths::insane(&frontend.route_prefix)?;
    Some(Violation::new("spec.frontend.routePrefix", problem))
}

pub(super) fn dependencies(spec: &PluginSpec, found: &mut Vec<Violation>) -> Vec<ValidatedDependency> {
    let mut seen = HashSet::new();
    spec.dependencies
        .iter()
        .enumerate()
        .filter_map(|(index, dependency)| {
            let field = format!("spec.dependencies[{index}]");
            let range = range(&field, &dependency.version, found);
            if dependency.plugin == spec.id {
                found.push(Violation::new(
                    format!("{field}.plugin"),
                    format!("{} depends on itself: leave it out", spec.id),
                ));
            } else if !seen.insert(&dependency.plugin) {
                found.push(twice(&field, "dependency", &dependency.plugin));
            }
            Some(ValidatedDependency {
                plugin: dependency.plugin.clone(),
                range: range?,
                kind: dependency.kind,
            })
        })
        .collect()
}

pub(super) fn conflicts(spec: &PluginSpec, found: &mut Vec<Violation>) -> Vec<(PluginId, VersionRange)> {
    let mut seen = HashSet::new();
    spec.conflicts
        .iter()
        .enumerate()
        .filter_map(|(index, conflict)| {
            let field = format!("spec.conflicts[{index}]");
            let range = range(&field, &conflict.version, found);
            if conflict.plugin == spec.id {
                found.push(Violation::new(
                    format!("{field}.plugin"),
                    format!(
                        "{} conflicts with itself: leave it out, a tenant has one version of a plugin at a time",
                        spec.id
                    ),
                ));
            } else if !seen.insert(&conflict.plugin) {
                found.push(twice(&field, "conflict", &conflict.plugin));
            }
            Some((conflict.plugin.clone(), range?))
        })
        .collect()
}

fn twice(field: &str, what: &str, plugin: &PluginId) -> Violation {
    Violation::new(
        format!("{field}.plugin"),
        format!("{plugin} is a {what} twice: write one, with a range such as ^1 || ^2"),
    )
}

fn range(field: &str, text: &str, found: &mut Vec<Violation>) -> Option<VersionRange> {
    VersionRange::parse(text)
        .map_err(|error| found.push(Violation::new(format!("{field}.version"), error.to_string())))
        .ok()
}

pub(super) fn configuration(spec: &ConfigurationSpec, found: &mut Vec<Violation>) -> Option<ConfigurationSchema> {
    let schema = match ConfigurationSchema::compile(&spec.schema) {
        Ok(schema) => schema,
        Err(error) => {
            found.push(Violation::new(
                format!("spec.configuration.schema{}", error.pointer),
                error.message,
            ));
            return None;
        }
    };
    let defaults = Value::Object(spec.defaults.clone());
    for secret in schema.secrets().iter().flat_map(|secret| secret.find(&defaults)) {
        found.push(Violation::new(
            format!("spec.configuration.defaults{secret}"),
            "the schema marks this as a secret (`writeOnly`), and everybody who may read Plugins reads defaults: leave it out",
        ));
    }
    for problem in schema.problems(&defaults, Awaited::Anything, &[]) {
        found.push(Violation::new(
            format!("spec.configuration.defaults{}", problem.pointer),
            problem.message,
        ));
    }
    Some(schema)
}

pub(super) fn tenant_tables(database: &DatabaseSpec) -> Vec<Violation> {
    let mut found = vec![];
    let mut seen = HashSet::new();
    for (index, grant) in database.tenant_tables.iter().enumerate() {
        let field = format!("spec.database.tenantTables[{index}]");
        let table = grant.table.as_ref();
        if !seen.insert(grant.table) {
            found.push(Violation::new(
                format!("{field}.table"),
                format!("{table} is named twice: write all its privileges in one place"),
            ));
        }
        let grantable = grant.table.grantable();
        for privilege in grant.privileges.iter().filter(|wanted| !grantable.contains(wanted)) {
            let list: Vec<&str> = grantable.iter().map(AsRef::as_ref).collect();
            found.push(Violation::new(
                format!("{field}.privileges"),
                format!(
                    "{} on {table} is granted to no plugin; there are {}",
                    privilege.as_ref(),
                    list.join(", ")
                ),
            ));
        }
    }
    found
}

pub(super) fn sizes(spec: &PluginSpec) -> Vec<Violation> {
    [
        ("spec.configuration.schema", &spec.configuration.schema),
        ("spec.configuration.defaults", &spec.configuration.defaults),
        ("spec.translations", &spec.translations),
    ]
    .into_iter()
    .filter_map(|(field, object)| schema::too_large(object).map(|problem| Violation::new(field, problem)))
    .collect()
}
