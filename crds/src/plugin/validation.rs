//! The manifest check: what a release must be before anybody installs it. Pure; what needs other objects (base paths
//! of other plugins, statements in ConfigMaps) is offered as functions beside it.

mod manifest;
mod names;
mod runtime;

use kube::ResourceExt;
use oci_spec::distribution::Reference;
use semver::Version;

use super::{DependencyKind, Plugin, PluginSpec, configuration_schema::ConfigurationSchema, migrations, paths};
use crate::{names::PluginId, text, version_range::VersionRange};

pub use crate::violation::Violation;
pub(crate) use runtime::resources;

/// A release that keeps all rules, with everything parsed that its manifest says in text.
#[derive(Debug, Clone)]
pub struct ValidatedManifest {
    /// Its plugin.
    pub id: PluginId,
    /// Its version.
    pub version: Version,
    /// Its image.
    pub image: Reference,
    /// Path of its API below the tenant's host.
    pub base_path: String,
    /// What it needs or uses.
    pub dependencies: Vec<ValidatedDependency>,
    /// What it does not go together with.
    pub conflicts: Vec<(PluginId, VersionRange)>,
    /// The schema of its configuration.
    pub configuration: ConfigurationSchema,
    /// Advice that stops nothing.
    pub warnings: Vec<String>,
}

/// A plugin that is needed or used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedDependency {
    /// Its id.
    pub plugin: PluginId,
    /// Versions that fit.
    pub range: VersionRange,
    /// How much it matters.
    pub kind: DependencyKind,
}

/// Checks a whole Plugin: its name, and its manifest.
///
/// # Errors
/// All rules that it breaks, in the order of its fields.
pub fn check_plugin(plugin: &Plugin) -> Result<ValidatedManifest, Vec<Violation>> {
    let wanted = format!("{}-{}", plugin.spec.id, plugin.spec.version);
    let misnamed = (plugin.name_any() != wanted).then(|| {
        Violation::new(
            "metadata.name",
            format!("a Plugin is named <spec.id>-<spec.version>: call it {wanted}"),
        )
    });
    match (misnamed, check(&plugin.spec)) {
        (None, checked) => checked,
        (Some(violation), Ok(_)) => Err(vec![violation]),
        (Some(violation), Err(mut violations)) => {
            violations.insert(0, violation);
            Err(violations)
        }
    }
}

/// Checks a manifest.
///
/// # Errors
/// All rules that it breaks, in the order of its fields.
pub fn check(spec: &PluginSpec) -> Result<ValidatedManifest, Vec<Violation>> {
    let mut found = vec![];
    let version = manifest::version(&spec.version, &mut found);
    let (image, warnings) = runtime::image(&spec.runtime.image, &mut found);
    found.extend(runtime::violations(&spec.runtime));
    let base_path = spec.base_path();
    found.extend(
        paths::problem(&base_path, spec.id.as_str()).map(|problem| Violation::new("spec.api.basePath", problem)),
    );
    found.extend(manifest::frontend(spec));
    let dependencies = manifest::dependencies(spec, &mut found);
    let conflicts = manifest::conflicts(spec, &mut found);
    found.extend(names::permissions(spec));
    found.extend(names::events(spec));
    let configuration = manifest::configuration(&spec.configuration, &mut found);
    found.extend(migrations::violations(&spec.migrations));
    found.extend(manifest::tenant_tables(&spec.database));
    found.extend(manifest::sizes(spec));
    found.extend(text::nul("spec", spec));
    match (version, image, configuration) {
        (Some(version), Some(image), Some(configuration)) if found.is_empty() => Ok(ValidatedManifest {
            id: spec.id.clone(),
            version,
            image,
            base_path,
            dependencies,
            conflicts,
            configuration,
            warnings,
        }),
        _ => Err(found),
    }
}

/// The first of other plugins' base paths that is in the way of this one: the other's id, and its path. Versions of the
/// plugin itself are not in its way.
pub fn base_path_taken<'a>(
    id: &PluginId,
    base_path: &str,
    others: impl IntoIterator<Item = (&'a PluginId, &'a str)>,
) -> Option<(&'a PluginId, &'a str)> {
    others
        .into_iter()
        .find(|(other, path)| *other != id && paths::overlap(base_path, path))
}

#[cfg(test)]
mod tests;
