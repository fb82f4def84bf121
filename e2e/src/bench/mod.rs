//! The benchmarks behind `cargo dev bench`.
//!
//! Those on the stack compare the operator with the raw calls to its backends, in the same run on the same machine, so
//! that their result says something about the operator and not about the machine. Each ends with one line:
//! `NAME: … p50 … p95 … ratio N.NN … failed N`.

mod bar;
mod install;
mod raw;
mod ready;
mod resolution;
mod scale;
pub mod stats;
mod switch;
mod switch_load;
mod table;
mod tenant_ready;

use anyhow::{Result, anyhow};
use futures::future::LocalBoxFuture;

use crate::failure::Failure;
use crate::stack::Stack;
use crate::suite::{env::Env, observe::write_gate::Moment, promotions::killed_at_one_write_after_the_other};
use crate::ui;

/// A benchmark.
struct Benchmark {
    name: &'static str,
    /// What it measures, and how long that takes.
    about: &'static str,
    run: Run,
}

/// How it runs.
enum Run {
    /// With the stack.
    OnStack(for<'a> fn(&'a Env, &'static str) -> LocalBoxFuture<'a, Result<()>>),
    /// Without.
    Alone(fn(&'static str)),
}

const BENCHMARKS: [Benchmark; 12] = [
    Benchmark {
        name: "tenant-ready",
        about: "from the POST of a Tenant to Ready, against the raw calls, with 0 and 50 tenants present (about 5 min)",
        run: Run::OnStack(|env, name| Box::pin(tenant_ready::run(env, name, &[0, 50]))),
    },
    Benchmark {
        name: "tenant-ready-300",
        about: "the same with 300 tenants present (about 10 min)",
        run: Run::OnStack(|env, name| Box::pin(tenant_ready::run(env, name, &[300]))),
    },
    Benchmark {
        name: "install",
        about: "from the POST of a PluginInstallation to Ready, against the same migrations by hand and a bare Deployment (about 3 min)",
        run: Run::OnStack(|env, name| Box::pin(install::in_turn(env, name))),
    },
    Benchmark {
        name: "installs",
        about: "100 installations over 10 tenants at once, against as many by hand (about 5 min)",
        run: Run::OnStack(|env, name| Box::pin(install::at_once(env, name))),
    },
    Benchmark {
        name: "switch",
        about: "from the annotation that asks for a promotion or a rollback to EndpointSlices of the new slot only, against a raw patch of a selector (about 2 min)",
        run: Run::OnStack(|env, name| Box::pin(switch::run(env, name, 10))),
    },
    Benchmark {
        name: "switch-100",
        about: "the same, 100 promotions and 100 rollbacks (about 15 min)",
        run: Run::OnStack(|env, name| Box::pin(switch::run(env, name, 100))),
    },
    Benchmark {
        name: "switch-load",
        about: "requests lost over 200 promotions and rollbacks under load, with killed operators (about 25 min)",
        run: Run::OnStack(|env, name| Box::pin(switch_load::run(env, name))),
    },
    Benchmark {
        name: "killed-writes",
        about: "how a promotion and a rollback end when the operator is killed at one of its writes, each in turn, and the requests lost (about 17 min)",
        run: Run::OnStack(|env, _| Box::pin(killed_writes(env))),
    },
    Benchmark {
        name: "scale",
        about: "1,000 installations on fake nodes: memory, writes at rest, 100 promotions at once, a start (about 15 min)",
        run: Run::OnStack(|env, name| Box::pin(scale::run(env, name, 1_000))),
    },
    Benchmark {
        name: "scale-2000",
        about: "the same with 2,000 (about 35 min)",
        run: Run::OnStack(|env, name| Box::pin(scale::run(env, name, 2_000))),
    },
    Benchmark {
        name: "scale-100",
        about: "the same with 100 (about 5 min)",
        run: Run::OnStack(|env, name| Box::pin(scale::run(env, name, 100))),
    },
    Benchmark {
        name: "resolution",
        about: "versions of a tenant's plugins, chosen among 200 plugins x 20 releases; needs no stack (some seconds)",
        run: Run::Alone(resolution::run),
    },
];

async fn killed_writes(env: &Env) -> Result<()> {
    for moment in [Moment::Before, Moment::After] {
        killed_at_one_write_after_the_other(env, moment).await?;
        env.clean_up().await?;
    }
    Ok(())
}

/// Runs the benchmark of that name, or all.
///
/// # Errors
/// When there is none of that name, the stack that it needs does not run, or it could not measure.
pub async fn run(name: Option<&str>) -> Result<()> {
    let wanted: Vec<_> = BENCHMARKS
        .iter()
        .filter(|benchmark| name.is_none_or(|name| name == benchmark.name))
        .collect();
    if wanted.is_empty() {
        let names = BENCHMARKS.map(|benchmark| format!("`cargo dev bench {}`: {}", benchmark.name, benchmark.about));
        let what = format!("there is no benchmark {}", name.unwrap_or_default());
        return Err(Failure::new(what, names.join("; ")).into());
    }
    for Benchmark { name, about, run } in wanted {
        ui::print(&format!("{name}: {about}"));
        match run {
            Run::Alone(run) => run(name),
            Run::OnStack(run) => {
                let env = Env::new(&Stack::running()?).await?;
                let result = tokio::select! {
                    result = run(&env, name) => result,
                    // What it changed is undone first; whoever asks once more leaves at once (main.rs).
                    () = ui::interrupted() => {
                        ui::print_error("\ninterrupted: what the benchmark made is removed; Ctrl-C again leaves at once");
                        Err(anyhow!("interrupted"))
                    }
                };
                // Tenants that it made; the raw things are removed where they are made.
                result.and(env.clean_up().await)?;
            }
        }
    }
    Ok(())
}
