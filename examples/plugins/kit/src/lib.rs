//! What every example plugin does, so that a plugin is its own routes and nothing else.
//!
//! - [`environment`]: what the platform puts into the container.
//! - [`auth`]: tokens of the tenant's realm, and permissions.
//! - [`serve`]: `/health`, `/ready`, `/version`, and an end without a lost request.
//! - [`provider`]: asking another plugin of the same tenant, as the same user.
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

pub mod auth;
pub mod client;
pub mod environment;
pub mod extract;
mod logging;
pub mod plugin;
pub mod problem;
pub mod provider;
pub mod serve;
#[cfg(feature = "testing")]
pub mod testing;

pub use environment::{Environment, Incomplete};
pub use plugin::{Plugin, run};
pub use problem::Problem;
