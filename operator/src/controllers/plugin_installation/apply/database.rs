//! The plugin's part of the tenant's database: schema and roles, migrations, permissions.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use plexica_crds::{
    Plugin, PluginInstallation,
    plugin::{Migration, MigrationPhase},
    plugin_installation::{
        FailedMigration, MigrationsStatus,
        conditions::{Outcome, Reason},
    },
};

use super::super::{
    Context, failure,
    migrating::Batch,
    model::{Needs, Place},
};
use super::credential;
use crate::{
    backends::{
        Credential, Observed,
        postgres::DatabaseEndpoint,
        postgres::plugin::{MigrationError, MigrationLimits, PluginDatabase, PluginDatabaseSpec, PluginMigration},
    },
    controllers::plugin,
    pools::{Pool, Verb},
    runtime::age::Age,
};

/// `statement_timeout` of a plugin's sessions.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The database of revisions that run together: what they need, and as many sessions as their pods may open. Each of the two slots
/// has one pod more while its pods are replaced.
pub fn spec(place: &Place, needs: &Needs, installation: &PluginInstallation, size: i32) -> PluginDatabaseSpec {
    let pods = 2 * (size.max(0) + 1) + i32::from(installation.spec.red.enabled);
    PluginDatabaseSpec {
        owner: place.owner.clone(),
        key: place.key(),
        connection_limit: needs.connections * pods,
        statement_timeout: STATEMENT_TIMEOUT,
        tenant_tables: needs.tenant_tables.clone(),
        surplus: needs.surplus,
    }
}

fn pool<'a>(place: &Place, ctx: &'a Context) -> Result<&'a Arc<Pool<dyn PluginDatabase>>, Outcome> {
    let name = &place.postgres_pool;
    ctx.backends.plugins.get(name).ok_or_else(|| failure::no_pool(name))
}

/// What a plugin has of its database.
pub struct Access {
    /// What its pods log in with.
    pub credential: Credential,
    /// What it is.
    spec: PluginDatabaseSpec,
    /// Names of the migrations that are applied by now.
    applied: Vec<String>,
    /// Whether no migration of any version was applied before this pass.
    pub is_new: bool,
}

/// Makes schema, roles and grants, and the Secret. It is enough to know an old one, if it is the one that the database accepts.
pub async fn provision(
    place: &Place,
    spec: &PluginDatabaseSpec,
    known: Option<&Secret>,
    ctx: &Context,
) -> Result<Access, Outcome> {
    let pool = pool(place, ctx)?;
    let failed = |error| failure::of_backend(&error, pool);
    let observed = pool
        .call(Verb::Observe, |backend| async move { backend.observe(spec).await })
        .await
        .map_err(failed)?;
    let accepted = match &observed {
        Observed::Present(state) => state.credential_id.clone(),
        Observed::Absent | Observed::Foreign(_) => None,
    };
    let is_accepted = |held: &Credential| Some(&held.id) == accepted.as_ref();
    let read = match known {
        Some(known) if credential::held(known).as_ref().is_some_and(is_accepted) => None,
        _ => credential::live(place, Age::Newest, ctx).await?,
    };
    let live = read.as_ref().or(known);
    let (credential, applied) = match observed {
        Observed::Foreign(what) => return Err(failure::not_owned(&what, Reason::NotOwned)),
        Observed::Absent => {
            let credential = Credential::generate();
            let new = &credential;
            pool.call(Verb::Create, |backend| async move { backend.create(spec, new).await })
                .await
                .map_err(failed)?;
            (credential, vec![])
        }
        Observed::Present(state) => {
            let held = live.and_then(credential::held).filter(is_accepted);
            let renew = held.is_none();
            let credential = held.unwrap_or_else(Credential::generate);
            if renew || !state.differences.is_empty() {
                let set = renew.then_some(&credential);
                pool.call(Verb::Update, |backend| async move { backend.update(spec, set).await })
                    .await
                    .map_err(failed)?;
            }
            (credential, state.applied)
        }
    };
    credential::write(place, live, &endpoint(place, ctx)?, &credential, ctx).await?;
    Ok(Access {
        credential,
        spec: spec.clone(),
        is_new: applied.is_empty(),
        applied,
    })
}

