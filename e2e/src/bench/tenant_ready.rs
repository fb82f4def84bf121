//! From the POST of a Tenant to Ready, beside the raw calls to its backends.
//!
//! Raw tenants and Tenants take turns, so that whatever the machine does meanwhile hits both. One after the other, the
//! operator is compared with the slowest raw call, which nothing can beat. Many at once are bounded by what the backends
//! and the machine give: there the whole is compared with the whole.

mod report;

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    bar::Bar,
    raw::{Raw, Times},
    ready::Watch,
    stats::Sample,
};
use crate::{
    suite::{
        env::{Env, is_ready, unique},
        observe::operator,
    },
    ui::Ui,
};

/// Tenants of each measurement.
const TENANTS: usize = 20;
/// Pairs made before, unmeasured: the first calls of a process meet cold caches.
const WARM_UP: usize = 2;
/// After each creation: its namespace's controllers shall not weigh on the next.
const PAUSE: Duration = Duration::from_millis(300);
/// Tenants made or removed at once where it is not measured.
const AT_ONCE: usize = 10;
/// What all names begin with, so that tenants of an interrupted run are found.
const PREFIX: &str = "bench";

/// A run of the benchmark.
struct Bench<'a> {
    env: &'a Env,
    raw: Raw,
    watch: Watch,
    ui: Ui,
    /// Part of all names.
    run: String,
}

/// What was measured with so many tenants present.
struct Level {
    present: usize,
    in_turn: InTurn,
    at_once: AtOnce,
}

/// One after the other.
#[derive(Default)]
struct InTurn {
    realm: Sample,
    transaction: Sample,
    storage: Sample,
    /// The three calls at the same time: what they cost each other on this machine.
    together: Sample,
    tenants: Sample,
}

/// All at once, with the time from the first request to the last end.
struct AtOnce {
    realms: (Sample, Duration),
    raw: (Sample, Duration),
    tenants: (Sample, Duration),
}

/// Resident memory of the operator.
struct Memory {
    tenants: usize,
    kib: u64,
}

/// Measures at each of these numbers of tenants present, and tells.
pub async fn run(env: &Env, name: &'static str, levels: &[usize]) -> Result<()> {
    let raw = Raw::connect(env).await?;
    let bench = Bench {
        watch: Watch::begin(env.tenants(), is_ready).await?,
        ui: Ui::new(),
        run: unique("x")[2..].to_owned(),
        env,
        raw,
    };
    bench.sweep().await?;
    operator::restart(env).await?;
    let mut memory = vec![bench.memory().await?];
    let mut measured = vec![];
    for present in levels {
        measured.push(bench.level(*present, &mut memory).await?);
    }
    report::tell(name, &measured, &memory);
    Ok(())
}

