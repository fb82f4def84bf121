//! The release's row in `core.plugins`, where services that know no Kubernetes find it.

use plexica_crds::{
    Plugin,
    plugin::conditions::{Outcome, Reason},
};
use serde_json::json;
use tracing::info;

use super::{Context, report, uses::Uses};
use crate::{
    backends::postgres::registry::{PluginRelease, RecordError, ReleaseStatus},
    pools::Verb,
};

/// Writes the row if it differs.
///
/// # Errors
/// The registry takes no such release, now or later: why, for people.
pub async fn register(plugin: &Plugin, uses: &Uses, ctx: &Context) -> Result<Outcome, String> {
    let registry = &ctx.backends.registry;
    let release = release(plugin, uses);
    let text = format!("core.plugins has {} {}", release.id, release.version);
    let recorded = registry
        .call(Verb::Record, |registry| async move {
            registry.record_release(&release).await
        })
        .await;
    match recorded {
        Ok(written) => {
            if written {
                info!("the registry's row was written");
            }
            Ok(Outcome::Done(Reason::Registered, text))
        }
        Err(RecordError::Backend(error)) => Ok(report::outcome(&error, registry)),
        Err(RecordError::Value(said)) => Err(format!(
            "core.plugins does not take the manifest: {} pool {}: {said}",
            registry.kind, registry.common.name
        )),
    }
}

fn release(plugin: &Plugin, uses: &Uses) -> PluginRelease {
    let spec = &plugin.spec;
    PluginRelease {
        id: spec.id.clone(),
        version: spec.version.clone(),
        name: spec.display_name.clone(),
        manifest: json!(spec),
        status: if spec.deprecated.is_some() {
            ReleaseStatus::Deprecated
        } else if uses.is_installed() {
            ReleaseStatus::Installed
        } else {
            ReleaseStatus::Available
        },
    }
}