/// Makes a new credential where the Secret with the old one is lost, and says whether it did. Nothing else of the database is
/// touched, since migrations run.
pub async fn renew_if_lost(place: &Place, spec: &PluginDatabaseSpec, ctx: &Context) -> Result<bool, Outcome> {
    let live = credential::live(place, Age::Newest, ctx).await?;
    if live.as_ref().and_then(credential::held).is_some() {
        return Ok(false);
    }
    let pool = pool(place, ctx)?;
    let new = Credential::generate();
    let credential = &new;
    pool.call(Verb::Update, |backend| async move {
        backend.set_credential(spec, credential).await
    })
    .await
    .map_err(|error| failure::of_backend(&error, pool))?;
    credential::write(place, live.as_ref(), &endpoint(place, ctx)?, &new, ctx).await?;
    Ok(true)
}

fn endpoint(place: &Place, ctx: &Context) -> Result<DatabaseEndpoint, Outcome> {
    let pool = ctx.backends.postgres.get(&place.postgres_pool);
    pool.map(|pool| pool.backend.endpoint())
        .ok_or_else(|| failure::no_pool(&place.postgres_pool))
}

/// What a plugin has of its database, without making anything; `None` if not all of it is there.
pub async fn look(place: &Place, spec: &PluginDatabaseSpec, ctx: &Context) -> Result<Option<Access>, Outcome> {
    let pool = pool(place, ctx)?;
    let observed = pool
        .call(Verb::Observe, |backend| async move { backend.observe(spec).await })
        .await
        .map_err(|error| failure::of_backend(&error, pool))?;
    let state = match observed {
        Observed::Foreign(what) => return Err(failure::not_owned(&what, Reason::NotOwned)),
        Observed::Absent => return Ok(None),
        Observed::Present(state) => state,
    };
    let held = credential::live(place, Age::Newest, ctx).await?;
    let held = held.as_ref().and_then(credential::held);
    let held = held.filter(|held| Some(&held.id) == state.credential_id.as_ref());
    Ok(held.map(|credential| Access {
        credential,
        spec: spec.clone(),
        is_new: state.applied.is_empty(),
        applied: state.applied,
    }))
}

impl Access {
    /// Whether a migration of this name is applied.
    pub fn has_applied(&self, name: &str) -> bool {
        self.applied.iter().any(|applied| applied == name)
    }
}

/// The migrations of a release and phase that are not applied yet, in order.
pub fn pending<'a>(plugin: &'a Plugin, access: &Access, phase: MigrationPhase) -> Vec<&'a str> {
    let migrations = plugin.spec.migrations.iter();
    migrations
        .filter(|migration| migration.phase == phase && !access.has_applied(&migration.name))
        .map(|migration| migration.name.as_str())
        .collect()
}

/// How far the migrations of the version are.
pub fn progress(plugin: &Plugin, access: &Access) -> MigrationsStatus {
    let migrations = plugin.spec.migrations.iter();
    let (applied, pending): (Vec<&Migration>, Vec<&Migration>) =
        migrations.partition(|migration| access.has_applied(&migration.name));
    let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let pending_of = |phase| count(pending.iter().filter(|migration| migration.phase == phase).count());
    let contracting = |migration: &&&Migration| migration.phase == MigrationPhase::Contract;
    MigrationsStatus {
        applied: count(applied.len()),
        pending: pending_of(MigrationPhase::Expand),
        contract_pending: pending_of(MigrationPhase::Contract),
        version: Some(plugin.spec.version.clone()),
        last: applied.last().map(|migration| migration.name.clone()),
        contracted: applied
            .iter()
            .rfind(contracting)
            .map(|migration| migration.name.clone()),
        failed: None,
    }
}

