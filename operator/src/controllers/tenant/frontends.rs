//! The front ends of a tenant's plugins, as the caches show them: what the tenant's shell loads. Pure.
//!
//! docs/decisions/2026-11-21-routes.md says why the Tenant's reconciler writes them down.

use std::{collections::BTreeMap, sync::Arc};

use kube::{
    Resource,
    runtime::reflector::{ObjectRef, Store},
};
use plexica_crds::{Plugin, PluginInstallation, plugin::FrontendSpec};
use serde::Serialize;

use crate::{
    controllers::plugin_installation::{Caches, running_version},
    runtime::controller::Root,
};

/// One front end, as the tenant's shell finds it. Its fields are stable API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontend {
    /// The plugin.
    plugin: String,
    /// The version that is live, GREEN.
    version: String,
    /// Where the remote's entry is: an https URL, or a path on the tenant's host.
    remote_entry: String,
    /// Path in the front end below which the plugin's pages are.
    route_prefix: String,
    /// Names of the modules that the remote exposes.
    exposes: Vec<String>,
}

/// Front ends by slug, each list sorted by plugin; a tenant without any is not in it.
pub fn all(
    installations: &[Arc<Root<PluginInstallation>>],
    plugins: &Store<Root<Plugin>>,
) -> BTreeMap<String, Vec<Frontend>> {
    let mut all: BTreeMap<String, Vec<Frontend>> = BTreeMap::new();
    for guard in installations {
        let Ok(installation) = &guard.0 else { continue };
        let namespace = installation.meta().namespace.as_deref().unwrap_or_default();
        let remote = live(installation, plugins);
        if let (Some(slug), Some(remote)) = (Caches::slug_of(namespace), remote) {
            all.entry(slug.to_string()).or_default().push(remote);
        }
    }
    for remotes in all.values_mut() {
        remotes.sort_by(|one, other| one.plugin.cmp(&other.plugin));
    }
    all
}

/// The front end of the version that is live; `None` if it is switched off, was never live, or has no front end.
fn live(installation: &PluginInstallation, plugins: &Store<Root<Plugin>>) -> Option<Frontend> {
    if !installation.spec.enabled {
        return None;
    }
    let id = installation.meta().name.as_deref()?;
    let version = running_version(installation)?;
    let release = plugins.get(&ObjectRef::new(&format!("{id}-{version}")))?;
    let spec = &release.0.as_ref().ok()?.spec;
    let FrontendSpec {
        remote_entry,
        route_prefix,
        exposes,
    } = spec.frontend.clone()?;
    Some(Frontend {
        plugin: id.to_owned(),
        version: version.to_string(),
        remote_entry: if remote_entry.starts_with('/') {
            format!("{}{remote_entry}", spec.base_path())
        } else {
            remote_entry
        },
        route_prefix,
        exposes,
    })
}

#[cfg(test)]
#[path = "frontends_tests.rs"]
mod tests;
