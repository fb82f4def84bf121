//! Which releases work with the schema as it is. Pure.

use std::sync::Arc;

use plexica_crds::{
    Plugin,
    plugin::MigrationPhase,
    plugin_installation::conditions::{Outcome, Reason},
};

use super::database::Access;
use crate::runtime::controller::Root;

/// Why a release does not work with the schema any more: a newer one's Contract migration was applied.
pub fn outgrown(plugin: &Plugin, releases: &[Arc<Root<Plugin>>], access: &Access) -> Option<Outcome> {
    let known = |name: &str| plugin.spec.migrations.iter().any(|own| own.name == name);
    let mut releases = releases.iter().filter_map(|guard| guard.0.as_ref().ok());
    let (newer, migration) = releases.find_map(|release| {
        let mut contracting = release.spec.migrations.iter().filter(|migration| {
            let is_applied = access.has_applied(&migration.name);
            migration.phase == MigrationPhase::Contract && is_applied && !known(&migration.name)
        });
        contracting
            .next()
            .map(|migration| (&release.spec.version, &migration.name))
    })?;
    let version = &plugin.spec.version;
    Some(Outcome::Blocked(
        Reason::Contracted,
        format!(
            "{version} does not work with the schema any more: Contract migration {migration} of {newer} was applied; choose \
             a version that has it"
        ),
    ))
}
