//! What is wanted next, as far as it is known before it is rendered. Pure.

use std::sync::Arc;

use plexica_crds::{Plugin, PluginInstallation, names::PluginId};

use super::traffic;
use crate::{
    backends::postgres::plugin::TenantTables,
    controllers::plugin_installation::{
        build,
        model::RunningSet,
        remember,
        validate::{Facts, Wanted},
    },
    promotion::Revision,
};

/// A set with what is wanted next, before that is rendered: what it needs is known.
pub fn beside(set: &RunningSet, wanted: &Wanted) -> RunningSet {
    unrendered(set.clone(), &wanted.plugin, &wanted.providers)
}

/// A set with a release beside.
pub fn unrendered(set: RunningSet, plugin: &Plugin, providers: &[PluginId]) -> RunningSet {
    // A release was accepted, so that its privileges can be granted.
    let tenant_tables = TenantTables::of(&plugin.spec.database.tenant_tables).unwrap_or_default();
    let unrendered = build::needs(plugin, providers, tenant_tables);
    let revision = Revision {
        version: unrendered.version.clone(),
        config_hash: String::new(),
    };
    set.with(&revision, &Arc::new(unrendered))
}

/// Whether what is wanted was rejected, as far as that is known before it is rendered.
pub fn is_rejected(installation: &PluginInstallation, facts: &Facts, wanted: &Wanted) -> bool {
    let status = installation.status.as_ref();
    let is_current = status.is_some_and(|status| status.observed_generation == installation.metadata.generation);
    let prepared = remember::prepared(installation);
    let of_this = prepared.filter(|prepared| is_current && prepared.version == wanted.plugin.spec.version);
    let memory = traffic::remembered(installation, facts);
    of_this.is_some_and(|prepared| memory.rejection(&prepared).is_some())
}
