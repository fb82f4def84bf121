//! HTTP/1.1 on connections that are kept.

use std::ops::ControlFlow;
use std::pin::pin;

use anyhow::{Context as _, Result, bail};
use http::{HeaderMap, Version, header};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use tokio::task::JoinHandle;

use super::exchange::{Answer, Asked, Requests, connect_http, read};
use super::{Client, Target};

/// A client with one connection at a time.
pub(super) struct Kept {
    target: Target,
    requests: Requests,
    connection: Option<Connection>,
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Ends when its sender is dropped, or the server closes. Its errors are those of the requests.
    running: JoinHandle<hyper::Result<()>>,
}

impl Kept {
    /// A client that has not connected yet.
    pub(super) fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            requests: Requests::new(target, Version::HTTP_11),
            connection: None,
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let (sender, connection) = http1::handshake(connect_http(&self.target).await?).await?;
        let running = tokio::spawn(connection);
        Ok(Connection { sender, running })
    }

    /// Asks on a connection, which is kept if all goes well and the server does not close it; the request itself where
    /// the connection was found closed before anything was written (RFC 9112 section 9.5).
    async fn exchange(
        &mut self,
        mut connection: Connection,
        request: Asked,
        expected: Option<Bytes>,
        connections: u64,
    ) -> Result<ControlFlow<Answer, Asked>> {
        if connection.sender.ready().await.is_err() {
            return Ok(ControlFlow::Continue(request));
        }
        let mut answer = pin!(connection.sender.try_send_request(request));
        let (answer, kept) = tokio::select! {
            biased;
            answer = answer.as_mut() => (answer, Some(connection)),
            _ = &mut connection.running => {
                // What was given to it in the moment of its end is handed back now, and not before (hyper#4122).
                drop(connection.sender);
                (answer.await, None)
            }
        };
        let response = match answer {
            Ok(response) => response,
            Err(mut error) => {
                return match error.take_message() {
                    Some(unsent) => Ok(ControlFlow::Continue(unsent)),
                    None => Err(error.into_error()).context("no answer came"),
                };
            }
        };
        let closes = says_close(response.headers());
        let answer = read(response, expected, connections).await?;
        self.connection = kept.filter(|_| !closes);
        Ok(ControlFlow::Break(answer))
    }
}

impl Client for Kept {
    async fn ask(&mut self) -> Result<Answer> {
        let (mut request, expected) = self.requests.next()?;
        if let Some(kept) = self.connection.take() {
            match self.exchange(kept, request, expected.clone(), 0).await? {
                ControlFlow::Break(answer) => return Ok(answer),
                ControlFlow::Continue(unsent) => request = unsent,
            }
        }
        let fresh = self.connect().await?;
        match self.exchange(fresh, request, expected, 1).await? {
            ControlFlow::Break(answer) => Ok(answer),
            ControlFlow::Continue(_) => bail!("a new connection was closed before anything was written"),
        }
    }
}

/// Whether the server closes the connection after this answer.
fn says_close(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION);
    let mut options = options
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("close"))
}
