//! The operator may die at any moment: every step tolerates that the next pass begins anew.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use kube::{ResourceExt, api::ListParams};
use plexica_crds::{Tenant, names::TenantSlug};
use rand::{RngExt as _, SeedableRng, rngs::StdRng};
use serde_json::json;
use tokio::time::sleep;

use super::{
    Case,
    clients::{database, identity, storage},
    env::{Env, eventually, is_ready, seed, unique},
    observe::{inventory::Inventory, operator},
};
use crate::cases;

/// How many tenants are made.
const TENANTS: usize = 10;
/// How often the operator is killed.
const KILLS: usize = 20;
/// A kill comes at most so long after the operator's process began: time enough to start (about 0.3 s) and, now and
/// then, to make a tenant (about 0.7 s). Longer lives would meet tenants that are Ready already.
const LONGEST_LIFE: Duration = Duration::from_millis(1_200);
/// Longest wait for what is removed without being waited for, such as a namespace.
const PATIENCE: Duration = Duration::from_mins(1);

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; a_killed_operator_makes_every_tenant_once_and_leaves_nothing_over]
}

async fn a_killed_operator_makes_every_tenant_once_and_leaves_nothing_over(env: &Env) -> Result<()> {
    let before = Inventory::take(env).await?;
    let run = unique("crash");
    // None of them begins with another.
    let names: Vec<_> = (0..TENANTS).map(|index| format!("{run}-{index}")).collect();
    let hits = kill_while_creating(env, &names, seed()).await?;
    ensure!(
        hits >= KILLS / 2,
        "only {hits} of {KILLS} kills met a tenant that was not Ready: nothing is proven"
    );
    operator::ready(env).await?;
    try_join_all(names.iter().map(|name| env.ready(name))).await?;
    let all = Inventory::take(env).await?;
    let mut faults = vec![];
    for name in &names {
        faults.extend(all.faults(&TenantSlug::parse(name)?));
    }
    ensure!(
        faults.is_empty(),
        "not exactly one of everything: {}",
        faults.join("; ")
    );
    for name in &names {
        works(env, name)
            .await
            .with_context(|| format!("credentials of {name}"))?;
    }
    try_join_all(names.iter().map(|name| env.delete(name))).await?;
    // Namespaces go a while after the tenant: their controller empties them first.
    eventually("nothing is left over", PATIENCE, || async {
        let after = Inventory::take(env).await?;
        let left: Vec<_> = after.beyond(&before, &run).iter().map(ToString::to_string).collect();
        ensure!(left.is_empty(), "left over: {}", left.join(", "));
        Ok(())
    })
    .await
}

/// Makes the tenants one after the other while the operator is killed again and again. Answers how many of the kills met
/// a tenant that was not Ready.
async fn kill_while_creating(env: &Env, names: &[String], seed: u64) -> Result<usize> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut to_make = names.iter();
    let mut killed = vec![];
    let mut hits = 0;
    let mut kills = 0;
    // The kubelet may start a container once more in a pod that is being removed, and end it by itself.
    for life in 0..2 * KILLS {
        operator::new_pid(&killed).await?;
        // A tenant for every second life.
        if life % (KILLS / TENANTS) == 0
            && let Some(name) = to_make.next()
        {
            env.create(name, json!({})).await?;
        }
        sleep(random.random_range(Duration::ZERO..LONGEST_LIFE)).await;
        let made = env.tenants().list(&ListParams::default()).await?;
        let is_unfinished = |tenant: &Tenant| names.contains(&tenant.name_any()) && !is_ready(tenant);
        let died = operator::kill_and_replace(env).await?;
        if died.is_empty() {
            continue;
        }
        killed.extend(died);
        hits += usize::from(made.iter().any(is_unfinished));
        kills += 1;
        if kills == KILLS {
            return Ok(hits);
        }
    }
    bail!("the operator ended by itself again and again: {kills} kills of {KILLS}")
}

/// Fails unless every credential of the tenant opens what it is for.
async fn works(env: &Env, name: &str) -> Result<()> {
    let slug = TenantSlug::parse(name)?;
    let mut session = database::of_tenant(env, name).await?;
    let roles = database::texts(&mut session, "SELECT name FROM roles ORDER BY name").await?;
    ensure!(roles == ["admin", "guest", "user"], "seeded roles are {roles:?}");
    let client = storage::of_tenant(env, name).await?;
    storage::put(&client, slug.bucket().as_str(), "probe", "hello").await?;
    let read = storage::get(&client, slug.bucket().as_str(), "probe").await?;
    ensure!(read == "hello", "the bucket gives back {read}");
    let secret = env.secret(name, identity::SECRET).await?;
    let issuer = secret.get("issuer").context("no issuer")?;
    let found = identity::discovery(env, issuer).await?;
    ensure!(found["issuer"] == **issuer, "the realm's issuer is {}", found["issuer"]);
    Ok(())
}
