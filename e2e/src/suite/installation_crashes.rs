//! The operator may die at any moment while plugins are installed: every migration is applied exactly once.

use std::{fmt::Debug, time::Duration};

use anyhow::{Result, bail, ensure};
use futures::future::try_join_all;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Secret, Service},
        networking::v1::NetworkPolicy,
    },
};
use kube::{Resource, ResourceExt, api::ListParams};
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Case,
    clients::database,
    env::{Env, eventually, seed, unique},
    observe::operator,
    releases::VERSION,
    tenant_plugins::TenantPlugins,
};
use crate::{cases, plugins, ui};

/// Tenants, and plugins that each of them installs.
const TENANTS: usize = 2;
const PLUGINS: usize = 3;
/// How often the operator is killed.
const KILLS: usize = 20;
/// So many kills at least must come after an installation's first migration has begun and before the last has ended.
const WITHIN_MIGRATIONS: usize = 3;
/// A kill comes at most so long after the operator's process began: time enough to start (about 0.3 s) and to bring an
/// installation to its pods (about a second, with these migrations).
const LONGEST_LIFE: Duration = Duration::from_millis(1_500);
/// Longest time for everything.
const LONGEST: Duration = Duration::from_mins(2);
/// Longest wait for what is removed without being waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Each lasts a while, so that kills meet it. None of them could be told from one that was applied twice but for the row
/// that it leaves.
const MIGRATIONS: [(&str, bool, &str); 5] = [
    (
        "0001_tables",
        true,
        "CREATE TABLE {{schema}}.contacts (id int); CREATE TABLE {{schema}}.applied (name text NOT NULL); \
         INSERT INTO {{schema}}.applied VALUES ('0001_tables'); SELECT pg_sleep(0.2)",
    ),
    (
        "0002_row",
        true,
        "INSERT INTO {{schema}}.applied VALUES ('0002_row'); SELECT pg_sleep(0.2)",
    ),
    // Outside of a transaction only what may be run again is admitted.
    (
        "0003_index",
        false,
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS applied_names ON {{schema}}.applied (name)",
    ),
    (
        "0004_row",
        true,
        "INSERT INTO {{schema}}.applied VALUES ('0004_row'); SELECT pg_sleep(0.2)",
    ),
    (
        "0005_row",
        true,
        "SELECT pg_sleep(0.2); INSERT INTO {{schema}}.applied VALUES ('0005_row')",
    ),
];

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; a_killed_operator_applies_every_migration_once_and_installs_every_plugin]
}

