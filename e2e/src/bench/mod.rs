//! The benchmarks behind `cargo dev bench`.
//!
//! Each compares the operator with the raw calls to its backends, in the same run on the same machine, so that its
//! result says something about the operator and not about the machine. Each ends with one line:
//! `NAME: … p50 … p95 … ratio N.NN … failed N`.

mod raw;
mod ready;
mod stats;
mod tenant_ready;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::failure::Failure;
use crate::stack::Stack;
use crate::suite::env::Env;
use crate::ui;

/// A benchmark.
struct Benchmark {
    name: &'static str,
    /// What it measures, and how long that takes.
    about: &'static str,
    run: for<'a> fn(&'a Env, &'static str) -> LocalBoxFuture<'a, Result<()>>,
}

const BENCHMARKS: [Benchmark; 2] = [
    Benchmark {
        name: "tenant-ready",
        about: "from the POST of a Tenant to Ready, against the raw calls, with 0 and 50 tenants present (about 5 min)",
        run: |env, name| Box::pin(tenant_ready::run(env, name, &[0, 50])),
    },
    Benchmark {
        name: "tenant-ready-300",
        about: "the same with 300 tenants present (about 10 min)",
        run: |env, name| Box::pin(tenant_ready::run(env, name, &[300])),
    },
];

/// Runs the benchmark of that name, or all.
///
/// # Errors
/// When there is none of that name, or one could not measure.
pub async fn run(stack: &Stack, name: Option<&str>) -> Result<()> {
    let wanted: Vec<_> = BENCHMARKS
        .iter()
        .filter(|benchmark| name.is_none_or(|name| name == benchmark.name))
        .collect();
    if wanted.is_empty() {
        let names = BENCHMARKS.map(|benchmark| format!("`cargo dev bench {}`: {}", benchmark.name, benchmark.about));
        let what = format!("there is no benchmark {}", name.unwrap_or_default());
        return Err(Failure::new(what, names.join("; ")).into());
    }
    let env = Env::new(stack).await?;
    for Benchmark { name, about, run } in wanted {
        ui::print(&format!("{name}: {about}"));
        let env = env.for_case();
        let result = run(&env, name).await;
        // Tenants that it made; the raw things are removed where they are made.
        result.and(env.clean_up().await)?;
    }
    Ok(())
}
