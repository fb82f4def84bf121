//! The rules of migrations and permissions.

use std::time::Duration;

use futures::future::BoxFuture;
use plexica_crds::plugin::MigrationPhase;

use super::{
    super::{Failure, Subject, Tenant, checks, expect},
    subject::PluginDatabases,
};
use crate::backends::{
    BackendError, Observed,
    postgres::plugin::{
        FAILING_SQL, MigrationError, MigrationLimits, PluginDatabaseSpec, PluginMigration, PluginPermission, Surplus,
    },
};

use MigrationPhase::{Contract, Expand};
use Surplus::{Kept, Removed};

/// Moments at which a run is broken off, in milliseconds. One of five scripts takes some 50.
const BREAKS_MS: [u64; 8] = [1, 3, 7, 12, 20, 33, 50, 80];

/// One rule of databases of plugins.
pub struct PluginCheck {
    /// The rule, as a sentence.
    pub name: &'static str,
    run: for<'a> fn(&'a PluginDatabases<'a>, &'a Tenant) -> BoxFuture<'a, Outcome>,
}

impl PluginCheck {
    /// Tries the rule on a fresh tenant, which is deleted afterwards, come what may.
    ///
    /// # Errors
    /// How the rule was broken, or why the tenant could not be deleted.
    pub async fn run(&self, subject: &PluginDatabases<'_>) -> Outcome {
        let tenant = Tenant::fresh()?;
        let outcome = (self.run)(subject, &tenant).await;
        checks::delete(subject, &tenant).await?;
        outcome
    }
}

type Outcome = Result<(), Failure>;

/// All rules.
pub const PLUGIN_CHECKS: &[PluginCheck] = &[
    PluginCheck {
        name: "migrations are applied in order, and once",
        run: |subject, tenant| Box::pin(applied_once(subject, tenant)),
    },
    PluginCheck {
        name: "a migration that fails says so, keeps what was applied before, and is applied when put right",
        run: |subject, tenant| Box::pin(failing(subject, tenant)),
    },
    PluginCheck {
        name: "a migration whose text changed is never run again",
        run: |subject, tenant| Box::pin(changed(subject, tenant)),
    },
    PluginCheck {
        name: "what contracts waits for what expands",
        run: |subject, tenant| Box::pin(phases(subject, tenant)),
    },
    PluginCheck {
        name: "a run that was broken off is completed, each migration applied once",
        run: |subject, tenant| Box::pin(broken_off(subject, tenant)),
    },
    PluginCheck {
        name: "a plugin that comes back after it was revoked finds its data, and after it was deleted nothing",
        run: |subject, tenant| Box::pin(kept_or_dropped(subject, tenant)),
    },
    PluginCheck {
        name: "migrations need the plugin's own schema",
        run: |subject, tenant| Box::pin(nowhere(subject, tenant)),
    },
    PluginCheck {
        name: "permissions are written once, and those no longer brought are taken away",
        run: |subject, tenant| Box::pin(permissions(subject, tenant)),
    },
    PluginCheck {
        name: "a tenant's plugins are found by their marks",
        run: |subject, tenant| Box::pin(found(subject, tenant)),
    },
];

/// A migration whose second run would fail.
fn migration(name: &str, phase: MigrationPhase) -> PluginMigration {
    PluginMigration {
        name: name.to_owned(),
        sql: format!(
            "CREATE TABLE {{{{schema}}}}.table_{name} (id uuid PRIMARY KEY, by uuid REFERENCES {{{{tenant_schema}}}}.users (id));\n\
             -- In tables of the plugin's own; with a text; that has semicolons.\n\
             INSERT INTO {{{{schema}}}}.table_{name} (id) VALUES (gen_random_uuid());"
        ),
        phase,
        transactional: true,
    }
}

fn index(name: &str, table: &str) -> PluginMigration {
    PluginMigration {
        sql: format!("CREATE INDEX CONCURRENTLY IF NOT EXISTS by_{name} ON {{{{schema}}}}.table_{table} (by)"),
        transactional: false,
        ..migration(name, Expand)
    }
}

