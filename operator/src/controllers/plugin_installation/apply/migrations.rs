//! The migrations of a version: what it needs comes before its pods (Expand), and what only former versions need goes when
//! there is no way back to them (Contract).

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use plexica_crds::{
    Plugin, PluginInstallation, condition,
    plugin::{MigrationPhase, Sharing},
    plugin_installation::{
        MigrationsStatus, PluginInstallationStatus,
        conditions::{Outcome, Reason, Type},
    },
};

use super::{
    super::{
        Context,
        migrating::Batch,
        validate::{Facts, Wanted},
    },
    database::{self, Access, Migrated, Unmigrated},
    schema,
    steps::{Failed, Steps},
    traffic::Traffic,
};
use crate::runtime::controller::Root;

/// Applies what the version needs and is not applied yet. A release never changes: what an earlier pass found of this very
/// version holds.
pub async fn expand(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    access: &mut Access,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    if let Some(outcome) = schema::outgrown(&wanted.plugin, &facts.releases, access) {
        return steps.end(Type::MigrationsApplied, outcome);
    }
    let status = installation.status.as_ref();
    let before = status.and_then(|status| said_of_migrations(status, &wanted.plugin.spec.version));
    let is_known = before.is_some_and(|said| said.status == "True");
    if is_known && database::pending(&wanted.plugin, access, MigrationPhase::Expand).is_empty() {
        applied(wanted, database::progress(&wanted.plugin, access), steps);
        return Ok(());
    }
    // If none is pending, the texts of those that are applied are compared with those of the version.
    match database::migrate(
        installation,
        &facts.place,
        &wanted.plugin,
        access,
        MigrationPhase::Expand,
        ctx,
    )
    .await
    {
        Ok(Migrated { status, is_any_new }) => {
            applied(wanted, status, steps);
            steps.has_expanded = is_any_new;
            Ok(())
        }
        Err(Unmigrated { outcome, status }) => {
            steps.migrations = status;
            steps.end(Type::MigrationsApplied, outcome)
        }
    }
}

/// The migrations that run. Meanwhile nothing of the database is looked at or changed, and nothing that depends on it.
pub fn under_way(installation: &PluginInstallation, ctx: &Context) -> Option<Batch> {
    ctx.migrating.under_way(&installation.uid().unwrap_or_default())
}

/// The last Expand migration of a release that the version which is live does not know. It was applied while that served: if its
/// pods fail, this may be why.
pub fn applied_beside<'a>(live: &str, next: &'a Plugin, releases: &[Arc<Root<Plugin>>]) -> Option<&'a str> {
    let mut releases = releases.iter().filter_map(|guard| guard.0.as_ref().ok());
    let live = releases.find(|release| release.spec.version == live)?;
    let is_known = |name: &str| live.spec.migrations.iter().any(|own| own.name == name);
    let mut migrations = next.spec.migrations.iter();
    let last = migrations.rfind(|own| own.phase == MigrationPhase::Expand && !is_known(&own.name));
    last.map(|migration| migration.name.as_str())
}

/// Removes what only former versions need, once nobody can go back to one. The plugin works without that, too: a failure
/// ends nothing, and it is tried again after a back-off.
pub async fn contract(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    access: &mut Access,
    steps: &mut Steps,
    ctx: &Context,
) {
    let live = installation.status.as_ref().and_then(|status| status.live_slot);
    let has_no_former = live.is_none() && access.is_new;
    let settled = |traffic: &Traffic| traffic.is_settled_in(&wanted.plugin.spec.version);
    let is_due = |steps: &Steps| has_no_former || steps.traffic.as_ref().is_some_and(settled);
    let is_dedicated = wanted.plugin.spec.runtime.sharing == Sharing::Dedicated;
    let pending = database::pending(&wanted.plugin, access, MigrationPhase::Contract);
    if pending.is_empty() || !is_due(steps) || !is_dedicated {
        return;
    }
    // Nothing leads back from it.
    if let Some(traffic) = &mut steps.traffic
        && let Err(outcome) = traffic.look_anew(installation, facts, ctx).await
    {
        steps.not_contracted = Some(outcome);
        return;
    }
    if !is_due(steps) {
        return;
    }
    match database::migrate(
        installation,
        &facts.place,
        &wanted.plugin,
        access,
        MigrationPhase::Contract,
        ctx,
    )
    .await
    {
        Ok(Migrated { status, is_any_new: _ }) => applied(wanted, status, steps),
        Err(Unmigrated { outcome, status }) => {
            steps.migrations = status.or(steps.migrations.take());
            steps.not_contracted = Some(outcome);
        }
    }
}

