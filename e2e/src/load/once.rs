//! A connection for each request.

use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderValue, Version, header};
use hyper::client::conn::http1;

use super::exchange::{Answer, Requests, connect_http, read};
use super::{Client, Target};

/// A client that keeps no connection.
pub(super) struct Once {
    target: Target,
    requests: Requests,
    /// How long an answer is to take; if absent, GET and POST are asked in turn.
    slowness: Option<Duration>,
}

impl Once {
    /// A client that asks as fast as it is answered.
    pub(super) fn new(target: &Target) -> Self {
        Self {
            target: target.clone(),
            requests: Requests::new(target, Version::HTTP_11),
            slowness: None,
        }
    }

    /// A client whose answers take so long.
    pub(super) fn slow(target: &Target, slowness: Duration) -> Self {
        Self {
            slowness: Some(slowness),
            ..Self::new(target)
        }
    }
}

impl Client for Once {
    async fn ask(&mut self) -> Result<Answer> {
        let (mut request, expected) = match self.slowness {
            Some(slowness) => (self.requests.slow(slowness)?, None),
            None => self.requests.next()?,
        };
        let close = HeaderValue::from_static("close");
        request.headers_mut().insert(header::CONNECTION, close);
        let (mut sender, connection) = http1::handshake(connect_http(&self.target).await?).await?;
        let exchange = async move {
            let response = sender.send_request(request).await.context("no answer came")?;
            read(response, expected, 1).await
        };
        // Here and not in a task of its own, so that the connection ends with the question. Its own error is the
        // exchange's as well.
        let (answer, _) = tokio::join!(exchange, connection);
        answer
    }

    fn slowness(&self) -> Duration {
        self.slowness.unwrap_or_default()
    }
}