async fn migrate(
    subject: &PluginDatabases<'_>,
    spec: &PluginDatabaseSpec,
    migrations: &[PluginMigration],
    phase: MigrationPhase,
) -> Result<Vec<String>, MigrationError> {
    let limits = MigrationLimits::default();
    let applied = subject.plugins.migrate(spec, migrations, phase, &limits).await?;
    Ok(applied.into_iter().map(|one| one.name).collect())
}

async fn migrates(
    subject: &PluginDatabases<'_>,
    spec: &PluginDatabaseSpec,
    migrations: &[PluginMigration],
    phase: MigrationPhase,
    wanted: &[&str],
) -> Outcome {
    let applied = migrate(subject, spec, migrations, phase)
        .await
        .map_err(|error| Failure(format!("{wanted:?} should be applied: {error}")))?;
    expect(applied == wanted, format!("applied {applied:?}, not {wanted:?}"))
}

async fn converged(subject: &PluginDatabases<'_>, spec: &PluginDatabaseSpec, applied: &[&str]) -> Outcome {
    match subject.plugins.observe(spec).await? {
        Observed::Present(state) if state.differences.is_empty() && state.applied == applied => Ok(()),
        other => Err(Failure(format!("{applied:?} should be applied, and it is {other:?}"))),
    }
}

async fn applied_once(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = subject.installed(tenant).await?;
    let all = [migration("1", Expand), index("2", "1"), migration("3", Expand)];
    migrates(subject, &spec, &all[..2], Expand, &["1", "2"]).await?;
    migrates(subject, &spec, &all[..2], Expand, &[]).await?;
    migrates(subject, &spec, &all, Expand, &["3"]).await?;
    // An older release does not know the third.
    migrates(subject, &spec, &all[..1], Expand, &[]).await?;
    converged(subject, &spec, &["1", "2", "3"]).await
}

async fn failing(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = subject.installed(tenant).await?;
    let bad = PluginMigration {
        sql: format!("{FAILING_SQL}; CREATE TABLE {{{{schema}}}}.never ()"),
        ..migration("2", Expand)
    };
    let all = [migration("1", Expand), bad, migration("3", Expand)];
    let failed = migrate(subject, &spec, &all, Expand).await;
    let says = matches!(
        &failed,
        Err(MigrationError::Failed(failure)) if failure.migration == "2" && failure.statement == Some(1)
            && failure.sqlstate.as_deref() == Some("22012") && failure.applied.iter().map(|one| &one.name).eq(["1"])
    );
    expect(says, format!("a failing migration ended as {failed:?}"))?;
    converged(subject, &spec, &["1"]).await?;
    let [first, _, third] = all;
    let all = [first, migration("2", Expand), third];
    migrates(subject, &spec, &all, Expand, &["2", "3"]).await
}

async fn changed(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = subject.installed(tenant).await?;
    let mut first = migration("1", Contract);
    migrates(subject, &spec, &[first.clone()], Contract, &["1"]).await?;
    first.sql += " ";
    let refused = migrate(subject, &spec, &[migration("0", Expand), first], Expand).await;
    let is_changed = matches!(
        &refused,
        Err(MigrationError::Backend(BackendError::MigrationChanged { name, .. })) if name == "1"
    );
    expect(is_changed, format!("a changed migration ended as {refused:?}"))?;
    converged(subject, &spec, &["1"]).await
}

async fn phases(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = subject.installed(tenant).await?;
    let all = [migration("1", Expand), migration("2", Contract), migration("3", Expand)];
    migrates(subject, &spec, &all[..2], Expand, &["1"]).await?;
    let refused = migrate(subject, &spec, &all, Contract).await;
    let waits = matches!(&refused, Err(MigrationError::NotExpanded { migration }) if migration == "3");
    expect(waits, format!("contracting too early ended as {refused:?}"))?;
    migrates(subject, &spec, &all, Expand, &["3"]).await?;
    migrates(subject, &spec, &all, Contract, &["2"]).await?;
    converged(subject, &spec, &["1", "2", "3"]).await
}