async fn a_killed_operator_applies_every_migration_once_and_installs_every_plugin(env: &Env) -> Result<()> {
    let begun = Instant::now();
    let mut kills = Kills::of(seed());
    let installations = Installations::prepare(env).await?;
    let mut rounds = 0;
    while !kills.are_enough() {
        rounds += 1;
        installations.make().await?;
        kills.until_ready(env, &installations).await?;
        operator::ready(env).await?;
        installations.prove_that_each_is_there_once().await?;
        installations.remove().await?;
        installations.prove_that_nothing_is_left().await?;
        ensure!(
            begun.elapsed() < LONGEST,
            "only {} kills within {} s, {} of them within migrations",
            kills.count,
            begun.elapsed().as_secs(),
            kills.within_migrations
        );
    }
    ui::print(&format!(
        "        {} kills in {rounds} rounds, {} of them within migrations, {:.0} s",
        kills.count,
        kills.within_migrations,
        begun.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Kills at random moments.
struct Kills {
    random: StdRng,
    count: usize,
    within_migrations: usize,
    /// Processes that were killed.
    dead: Vec<i32>,
}

impl Kills {
    fn of(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            count: 0,
            within_migrations: 0,
            dead: vec![],
        }
    }

    /// Whether there were as many as wanted, and enough of them at the moments that matter most.
    fn are_enough(&self) -> bool {
        self.count >= KILLS && self.within_migrations >= WITHIN_MIGRATIONS
    }

    /// Kills the operator again and again until all installations are Ready, or as often as it shall be killed.
    async fn until_ready(&mut self, env: &Env, installations: &Installations<'_>) -> Result<()> {
        // The kubelet may start a container once more in a pod that is being removed, and end it by itself.
        for _ in 0..2 * KILLS {
            operator::new_pid(&self.dead).await?;
            sleep(self.random.random_range(Duration::ZERO..LONGEST_LIFE)).await;
            if self.are_enough() || installations.are_ready().await? {
                return installations.ready().await;
            }
            let died = operator::kill_and_replace(env).await?;
            if died.is_empty() {
                continue;
            }
            self.dead.extend(died);
            self.count += 1;
            self.within_migrations += usize::from(installations.are_within_migrations().await?);
        }
        bail!(
            "the operator ended by itself again and again: {} kills of {KILLS}",
            self.count
        )
    }
}

/// The same plugins in several tenants.
struct Installations<'a> {
    env: &'a Env,
    tenants: Vec<TenantPlugins<'a>>,
    plugins: Vec<String>,
}

impl<'a> Installations<'a> {
    /// Publishes the plugins, and makes the tenants.
    async fn prepare(env: &'a Env) -> Result<Self> {
        let run = unique("crash");
        let mut plugins = vec![];
        for index in 0..PLUGINS {
            // None of them begins with another.
            let id = format!("{run}-{index}");
            let mut spec = env.manifest_of_contacts_as(&id).await?;
            let migration = |(name, transactional, sql): &(&str, bool, &str)| json!({ "name": name, "transactional": transactional, "sql": sql });
            spec["migrations"] = MIGRATIONS.iter().map(migration).collect();
            let release = env.publish(&id, VERSION, spec).await?;
            env.registered(&release).await?;
            plugins.push(id);
        }
        let tenants = (0..TENANTS).map(|_| TenantPlugins::of_new_tenant(env));
        Ok(Self {
            env,
            tenants: try_join_all(tenants).await?,
            plugins,
        })
    }

    fn all(&self) -> impl Iterator<Item = Installation<'_>> {
        let of = move |tenant| {
            self.plugins.iter().map(move |id| Installation {
                env: self.env,
                tenant,
                id,
            })
        };
        self.tenants.iter().flat_map(of)
    }

    async fn make(&self) -> Result<()> {
        let each = self
            .all()
            .map(async |one| one.tenant.install(one.id, json!({ "dataPolicy": "Drop" })).await);
        try_join_all(each).await.map(drop)
    }

    async fn are_ready(&self) -> Result<bool> {
        let all = try_join_all(self.all().map(async |one| one.tenant.api.get(one.id).await)).await?;
        Ok(all.iter().all(plugins::is_ready))
    }

    async fn ready(&self) -> Result<()> {
        let each = self.all().map(async |one| one.tenant.ready(one.id).await);
        try_join_all(each).await.map(drop)
    }

    /// Whether the record shows that some migrations are begun, and not all are applied.
    async fn are_within_migrations(&self) -> Result<bool> {
        let schemas: Vec<_> = self.all().map(|one| format!("'{}'", one.schema())).collect();
        let begun = format!(
            "SELECT FROM plexica.plugin_migrations WHERE schema_name IN ({}) \
             GROUP BY schema_name HAVING count(applied_at) < {}",
            schemas.join(", "),
            MIGRATIONS.len()
        );
        database::any(&self.env.postgres, &begun).await
    }

    async fn prove_that_each_is_there_once(&self) -> Result<()> {
        try_join_all(self.all().map(Installation::prove_that_it_is_there_once))
            .await
            .map(drop)
    }

    async fn remove(&self) -> Result<()> {
        let each = self.all().map(async |one| one.tenant.remove(one.id).await);
        try_join_all(each).await.map(drop)
    }

    async fn prove_that_nothing_is_left(&self) -> Result<()> {
        eventually("nothing is left over", PATIENCE, || async {
            let left = try_join_all(self.all().map(Installation::things)).await?.concat();
            ensure!(left.is_empty(), "left over: {}", left.join(", "));
            Ok(())
        })
        .await
    }
}

