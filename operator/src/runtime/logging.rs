//! Logs: JSON in a pod, text on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Default of `RUST_LOG`.
const FILTER: &str = "info,kube=warn,hyper=warn,sqlx=warn,sqlx::postgres::notice=off,aws=warn";

/// Installs the subscriber of this process; call once, first.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    if std::io::stdout().is_terminal() {
        registry.with(tracing_subscriber::fmt::layer()).init();
    } else {
        registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(true)
                    .with_span_list(false),
            )
            .init();
    }
}
