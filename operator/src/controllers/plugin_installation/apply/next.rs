//! What is wanted next, as far as it is known before it is rendered. Pure.

use std::sync::Arc;

use plexica_crds::PluginInstallation;

use super::traffic;
use crate::{
    controllers::plugin_installation::{
        build,
        model::RunningSet,
        validate::{Facts, Wanted},
    },
    promotion::Revision,
};

/// A set with what is wanted next, before that is rendered: what it needs is known.
pub fn beside(set: &RunningSet, wanted: &Wanted) -> RunningSet {
    let unrendered = build::needs(&wanted.plugin, &wanted.providers, wanted.tenant_tables.clone());
    let next = Revision {
        version: unrendered.version.clone(),
        config_hash: String::new(),
    };
    set.clone().with(&next, &Arc::new(unrendered))
}

/// Whether what is wanted was rejected, as far as that is known before it is rendered.
pub fn is_rejected(installation: &PluginInstallation, facts: &Facts, wanted: &Wanted) -> bool {
    let status = installation.status.as_ref();
    let is_current = status.is_some_and(|status| status.observed_generation == installation.metadata.generation);
    let prepared = traffic::prepared(installation);
    let of_this = prepared.filter(|prepared| is_current && prepared.version == wanted.plugin.spec.version);
    let memory = traffic::remembered(installation, facts);
    of_this.is_some_and(|prepared| memory.rejection(&prepared).is_some())
}