impl Bench<'_> {
    /// Removes what interrupted runs have left.
    async fn sweep(&self) -> Result<()> {
        let tenants = self.env.tenants().list(&ListParams::default()).await?;
        let left = tenants.iter().map(ResourceExt::name_any);
        let left: Vec<_> = left.filter(|name| name.starts_with(&format!("{PREFIX}-"))).collect();
        self.remove(&left, "left by an earlier run").await?;
        self.raw.sweep(self.env).await
    }

    async fn level(&self, present: usize, memory: &mut Vec<Memory>) -> Result<Level> {
        let others = self.names("p", present);
        self.fill(&others).await?;
        self.in_turn("w", WARM_UP).await?;
        let (in_turn, there) = self.in_turn_kept("t", TENANTS).await?;
        memory.push(self.memory().await?);
        self.remove_both(&there).await?;
        let at_once = self.at_once().await?;
        self.remove(&others, "removing the others").await?;
        Ok(Level {
            present,
            in_turn,
            at_once,
        })
    }

    fn names(&self, phase: &str, count: usize) -> Vec<String> {
        (0..count)
            .map(|index| format!("{PREFIX}-{}-{phase}{index}", self.run))
            .collect()
    }

    fn raw_names(&self, count: usize) -> Vec<String> {
        (0..count).map(|index| Raw::name(&self.run, index)).collect()
    }

    /// Makes a tenant, and waits until it is Ready: the time from sending the POST to seeing it.
    async fn create(&self, name: &str) -> Result<Duration> {
        let begun = Instant::now();
        self.env.create(name, json!({})).await?;
        let seen = self.watch.ready(name).await?;
        Ok(seen.ready.duration_since(begun))
    }

    /// Makes the tenants that are only there.
    async fn fill(&self, names: &[String]) -> Result<()> {
        let bar = self.bar("filling", names.len());
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |name| async {
                self.create(name).await?;
                bar.advance();
                anyhow::Ok(())
            })
            .await
    }

    async fn in_turn(&self, phase: &str, count: usize) -> Result<()> {
        let (_, there) = self.in_turn_kept(phase, count).await?;
        self.remove_both(&there).await
    }

    /// Raw, operator, raw together, raw, operator, … Answers the names of what is there now too.
    async fn in_turn_kept(&self, phase: &str, count: usize) -> Result<(InTurn, (Vec<String>, Vec<String>))> {
        let mut measured = InTurn::default();
        let (raw, tenants) = (self.raw_names(count * 2), self.names(phase, count));
        let (alone, together) = raw.split_at(count);
        let bar = self.bar("one after the other", count * 3);
        for ((raw, together), tenant) in alone.iter().zip(together).zip(&tenants) {
            let made = self.raw.create_in_turn(raw).await;
            let of = |part: fn(&Times) -> Duration| made.as_ref().map(part);
            measured.realm.add(&of(|times| times.realm));
            measured.transaction.add(&of(|times| times.transaction));
            measured.storage.add(&of(|times| times.storage));
            self.told(raw, &made);
            bar.advance();
            sleep(PAUSE).await;
            let time = self.create(tenant).await;
            measured.tenants.add(&time);
            self.told(tenant, &time);
            bar.advance();
            sleep(PAUSE).await;
            let time = self.raw.create_at_once(together).await;
            measured.together.add(&time);
            self.told(together, &time);
            bar.advance();
            sleep(PAUSE).await;
        }
        Ok((measured, (raw, tenants)))
    }

    async fn at_once(&self) -> Result<AtOnce> {
        let raw = self.raw_names(TENANTS);
        let bar = self.bar("raw realms at once", TENANTS);
        let realms = self.all(&raw, &bar, |name| self.raw.create_realm(name)).await;
        drop(bar);
        self.remove_raw(&raw).await?;

        let bar = self.bar("raw tenants at once", TENANTS);
        let whole = self.all(&raw, &bar, |name| self.raw.create_at_once(name)).await;
        drop(bar);
        self.remove_raw(&raw).await?;

        let names = self.names("o", TENANTS);
        let bar = self.bar("tenants at once", TENANTS);
        let tenants = self.all(&names, &bar, |name| self.create(name)).await;
        drop(bar);
        self.remove(&names, "removing them").await?;
        Ok(AtOnce {
            realms,
            raw: whole,
            tenants,
        })
    }

    /// Begins all at once; their times, and the time until the last has ended.
    async fn all<'n, F>(&self, names: &'n [String], bar: &Bar, create: impl Fn(&'n str) -> F) -> (Sample, Duration)
    where
        F: Future<Output = Result<Duration>>,
    {
        let begun = Instant::now();
        let results = join_all(names.iter().map(|name| {
            let creation = create(name);
            async move {
                let result = creation.await;
                self.told(name, &result);
                bar.advance();
                result
            }
        }));
        let sample = results.await.into_iter().collect();
        (sample, begun.elapsed())
    }

    /// A failure is counted and told; the benchmark goes on.
    fn told<T>(&self, name: &str, result: &Result<T>) {
        if let Err(error) = result {
            self.ui.line(&format!("  {name}: {error:#}"));
        }
    }

    async fn remove_both(&self, (raw, tenants): &(Vec<String>, Vec<String>)) -> Result<()> {
        self.remove_raw(raw).await?;
        self.remove(tenants, "removing tenants").await
    }

    async fn remove_raw(&self, names: &[String]) -> Result<()> {
        let bar = self.bar("removing raw tenants", names.len());
        self.raw.remove(names, || bar.advance()).await
    }

    async fn remove(&self, names: &[String], what: &str) -> Result<()> {
        let bar = self.bar(what, names.len());
        stream::iter(names)
            .map(Ok)
            .try_for_each_concurrent(AT_ONCE, |name| async {
                self.env.delete(name).await?;
                bar.advance();
                anyhow::Ok(())
            })
            .await
    }

    async fn memory(&self) -> Result<Memory> {
        // What the last pass allocated is given back soon after it.
        sleep(Duration::from_secs(2)).await;
        let tenants = self.env.tenants().list(&ListParams::default()).await?;
        Ok(Memory {
            tenants: tenants.items.len(),
            kib: operator::resident_kib()?,
        })
    }

    fn bar(&self, what: &str, length: usize) -> Bar {
        Bar::new(&self.ui, what, length)
    }
}