/// One of them.
#[derive(Clone, Copy)]
struct Installation<'a> {
    env: &'a Env,
    tenant: &'a TenantPlugins<'a>,
    id: &'a str,
}

impl Installation<'_> {
    fn schema(&self) -> String {
        format!("{}_plugin_{}", self.tenant.slug.schema(), self.id.replace('-', "_"))
    }

    async fn prove_that_it_is_there_once(self) -> Result<()> {
        let (schema, postgres) = (self.schema(), &self.env.postgres);
        let rows = database::texts(postgres, &format!("SELECT name FROM {schema}.applied ORDER BY name")).await?;
        let wanted: Vec<_> = MIGRATIONS
            .iter()
            .filter(|(_, transactional, _)| *transactional)
            .collect();
        let wanted: Vec<_> = wanted.into_iter().map(|(name, ..)| *name).collect();
        ensure!(
            rows == wanted,
            "{schema}: the migrations left rows {rows:?}, not {wanted:?}"
        );
        let index =
            format!("SELECT FROM pg_index WHERE indexrelid = '{schema}.applied_names'::regclass AND indisvalid");
        ensure!(
            database::any(postgres, &index).await?,
            "{schema}: the index is not valid"
        );
        let record = format!(
            "SELECT name || CASE WHEN applied_at IS NULL THEN ' only begun' ELSE '' END \
             FROM plexica.plugin_migrations WHERE schema_name = '{schema}' ORDER BY name"
        );
        let recorded = database::texts(postgres, &record).await?;
        let wanted = MIGRATIONS.map(|(name, ..)| name);
        ensure!(
            recorded == wanted,
            "{schema}: the record says {recorded:?}, not {wanted:?}"
        );
        let permissions = format!(
            "SELECT count(*)::text FROM {}.permissions WHERE plugin_id = '{}'",
            self.tenant.slug.schema(),
            self.id
        );
        let permissions = database::texts(postgres, &permissions).await?;
        ensure!(
            permissions == ["3"],
            "{schema}: {permissions:?} permissions instead of 3"
        );
        let (mut things, id) = (self.things().await?, self.id);
        // The name of a configuration ends with its hash, which nobody can tell beforehand.
        for thing in &mut things {
            if thing.starts_with("ConfigMap") {
                thing.truncate(format!("ConfigMap {id}-config-").len());
            }
        }
        let wanted = [
            format!("ConfigMap {id}-config-"),
            format!("Deployment {id}-a"),
            format!("NetworkPolicy {id}-plugin"),
            format!("Secret {id}-database"),
            format!("Service {id}"),
            format!("role {schema}_a"),
            format!("role {schema}_b"),
            format!("role {schema}_o"),
            format!("schema {schema}"),
        ];
        ensure!(
            things == wanted,
            "{}: there is {things:?}, not {wanted:?}",
            self.tenant.slug
        );
        Ok(())
    }

    /// Everything that bears its name, sorted.
    async fn things(self) -> Result<Vec<String>> {
        let schema = self.schema();
        let in_database = format!(
            "SELECT 'schema ' || nspname FROM pg_namespace WHERE starts_with(nspname, '{schema}')
             UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE starts_with(rolname, '{schema}')"
        );
        let (found, deployments, services, secrets, maps, policies) = tokio::try_join!(
            database::texts(&self.env.postgres, &in_database),
            self.objects::<Deployment>(),
            self.objects::<Service>(),
            self.objects::<Secret>(),
            self.objects::<ConfigMap>(),
            self.objects::<NetworkPolicy>(),
        )?;
        let mut things = [found, deployments, services, secrets, maps, policies].concat();
        things.sort();
        Ok(things)
    }

    async fn objects<K>(self) -> Result<Vec<String>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let own = ListParams::default().labels(&format!("plexica.io/plugin={}", self.id));
        let found = self.tenant.objects::<K>().list_metadata(&own).await?;
        Ok(found
            .iter()
            .map(|object| format!("{} {}", K::kind(&()), object.name_any()))
            .collect())
    }
}
