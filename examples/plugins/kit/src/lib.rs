//! What every example plugin does, so that a plugin is its own routes and nothing else.
//!
//! - [`environment`]: what the platform puts into the container.
//! - [`auth`]: tokens of the tenant's realm, and permissions.
//! - [`serve`]: `/health`, `/ready`, `/version`, and an end without a lost request; WebSockets with feature `ws`.
//! - [`provider`]: asking another plugin of the same tenant, as the same user.
//! - [`process`]: one tenant in a process, or many.
//!
//! ```no_run
//! use plexica_plugin_kit::{Plugin, auth::Caller, run, serve::Routes};
//!
//! fn routes(_: &Plugin) -> Result<Routes, plexica_plugin_kit::Incomplete> {
//!     let hello = |caller: Caller| async move { format!("hello {}\n", caller.subject) };
//!     Ok(Routes {
//!         gated: axum::Router::new().route("/hello", axum::routing::get(hello)),
//!         ready: "SELECT 1",
//!         ..Routes::default()
//!     })
//! }
//!
//! # #[allow(clippy::needless_doctest_main)]
//! #[tokio::main]
//! async fn main() -> std::process::ExitCode {
//!     run(routes).await
//! }
//! ```
//!
//! # Many tenants in one process
//! A plugin whose manifest says `runtime.sharing: Shared` has one Deployment for all tenants that install the version. It
//! is the same program: where the platform sets `PLEXICA_TENANTS`, a folder with the environment of each tenant
//! ([`environment::tenants`]), the routes are made once for each of them, each time with that tenant's [`Plugin`].
//!
//! - A request is for the tenant that header `X-Tenant-Slug` names, which the gateway sets; 404 without one, or with one
//!   that is not here, before anything else. A token must be of that tenant's realm, so that a forged header opens
//!   nothing. [`provider`] always sends the header.
//! - A tenant whose environment is not complete is said in the log when the process starts, and its requests are answered
//!   503; so are those of a tenant whose database is down. The others do not notice.
//! - Each tenant has a small pool of connections of its own (two, none when idle for a minute).
//! - `/health` and `/ready` are the process's, with or without the header. It is ready as soon as the schema of any tenant
//!   has answered, and from then on until it is told to end: one tenant's database takes nobody else out, and a release
//!   that reaches none never goes live. Without any tenant it is ready.
//! - The folder is read once: when a tenant comes, goes or changes, the platform starts new pods. They end as ever.

pub mod auth;
pub mod client;
pub mod environment;
pub mod extract;
mod logging;
pub mod plugin;
pub mod problem;
pub mod process;
pub mod provider;
pub mod serve;
#[cfg(feature = "testing")]
pub mod testing;

pub use environment::{Environment, Incomplete};
pub use plugin::Plugin;
pub use problem::Problem;
pub use process::run;
