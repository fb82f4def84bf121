//! Plugin `contacts`: the people that a tenant knows.

mod contact;
mod routes;
mod store;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plexica_plugin_kit::run(routes::routes).await
}
