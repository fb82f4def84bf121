//! What load tests talk to: nothing of the tenant's, so no token is wanted.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::{any, get, post};
use plexica_plugin_kit::extract::Query;
use plexica_plugin_kit::serve::drain::{Drain, Phase};
use plexica_plugin_kit::{Plugin, Problem};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

/// Longest answer of `/slow`, in seconds.
const SLOW_MAX: f64 = 10.0;
/// How long a client has to answer that it closes its WebSocket too; RFC 6455 section 7.1.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Largest message.
const MESSAGE_MAX: usize = 64 << 10;

/// `/slow?seconds=2.5`, `/echo` (POST) and `/ws`.
pub fn router(plugin: &Plugin) -> Router {
    Router::new()
        .route("/slow", any(slow))
        .route("/echo", post(|body: Bytes| async { body }))
        .route("/ws", get(socket))
        .with_state(plugin.drain.clone())
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

async fn socket(State(drain): State<Drain>, upgrade: WebSocketUpgrade) -> Response {
    let held = drain.hold();
    upgrade.max_message_size(MESSAGE_MAX).on_upgrade(async move |socket| {
        echo(socket, drain).await;
        drop(held);
    })
}

/// Sends back what comes, until the client has enough or the process ends: then it is told to reconnect, which leads to
/// another pod.
async fn echo(mut socket: WebSocket, drain: Drain) {
    loop {
        let message = tokio::select! {
            message = socket.recv() => message,
            () = drain.reached(Phase::Closing) => break,
        };
        let sent = match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => socket.send(message).await,
            // Answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        };
        if sent.is_err() {
            return;
        }
    }
    let away = CloseFrame {
        code: close_code::AWAY,
        reason: "reconnect".into(),
    };
    if socket.send(Message::Close(Some(away))).await.is_ok() {
        // Until the client has closed it too.
        let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
    }
}
