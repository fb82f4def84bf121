//! The process of the plugin.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    plexica_plugin_kit::process::to_the_end(plexica_traffic_plugin::run()).await
}
