//! Messages on a WebSocket.

use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail, ensure};
use futures::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::exchange::{Answer, connect};
use super::{Client, Target};

/// How long the server has to end the connection once both sides have closed the WebSocket.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A client with one WebSocket at a time.
pub(super) struct WebSocket {
    target: Target,
    open: Option<Open>,
    sent: u64,
    /// What was wrong with the end of a WebSocket; told with the next question.
    broken: Option<Error>,
}

/// An open WebSocket, and who said that it is.
struct Open {
    socket: WebSocketStream<TcpStream>,
    answer: Answer,
}

impl WebSocket {
    /// A client that has not connected yet.
    pub(super) fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            open: None,
            sent: 0,
            broken: None,
        }
    }

    async fn connect(&self) -> Result<Open> {
        let Target { prefix, .. } = &self.target;
        let request = format!("ws://{}{prefix}/ws", self.target.authority()).into_client_request()?;
        let (socket, response) = client_async(request, connect(&self.target).await?)
            .await
            .context("the WebSocket was refused")?;
        let answer = Answer::of(response.headers(), 1)?;
        Ok(Open { socket, answer })
    }

    /// Looks at what came while nothing was awaited.
    async fn unasked(&mut self, message: Option<Seen>) {
        let wrong = match message {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return,
            Some(Ok(Message::Close(frame))) => match frame.map(|frame| frame.code) {
                Some(CloseCode::Away) => None,
                other => Some(anyhow!("the WebSocket was closed with {other:?}")),
            },
            Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Frame(_))) => {
                Some(anyhow!("a message came that nobody waits for"))
            }
            Some(Err(error)) => Some(Error::from(error).context("the WebSocket was cut")),
            None => Some(anyhow!("the WebSocket was cut without a Close frame")),
        };
        // Kept first: the rest may be given up on.
        self.broken = wrong;
        if let Some(Open { mut socket, .. }) = self.open.take() {
            // Reading sends the client's own Close frame, which the library has made; then the server ends the connection.
            let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = socket.next().await {} }).await;
        }
    }
}

/// What a WebSocket yields.
type Seen = std::result::Result<Message, tokio_tungstenite::tungstenite::Error>;

impl Client for WebSocket {
    async fn ask(&mut self) -> Result<Answer> {
        // What came meanwhile came before anything was sent.
        while let Some(open) = &mut self.open {
            let Some(message) = open.socket.next().now_or_never() else {
                break;
            };
            self.unasked(message).await;
        }
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        // Taken out, so that it is gone whatever becomes of the message.
        let mut open = match self.open.take() {
            Some(mut open) => {
                open.answer.connections = 0;
                open
            }
            None => self.connect().await?,
        };
        let socket = &mut open.socket;
        self.sent += 1;
        let text = format!("message {}", self.sent);
        socket.send(Message::text(text.clone())).await.context("cannot send")?;
        let echo = loop {
            match socket.next().await {
                Some(Ok(Message::Text(echo))) => break echo,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) => bail!("the WebSocket was closed before the echo came"),
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => bail!("what came back is no text"),
                Some(Err(error)) => return Err(error).context("no echo came"),
                None => bail!("no echo came: the WebSocket was cut"),
            }
        };
        let version = echo.strip_suffix(&text).and_then(|version| version.strip_suffix(' '));
        let version = version.context("what came back is not what was sent")?;
        ensure!(
            version == open.answer.version,
            "{version} answers on a WebSocket of {}",
            open.answer.version
        );
        let answer = open.answer.clone();
        self.open = Some(open);
        Ok(answer)
    }

    /// Listens: the server may close.
    async fn rest(&mut self, pause: Duration) {
        let listen = async {
            while let Some(open) = &mut self.open {
                let message = open.socket.next().await;
                self.unasked(message).await;
            }
        };
        // When the WebSocket is closed the rest is over: another one is opened at once.
        tokio::select! { () = listen => {}, () = sleep(pause) => {} }
    }
}
