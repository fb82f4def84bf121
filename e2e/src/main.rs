//! `cargo dev`: the development stack, its tests and its benchmarks.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use plexica_e2e::layout::Layout;
use plexica_e2e::stack;
use plexica_e2e::ui::{self, Ui};
use plexica_e2e::{bench, down, failure, generate, passthrough, status, test, token, up};

/// The development stack of Plexica Operator: a real Kubernetes, PostgreSQL, Keycloak, MinIO and Gateway on this
/// machine, without Docker, with the operator of the working tree on it.
#[derive(Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Arguments {
    #[command(subcommand)]
    command: Subject,
}

#[derive(Subcommand)]
enum Subject {
    /// Bring up what is missing: build it (once), start it, deploy the operator and the tenants of examples/.
    Up,
    /// Remove everything of the stack but the cache of built programs.
    Down,
    /// Show which parts live; fails when one is dead.
    Status,
    /// Run kubectl on the stack's cluster.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Arguments of kubectl.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run psql as superuser on the stack's PostgreSQL (database `plexica`; another one with `-d`).
    #[command(disable_help_flag = true)]
    Psql {
        /// Arguments of psql.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Print an access token of a user of a tenant, to try its plugins with curl; it counts for some minutes.
    Token {
        /// The tenant.
        tenant: String,
        /// With role `tenant_admin` instead of `user`.
        #[arg(long)]
        admin: bool,
    },
    /// Show the log of a part, of a build step, or of the `operator`.
    Logs {
        /// Name of a part as `cargo dev status` shows it, or `operator`.
        name: String,
        /// Go on showing what is added.
        #[arg(short, long)]
        follow: bool,
    },
    /// Run all checks and tests; the end-to-end tests run on the real stack, which is brought up if it is not.
    Test {
        /// Only the end-to-end tests whose name contains this.
        filter: Option<String>,
    },
    /// Write the files that are generated from the code: CRDs, table of conditions.
    Generate,
    /// Run the benchmarks; but for `resolution` they need the running stack.
    Bench {
        /// Only this benchmark.
        name: Option<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    stack::use_ring();
    let command = Arguments::parse().command;
    let undoes = matches!(command, Subject::Bench { .. });
    let interrupted = async {
        if undoes {
            // The first one is for the benchmark, which undoes what it did.
            ui::interrupted().await;
        }
        ui::interrupted().await;
    };
    let result = tokio::select! {
        result = run(command) => result,
        () = interrupted => {
            ui::print_error("\ninterrupted; `cargo dev up` goes on from here, `cargo dev down` removes what was started");
            return ExitCode::from(130);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::print_error(&format!("\nerror: {}", failure::report(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Subject) -> Result<()> {
    let layout = Layout::locate()?;
    match command {
        Subject::Up => up::up(layout, Ui::new()).await,
        Subject::Down => down::down(layout, Ui::new()).await,
        Subject::Status => status::status(&layout).await,
        Subject::Kubectl { args } => passthrough::kubectl(layout, &args).await,
        Subject::Psql { args } => passthrough::psql(&layout, &args),
        Subject::Token { tenant, admin } => token::token(&tenant, admin).await,
        Subject::Logs { name, follow } => passthrough::logs(layout, &name, follow).await,
        Subject::Test { filter } => test::test(layout, filter.as_deref()).await,
        Subject::Generate => generate::generate().await,
        Subject::Bench { name } => bench::run(name.as_deref()).await,
    }
}
