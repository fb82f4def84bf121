//! The calls to the backends that a tenant needs, made by hand with the operator's own accounts: one realm, one
//! transaction, and a bucket with its user and policy. No operator could be faster than the slowest of them.

mod database;
mod realm;
mod storage;

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{StreamExt, TryStreamExt, stream};
use plexica_crds::names::TenantSlug;
use tokio::{sync::Semaphore, time::Instant};

use crate::suite::{
    env::Env,
    observe::inventory::{Inventory, Kind},
};

/// Realms made at once: more bring nothing (environment.md, "Keycloak figures").
pub const REALMS_AT_ONCE: usize = 4;
/// What all raw tenants' names begin with, so that those of an interrupted run are found.
const PREFIX: &str = "bench-raw";

/// The three backends, with the operator's accounts.
pub struct Raw {
    realms: realm::Realms,
    databases: database::Databases,
    storage: storage::Storage,
    creates: Semaphore,
}

/// How long each call took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The realm.
    pub realm: Duration,
    /// The transaction.
    pub transaction: Duration,
    /// Bucket, policy and user.
    pub storage: Duration,
}

impl Raw {
    /// Connects.
    pub async fn connect(env: &Env) -> Result<Self> {
        Ok(Self {
            realms: realm::Realms::new(&env.stack)?,
            databases: database::Databases::connect(&env.stack).await?,
            storage: storage::Storage::new(&env.stack)?,
            creates: Semaphore::new(REALMS_AT_ONCE),
        })
    }

    /// A name for a raw tenant.
    pub fn name(run: &str, index: usize) -> String {
        format!("{PREFIX}-{run}-{index}")
    }

    /// Makes everything, one call after the other, each timed alone.
    pub async fn create_in_turn(&self, name: &str) -> Result<Times> {
        let slug = TenantSlug::parse(name)?;
        self.realms.log_in().await?;
        Ok(Times {
            realm: timed(self.realms.create(&slug)).await?,
            transaction: timed(self.databases.create(&slug)).await?,
            storage: timed(self.storage.create(&slug)).await?,
        })
    }

    /// Makes everything at once, with at most [`REALMS_AT_ONCE`] realms in the making; the time of it all.
    pub async fn create_at_once(&self, name: &str) -> Result<Duration> {
        let slug = TenantSlug::parse(name)?;
        let all = async {
            tokio::try_join!(
                self.permitted_realm(&slug),
                self.databases.create(&slug),
                self.storage.create(&slug)
            )
        };
        self.realms.log_in().await?;
        let begun = Instant::now();
        all.await?;
        Ok(begun.elapsed())
    }

    /// Makes a realm alone, with at most [`REALMS_AT_ONCE`] in the making.
    pub async fn create_realm(&self, name: &str) -> Result<Duration> {
        let slug = TenantSlug::parse(name)?;
        timed(self.permitted_realm(&slug)).await
    }

    async fn permitted_realm(&self, slug: &TenantSlug) -> Result<()> {
        let _permit = self.creates.acquire().await?;
        self.realms.log_in().await?;
        self.realms.create(slug).await
    }

    /// Removes what there is of these.
    pub async fn remove(&self, names: &[String], progress: impl Fn()) -> Result<()> {
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(REALMS_AT_ONCE, |name| async {
                let slug = TenantSlug::parse(name)?;
                let all = async {
                    self.realms.log_in().await?;
                    tokio::try_join!(
                        self.realms.remove(&slug),
                        self.databases.remove(&slug),
                        self.storage.remove(&slug)
                    )
                };
                all.await
                    .with_context(|| format!("cannot remove the raw tenant {slug}"))?;
                progress();
                Ok(())
            })
            .await
    }

    /// Removes what interrupted runs have left.
    pub async fn sweep(&self, env: &Env) -> Result<()> {
        let all = Inventory::take(env).await?;
        let names = |kind, prefix: &str| {
            let found = all.beginning(kind, &format!("{prefix}{PREFIX}"));
            found
                .into_iter()
                .map(|name| name[prefix.len()..].replace('_', "-"))
                .collect::<Vec<_>>()
        };
        let mut left = names(Kind::Realm, "tenant-");
        left.extend(names(Kind::Bucket, "tenant-"));
        left.extend(names(Kind::Schema, "tenant_"));
        left.sort_unstable();
        left.dedup();
        self.remove(&left, || ()).await
    }
}

async fn timed(call: impl Future<Output = Result<()>>) -> Result<Duration> {
    let begun = Instant::now();
    call.await?;
    Ok(begun.elapsed())
}