/// Applies what is not applied of a phase, and compares what is applied with the version's texts. What takes longer than a moment
/// goes on beside the passes.
pub async fn migrate(
    installation: &PluginInstallation,
    place: &Place,
    plugin: &Plugin,
    access: &mut Access,
    phase: MigrationPhase,
    ctx: &Context,
) -> Result<Migrated, Unmigrated> {
    let mut migrations = vec![];
    for migration in &plugin.spec.migrations {
        migrations.push(PluginMigration {
            name: migration.name.clone(),
            sql: script(plugin, migration, ctx).await?,
            phase: migration.phase,
            transactional: migration.transactional,
        });
    }
    let pool = Arc::clone(pool(place, ctx)?);
    let batch = Batch {
        version: plugin.spec.version.clone(),
        phase,
        names: pending(plugin, access, phase).into_iter().map(str::to_owned).collect(),
    };
    let under_way = batch.outcome();
    let (by, spec) = (Arc::clone(&pool), access.spec.clone());
    let run = async move {
        let (spec, migrations, limits) = (&spec, migrations.as_slice(), &MigrationLimits::default());
        by.call(Verb::Migrate, |backend| async move {
            backend.migrate(spec, migrations, phase, limits).await
        })
        .await
    };
    let Some(migrated) = ctx.migrating.run(installation, batch, run).await else {
        return Err(Unmigrated {
            outcome: under_way,
            status: Some(progress(plugin, access)),
        });
    };
    let applied = match &migrated {
        Ok(applied) => applied.as_slice(),
        Err(MigrationError::Failed(failure)) => failure.applied.as_slice(),
        Err(_) => &[],
    };
    access
        .applied
        .extend(applied.iter().map(|applied| applied.name.clone()));
    let is_any_new = !applied.is_empty();
    let status = progress(plugin, access);
    match migrated {
        Ok(_) => Ok(Migrated { status, is_any_new }),
        Err(error) => Err(Unmigrated {
            status: Some(MigrationsStatus {
                failed: failed(&error),
                ..status
            }),
            outcome: failure(error, &pool),
        }),
    }
}

/// The migrations of a phase are applied.
pub struct Migrated {
    /// How far all are.
    pub status: MigrationsStatus,
    /// Whether any was applied since it was looked last.
    pub is_any_new: bool,
}

/// Why the migrations are not applied, and how far they are, if that is known.
pub struct Unmigrated {
    /// Why.
    pub outcome: Outcome,
    /// How far.
    pub status: Option<MigrationsStatus>,
}

impl From<Outcome> for Unmigrated {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, status: None }
    }
}

/// The migration that failed, if one did.
fn failed(error: &MigrationError) -> Option<FailedMigration> {
    let MigrationError::Failed(failure) = error else {
        return None;
    };
    Some(FailedMigration {
        name: failure.migration.clone(),
        statement: failure.statement.and_then(|statement| i32::try_from(statement).ok()),
        sqlstate: failure.sqlstate.clone(),
        message: failure.message.clone(),
    })
}

/// Shuts the plugin out of its schema. Writes nothing if that is so already.
pub async fn revoke(place: &Place, ctx: &Context) -> Result<(), Outcome> {
    let pool = pool(place, ctx)?;
    let (owner, key) = (&place.owner, &place.key());
    pool.call(Verb::Revoke, |backend| async move { backend.revoke(owner, key).await })
        .await
        .map_err(|error| failure::of_backend(&error, pool))
}

/// The statements of a migration as they were accepted, from the manifest or from the operator's copy.
async fn script(plugin: &Plugin, migration: &Migration, ctx: &Context) -> Result<String, Outcome> {
    let found = plugin::statements(plugin, migration, &ctx.objects.client, &ctx.namespace).await;
    found.map_err(|error| match error {
        plugin::Unreadable::Api(error) => failure::of_api(&error),
        plugin::Unreadable::Missing(message) => Outcome::Blocked(Reason::MigrationSourceMissing, message),
    })
}

fn failure(error: MigrationError, pool: &Pool<dyn PluginDatabase>) -> Outcome {
    let failed = |why: &str| {
        Outcome::Blocked(
            Reason::MigrationFailed,
            format!("{why}; publish a version that corrects it"),
        )
    };
    match error {
        MigrationError::Backend(error) => failure::of_migration(&error, pool),
        MigrationError::Failed(failure) if failure.transient => {
            Outcome::Waiting(Reason::MigrationTimedOut, failure.to_string())
        }
        MigrationError::Failed(failure) => failed(&failure.to_string()),
        error @ (MigrationError::Invalid { .. } | MigrationError::NotExpanded { .. }) => failed(&error.to_string()),
    }
}

/// Brings the plugin's permissions in the tenant's schema to those that its revisions need together.
pub async fn seed(place: &Place, needs: &Needs, ctx: &Context) -> Result<(), Outcome> {
    let pool = pool(place, ctx)?;
    let (owner, key) = (&place.owner, &place.key());
    pool.call(Verb::Update, |backend| async move {
        backend
            .seed_permissions(owner, key, &needs.permissions, needs.surplus)
            .await
    })
    .await
    .map(drop)
    .map_err(|error| failure::of_backend(&error, pool))
}
