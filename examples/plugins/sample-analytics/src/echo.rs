//! What load tests talk to: nothing of the tenant's, so no token is wanted.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
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
        .route("/echo", post(same))
        .route("/ws", get(socket))
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

#[cfg(test)]
mod tests {
    use plexica_plugin_kit::serve::drain::Times;
    use plexica_plugin_kit::serve::listen::listen;
    use plexica_plugin_kit::testing::Issuer;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::oneshot;

    use super::*;

    /// The example of RFC 6455 section 1.3.
    const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    async fn next(stream: &mut TcpStream) -> Vec<u8> {
        let mut read = vec![0; 4096];
        let length = timeout(Duration::from_secs(5), stream.read(&mut read)).await;
        read.truncate(length.unwrap().unwrap());
        read
    }

    #[tokio::test]
    async fn a_web_socket_echoes_until_it_is_told_to_reconnect() {
        let issuer = Issuer::start().await;
        let times = Times {
            leaving: Duration::from_millis(300),
            closing: Duration::from_secs(3),
            ending: Duration::from_secs(3),
        };
        let plugin = Plugin::new(issuer.environment("sample-analytics", json!({}), &[]), times).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(listen(listener, router(&plugin), plugin.drain.clone(), async {
            let _ = stopped.await;
        }));
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        assert!(next(&mut socket).await.starts_with(b"HTTP/1.1 101"));

        // A text of two bytes, masked by zeros; RFC 6455 section 5.2.
        let hi = b"\x81\x82\0\0\0\0hi";
        socket.write_all(hi).await.unwrap();
        assert_eq!(next(&mut socket).await, b"\x81\x02hi");
        stop.send(()).unwrap();
        plugin.drain.reached(Phase::Leaving).await;
        socket.write_all(hi).await.unwrap();
        assert_eq!(next(&mut socket).await, b"\x81\x02hi", "still answered");
        assert_eq!(next(&mut socket).await, b"\x88\x0b\x03\xe9reconnect");
        assert!(
            TcpStream::connect(address).await.is_err(),
            "reconnecting leads elsewhere"
        );
        socket.write_all(b"\x88\x82\0\0\0\0\x03\xe9").await.unwrap();
        running.await.unwrap();
        assert_eq!(plugin.drain.phase(), Phase::Closing, "nothing was cut");
    }
}