fn applied(wanted: &Wanted, status: MigrationsStatus, steps: &mut Steps) {
    let last = match &status.last {
        Some(last) => format!("up to {last}"),
        None => "the version has none".to_owned(),
    };
    let waits = match (status.contract_pending, wanted.plugin.spec.runtime.sharing) {
        (0, _) => String::new(),
        (count, Sharing::Dedicated) => {
            format!("; {count} of phase Contract wait until the rollback window has closed")
        }
        (count, Sharing::Shared) => {
            format!("; {count} of phase Contract are not applied: a release for all tenants has no rollback window")
        }
    };
    steps.migrations = Some(status);
    steps.say(Type::MigrationsApplied, Outcome::Done(Reason::Applied, last + &waits));
}

/// What an earlier pass said of the migrations of this version. The condition alone may still speak of another one: a pass
/// over a new version that failed before its migrations leaves it as it was.
fn said_of_migrations<'a>(status: &'a PluginInstallationStatus, version: &str) -> Option<&'a Condition> {
    let reached = status.migrations.as_ref()?.version.as_deref();
    let said = condition::find(&status.conditions, Type::MigrationsApplied.into());
    said.filter(|_| reached == Some(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::DeserializeGuard;
    use serde_json::json;

    fn release(version: &str, migrations: &[(&str, &str)]) -> Plugin {
        let migrations: Vec<_> = migrations
            .iter()
            .map(|(name, phase)| json!({ "name": name, "phase": phase, "sql": "SELECT 1" }))
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "Plugin", "metadata": { "name": format!("crm-{version}") },
            "spec": { "id": "crm", "version": version, "displayName": "CRM", "migrations": migrations,
                      "runtime": { "image": "registry.example.com/crm" } },
        }))
        .unwrap()
    }

    #[test]
    fn what_is_live_may_fail_for_an_expand_migration_that_it_does_not_know() {
        let one = [("0001", "Expand")];
        let two = [("0001", "Expand"), ("0002", "Expand"), ("0003", "Contract")];
        let releases =
            [release("1.0.0", &one), release("2.0.0", &two)].map(|plugin| Arc::new(DeserializeGuard(Ok(plugin))));
        let [first, second] = [release("1.0.0", &one), release("2.0.0", &two)];
        assert_eq!(applied_beside("1.0.0", &second, &releases), Some("0002"));
        assert_eq!(applied_beside("2.0.0", &second, &releases), None);
        assert_eq!(applied_beside("2.0.0", &first, &releases), None);
    }

    #[test]
    fn that_one_versions_migrations_are_applied_says_nothing_of_the_next_versions() {
        // The pass over 2.0.0 failed at its configuration.
        let status: PluginInstallationStatus = serde_json::from_value(json!({
            "resolved": { "version": "2.0.0", "reason": "the newest" },
            "migrations": { "applied": 1, "pending": 0, "contractPending": 0, "version": "1.0.0" },
            "conditions": [{ "type": "MigrationsApplied", "status": "True", "reason": "Applied", "message": "",
                             "lastTransitionTime": "2026-11-21T00:00:00Z" }],
        }))
        .unwrap();
        assert!(said_of_migrations(&status, "1.0.0").is_some());
        assert!(said_of_migrations(&status, "2.0.0").is_none());
    }
}
