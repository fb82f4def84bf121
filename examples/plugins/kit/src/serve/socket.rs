//! WebSockets that end without losing a message.
//!
//! Whoever has sent its Close frame may answer nothing more (RFC 6455 section 5.5.1), so that a message which crosses it
//! is lost. While the process ends, the frame therefore goes out together with an answer: a client that waits for answers
//! has nothing under way then. One that says nothing for the whole phase gets it last.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::{SinkExt, StreamExt};
use tokio::time::timeout;

use super::drain::{Drain, Phase};

/// How long a client has to answer that it closes its WebSocket too; RFC 6455 section 7.1.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers each message of a WebSocket by another, until the client has enough or the process ends: then the client is
/// told to reconnect, which leads to another pod.
pub fn answer(
    upgrade: WebSocketUpgrade,
    drain: &Drain,
    reply: impl FnMut(Message) -> Message + Send + 'static,
) -> Response {
    let (held, drain) = (drain.hold(), drain.clone());
    upgrade.on_upgrade(async move |socket| {
        serve(socket, &drain, reply).await;
        drop(held);
    })
}

async fn serve(mut socket: WebSocket, drain: &Drain, mut reply: impl FnMut(Message) -> Message) {
    let is_told = loop {
        let message = tokio::select! {
            // What has come is answered first.
            biased;
            message = socket.next() => message,
            () = drain.reached(Phase::Ending) => break socket.send(away()).await.is_ok(),
        };
        match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                let answer = reply(message);
                match say(&mut socket, answer, drain.phase()).await {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => break true,
                    Err(_) => return,
                }
            }
            // Answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => return,
        }
    };
    if is_told {
        // Until the client has closed it too.
        let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }
}

/// Sends an answer; the last one and the Close frame in one write, so that nobody sees the first without the second.
async fn say(socket: &mut WebSocket, answer: Message, phase: Phase) -> Result<ControlFlow<()>, axum::Error> {
    if phase < Phase::Closing {
        socket.send(answer).await?;
        return Ok(ControlFlow::Continue(()));
    }
    socket.feed(answer).await?;
    socket.send(away()).await?;
    Ok(ControlFlow::Break(()))
}

/// "Going away": the client may connect again at once.
fn away() -> Message {
    Message::Close(Some(CloseFrame {
        code: close_code::AWAY,
        reason: "reconnect".into(),
    }))
}
