//! Plugin `sample-analytics`: counts events by name and day. It also has what tests of the traffic light need: slow
//! answers, echoes and WebSockets.

mod echo;
mod event;
mod routes;
mod store;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plexica_plugin_kit::run(routes::routes).await
}
