//! Plugin `crm`: deals with the contacts of plugin `contacts`.

mod attachments;
mod deal;
mod routes;
mod store;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plexica_plugin_kit::run(routes::routes).await
}
