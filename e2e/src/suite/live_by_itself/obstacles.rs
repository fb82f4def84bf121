//! How the next release is stuck, before it has pods: one row each.

use anyhow::Result;
use plexica_crds::plugin_installation::conditions::Type;
use serde_json::{Value, json};

use super::{
    actions::{Action, try_all},
    live::{Live, Told, names},
};
use crate::suite::{
    clients::database,
    env::{Env, unique},
    fault_proxy::{Backend, Mode, Turn},
    promotions::Installed,
    tenant_plugins::TenantPlugins,
};

/// What holds the next release up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A statement of its migration does not run.
    FailedMigration,
    /// Its migration runs as long as the case does.
    LongMigration,
    /// Its migration reaches for what is not the plugin's.
    ForbiddenMigration,
    /// Its schema does not admit what is configured.
    RefusedConfiguration,
    /// `spec.configFrom` names a Secret that is not there.
    MissingSecret,
    /// The tenant's database refuses connections.
    DatabaseDown,
    /// It needs a plugin that is installed and not ready.
    ProviderNotReady,
    /// No release is in the range.
    NothingThatFits,
}

/// Release 1.1.0 is live, 1.0.0 stands by, and what comes next is stuck: everything that is done to what is live is
/// followed nevertheless.
pub async fn leave_what_is_live_alone(env: &Env, obstacle: Obstacle) -> Result<()> {
    let (turn, pool) = match obstacle {
        Obstacle::DatabaseDown => (Some(Backend::Postgres.turn(env).await?), "proxied"),
        _ => (None, "main"),
    };
    let tenant = unique("stuck");
    env.create(&tenant, json!({ "database": { "pool": pool } })).await?;
    env.ready(&tenant).await?;
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s", "rollbackWindow": "1h" });
    let plugins = TenantPlugins::of(env, &tenant)?;
    let installed = Installed::of(env, plugins, release(json!({})), promotion, 1).await?;
    installed.publish_with("1.1.0", release(json!({}))).await?;
    installed.live("1.1.0").await?;
    installed
        .plugins
        .says(&installed.id, Type::RollbackAvailable, "True", "StandingBy")
        .await?;

    obstacle.comes(&installed, turn.as_ref()).await?;
    let live = Live::of(&installed, turn.is_none())?;
    live.says(obstacle.told()).await?;
    let actions: Vec<_> = Action::ALL
        .into_iter()
        .filter(|action| obstacle.leaves_room_for(*action))
        .collect();
    let cells = try_all(&actions, &live, obstacle.told()).await;
    if let Some(turn) = turn {
        turn.set(Mode::Forward);
        // Here, while it is this test's turn.
        env.delete(&tenant).await?;
    }
    cells.end()
}

/// What all releases have, and more.
fn release(mut more: Value) -> Value {
    let mut migrations = vec![names()];
    if let Some(own) = more["migrations"].as_array_mut() {
        migrations.append(own);
    }
    more["migrations"] = json!(migrations);
    more
}

fn migration(sql: &str) -> Value {
    release(json!({ "migrations": [{ "name": "0002_more", "sql": sql }] }))
}

/// Ends when somebody stores the name, or runs into the longest time of a statement.
fn waiting_migration() -> Value {
    migration(&format!(
        "DO $$ BEGIN
             WHILE NOT EXISTS (SELECT FROM names WHERE name = '{ENOUGH}') LOOP PERFORM pg_sleep(0.2); END LOOP;
         END $$"
    ))
}

/// The name that ends [`Obstacle::LongMigration`].
const ENOUGH: &str = "enough";

impl Obstacle {
    /// How the installation says so.
    fn told(self) -> Told {
        match self {
            Self::FailedMigration | Self::ForbiddenMigration => Told(Type::MigrationsApplied, &["MigrationFailed"]),
            // After its longest time it is tried again.
            Self::LongMigration => Told(Type::MigrationsApplied, &["Migrating", "MigrationTimedOut"]),
            Self::RefusedConfiguration => Told(Type::ConfigurationValid, &["ConfigurationInvalid"]),
            Self::MissingSecret => Told(Type::ConfigurationValid, &["SourceMissing"]),
            Self::DatabaseDown => Told(Type::DatabaseReady, &["BackendUnavailable"]),
            Self::ProviderNotReady => Told(Type::DependenciesSatisfied, &["DependencyUnfit"]),
            Self::NothingThatFits => Told(Type::DependenciesSatisfied, &["NoVersionFits"]),
        }
    }

    /// Without a database nobody makes a login.
    fn leaves_room_for(self, action: Action) -> bool {
        self != Self::DatabaseDown || action != Action::DeleteSecret
    }

    /// Puts it in the way of what is wanted next.
    async fn comes(self, installed: &Installed<'_>, turn: Option<&Turn>) -> Result<()> {
        let (plugins, id) = (&installed.plugins, installed.id.as_str());
        let next = match self {
            Self::FailedMigration => migration("ALTER TABLE nothing ADD COLUMN more text"),
            Self::ForbiddenMigration => migration("DROP TABLE {{tenant_schema}}.users CASCADE"),
            Self::LongMigration => {
                let enough = format!("INSERT INTO {}.names (name) VALUES ('{ENOUGH}')", plugins.schema(id)?);
                let postgres = installed.env.postgres.clone();
                // Nobody is to wait for it when the case has ended.
                installed
                    .env
                    .afterwards(async move { database::run(&postgres, &enough).await });
                waiting_migration()
            }
            Self::RefusedConfiguration => {
                release(json!({ "configuration": { "schema": { "required": ["crashAfterSeconds"] } } }))
            }
            Self::MissingSecret => {
                let nowhere = json!([{ "pointer": "/fault", "secretKeyRef": { "name": "nowhere", "key": "fault" } }]);
                plugins.patch(id, json!({ "spec": { "configFrom": nowhere } })).await?;
                release(json!({}))
            }
            Self::DatabaseDown => {
                if let Some(turn) = turn {
                    turn.set(Mode::Refuse);
                }
                release(json!({}))
            }
            Self::ProviderNotReady => {
                let provider = Installed {
                    id: unique("tl"),
                    ..installed.clone()
                };
                provider.publish("1.0.0").await?;
                let never = json!({ "replicas": 1, "config": { "fault": "never-ready" } });
                plugins.install(&provider.id, never).await?;
                release(json!({ "dependencies": [{ "plugin": provider.id, "version": "^1" }] }))
            }
            Self::NothingThatFits => {
                return plugins.patch(id, json!({ "spec": { "version": "^7" } })).await;
            }
        };
        installed.publish_with("1.2.0", next).await
    }
}
