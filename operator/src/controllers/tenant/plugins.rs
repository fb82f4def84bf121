//! How many plugins a tenant has, as the cache of installations shows it.

use std::{collections::BTreeMap, sync::Arc};

use kube::Resource;
use plexica_crds::{
    PluginInstallation, condition, plugin_installation::conditions::Type as InstallationCondition, tenant::PluginCounts,
};

use crate::{controllers::plugin_installation::Caches, runtime::controller::Root};

/// Counts by slug; a tenant without any is not in it.
pub fn counts(installations: &[Arc<Root<PluginInstallation>>]) -> BTreeMap<String, PluginCounts> {
    let mut counts: BTreeMap<String, PluginCounts> = BTreeMap::new();
    for installation in installations {
        let namespace = installation.meta().namespace.as_deref().unwrap_or_default();
        let Some(slug) = Caches::slug_of(namespace) else {
            continue;
        };
        let count = counts.entry(slug.to_string()).or_default();
        count.installed += 1;
        if installation.0.as_ref().is_ok_and(is_ready) {
            count.ready += 1;
        }
        count.summary = format!("{}/{}", count.ready, count.installed);
    }
    counts
}

/// The counts of one tenant.
pub fn count(installations: &[Arc<Root<PluginInstallation>>], slug: &str) -> PluginCounts {
    counts(installations).remove(slug).unwrap_or_else(|| PluginCounts {
        installed: 0,
        ready: 0,
        summary: "0/0".to_owned(),
    })
}

fn is_ready(installation: &PluginInstallation) -> bool {
    let conditions = installation
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition::find(conditions, InstallationCondition::Ready.into()).is_some_and(|ready| ready.status == "True")
}