async fn broken_off(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = subject.installed(tenant).await?;
    let mut all = Vec::new();
    for (round, after) in BREAKS_MS.iter().enumerate() {
        for script in 0..5 {
            all.push(migration(&format!("{round}{script}"), Expand));
        }
        all.push(index(&format!("{round}9"), &format!("{round}0")));
        let run = migrate(subject, &spec, &all, Expand);
        let _ = tokio::time::timeout(Duration::from_millis(*after), run).await;
        // What is left may still be at work; a script that ran twice would fail for good.
        let mut last = migrate(subject, &spec, &all, Expand).await;
        for _ in 0..checks::TRIES {
            if !matches!(last, Err(MigrationError::Backend(BackendError::Unavailable(_)))) {
                break;
            }
            tokio::time::sleep(checks::PAUSE).await;
            last = migrate(subject, &spec, &all, Expand).await;
        }
        last.map_err(|error| Failure(format!("after {after} ms: {error}")))?;
    }
    let mut names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    converged(subject, &spec, &names).await
}

async fn kept_or_dropped(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let all = [migration("1", Expand)];
    let spec = subject.installed(tenant).await?;
    migrates(subject, &spec, &all, Expand, &["1"]).await?;
    subject.plugins.revoke(&spec.owner, &spec.key).await?;
    subject.installed(tenant).await?;
    migrates(subject, &spec, &all, Expand, &[]).await?;
    converged(subject, &spec, &["1"]).await?;
    subject.plugins.delete(&spec.owner, &spec.key).await?;
    let observed = subject.plugins.observe(&spec).await?;
    expect(
        observed == Observed::Absent,
        format!("after its end there is {observed:?}"),
    )?;
    subject.installed(tenant).await?;
    migrates(subject, &spec, &all, Expand, &["1"]).await
}

async fn nowhere(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = super::subject::spec(tenant)?;
    let refused = migrate(subject, &spec, &[migration("1", Expand)], Expand).await;
    let waits = matches!(refused, Err(MigrationError::Backend(BackendError::Unavailable(_))));
    expect(waits, format!("without a schema it ended as {refused:?}"))?;
    subject.installed(tenant).await?;
    let stranger = super::subject::spec(&tenant.stranger())?;
    let refused = migrate(subject, &stranger, &[migration("1", Expand)], Expand).await;
    let is_foreign = matches!(refused, Err(MigrationError::Backend(BackendError::Foreign(_))));
    expect(is_foreign, format!("in another's schema it ended as {refused:?}"))?;
    converged(subject, &spec, &[]).await
}

async fn permissions(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let spec = subject.installed(tenant).await?;
    let permission = |action: &str, roles: &[&str]| PluginPermission {
        key: format!("contract-notes:notes:{action}"),
        name: format!("{action} notes"),
        description: None,
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    let (read, write) = (permission("read", &["user", "nobody"]), permission("write", &[]));
    let renamed = PluginPermission {
        description: Some("All of them".to_owned()),
        ..read.clone()
    };
    for (permissions, surplus, changed, unknown) in [
        (vec![read.clone(), write.clone()], Removed, true, &["nobody"][..]),
        (vec![read, write.clone()], Removed, false, &["nobody"]),
        (vec![renamed.clone(), write.clone()], Removed, true, &["nobody"]),
        (vec![write.clone()], Kept, false, &[]),
        (vec![renamed, write.clone()], Removed, false, &["nobody"]),
        (vec![write], Removed, true, &[]),
        (vec![], Removed, true, &[]),
        (vec![], Removed, false, &[]),
    ] {
        let seeded = subject
            .plugins
            .seed_permissions(&spec.owner, &spec.key, &permissions, surplus)
            .await?;
        let holds = seeded.changed == changed && seeded.unknown_roles == unknown;
        expect(holds, format!("seeding {permissions:?} answered {seeded:?}"))?;
    }
    Ok(())
}

async fn found(subject: &PluginDatabases<'_>, tenant: &Tenant) -> Outcome {
    let plugins = async |tenant: &Tenant| subject.plugins.plugins_of(&tenant.owner, &tenant.slug).await;
    let before = plugins(tenant).await?;
    expect(before.is_empty(), format!("a new tenant has {before:?}"))?;
    let spec = subject.installed(tenant).await?;
    subject.revoke(tenant).await?;
    let kept = plugins(tenant).await?;
    expect(
        kept == [spec.key.plugin],
        format!("a tenant with a plugin has {kept:?}"),
    )?;
    let strangers = plugins(&tenant.stranger()).await?;
    expect(strangers.is_empty(), format!("a stranger has {strangers:?}"))
}
