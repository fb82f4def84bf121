//! HTTP/2 by prior knowledge: a few clients on a connection, as a proxy or a browser does it.

use std::error::Error;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use h2::Reason;
use http::Version;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioExecutor;
use tokio::sync::Mutex;

use super::exchange::{Answer, Requests, connect_http, read};
use super::{Client, Target};

/// Clients on a connection.
pub(super) const STREAMS: usize = 4;
/// Connections in a row that may turn a request away before it is a failure: a server that ends turns one away.
const ATTEMPTS: u64 = 3;

/// A connection of some clients; the next one when the server has sent GOAWAY.
pub(super) struct Multiplexed {
    target: Target,
    last: Mutex<Last>,
}

/// The connection that was made last.
#[derive(Default)]
struct Last {
    /// Which connection of these clients it is.
    number: u64,
    /// None when it is over. Nobody keeps a sender longer than that, nor while awaiting an answer: a request that is
    /// given to a connection in the moment of its end is handed back when its last sender goes, not before (hyper#4122).
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Multiplexed {
    /// As many as this number of clients needs.
    pub(super) fn enough_for(clients: usize, target: &Target) -> Vec<Arc<Self>> {
        let unconnected = |_| {
            Arc::new(Self {
                target: target.clone(),
                last: Mutex::default(),
            })
        };
        (0..clients.div_ceil(STREAMS)).map(unconnected).collect()
    }

    /// The connection that is open, unless it is the one that turned a request away; and how many were made for it.
    async fn other_than(self: &Arc<Self>, refused: Option<u64>) -> Result<(SendRequest<Full<Bytes>>, u64, u64)> {
        let mut last = self.last.lock().await;
        let number = last.number;
        let usable = |sender: &&SendRequest<_>| !sender.is_closed() && Some(number) != refused;
        if let Some(sender) = last.sender.as_ref().filter(usable) {
            return Ok((sender.clone(), number, 0));
        }
        let (sender, connection) = http2::handshake(TokioExecutor::new(), connect_http(&self.target).await?).await?;
        *last = Last {
            number: number + 1,
            sender: Some(sender.clone()),
        };
        let (number, clients) = (last.number, Arc::clone(self));
        tokio::spawn(async move {
            // It takes no more requests after GOAWAY; what goes wrong with it goes wrong with its requests.
            let _ = connection.await;
            let mut last = clients.last.lock().await;
            if last.number == number {
                last.sender = None;
            }
        });
        Ok((sender, number, 1))
    }
}

/// A client with one request at a time.
pub(super) struct Http2 {
    connection: Arc<Multiplexed>,
    requests: Requests,
}

impl Http2 {
    /// A client on this connection.
    pub(super) fn on(connection: Arc<Multiplexed>) -> Self {
        let requests = Requests::new(&connection.target, Version::HTTP_2);
        Self { connection, requests }
    }
}

impl Client for Http2 {
    async fn ask(&mut self) -> Result<Answer> {
        let (request, expected) = self.requests.next()?;
        let (mut refused, mut connections) = (None, 0);
        for _ in 0..ATTEMPTS {
            let (mut sender, number, made) = self.connection.other_than(refused).await?;
            connections += made;
            let answer = sender.try_send_request(request.clone());
            drop(sender);
            match answer.await {
                Ok(response) => return read(response, expected, connections).await,
                Err(error) if error.message().is_some() || is_refusal(error.error()) => refused = Some(number),
                Err(error) => return Err(error.into_error()).context("no answer came on HTTP/2"),
            }
        }
        bail!("{ATTEMPTS} connections in a row turned the request away")
    }
}

/// Whether the server says that it has not looked at the request: RFC 9113 section 8.7. Those that it has looked at are
/// not ended by a GOAWAY without an error.
fn is_refusal(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let reason = cause.reason();
        (cause.is_reset() && reason == Some(Reason::REFUSED_STREAM))
            || (cause.is_go_away() && reason == Some(Reason::NO_ERROR))
    })
}
