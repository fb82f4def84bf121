//! Logs: a line of JSON for each event, as the platform's collector reads them.

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Default of `RUST_LOG`.
const FILTER: &str = "info,hyper=warn,sqlx=warn";

/// Installs the subscriber of this process; call once, first.
pub(crate) fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    // A span names the tenant of a request; there is one at most, so that a list of them would say it twice.
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false);
    tracing_subscriber::registry().with(filter).with(lines).init();
}
