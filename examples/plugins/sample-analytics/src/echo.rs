//! What load tests talk to: nothing of the tenant's, so no token is wanted.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::{any, get, post};
use plexica_plugin_kit::extract::Query;
use plexica_plugin_kit::serve::drain::Drain;
use plexica_plugin_kit::serve::socket;
use plexica_plugin_kit::{Plugin, Problem};
use serde::Deserialize;
use tokio::time::sleep;

/// Longest answer of `/slow`, in seconds.
const SLOW_MAX: f64 = 10.0;
/// Largest message.
const MESSAGE_MAX: usize = 64 << 10;

/// `/slow?seconds=2.5`, `/echo` (POST) and `/ws`.
pub fn router(plugin: &Plugin) -> Router {
    Router::new()
        .route("/slow", any(slow))
        .route("/echo", post(same))
        .route("/ws", get(echo))
        .with_state(plugin.drain.clone())
}

/// What was sent.
async fn same(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    Ok(body?)
}

#[derive(Deserialize)]
struct Slow {
    seconds: f64,
}

async fn slow(Query(Slow { seconds }): Query<Slow>) -> Result<String, Problem> {
    if !(0.0..=SLOW_MAX).contains(&seconds) {
        return Err(Problem::invalid(format!("seconds is between 0 and {SLOW_MAX}")));
    }
    sleep(Duration::from_secs_f64(seconds)).await;
    Ok(format!("{seconds} s\n"))
}

/// Sends back what comes.
async fn echo(State(drain): State<Drain>, upgrade: WebSocketUpgrade) -> Response {
    socket::answer(upgrade.max_message_size(MESSAGE_MAX), &drain, |message| message)
}
