//! Requests, and what must be true of their answers.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Target;

/// Headers of every answer: the version that gave it, and the slot that runs it.
const VERSION: &str = "x-plexica-version";
const SLOT: &str = "x-plexica-slot";

/// Bytes of a wrong answer that are told.
const BODY_SHOWN: usize = 200;

/// A request, its body as a whole.
pub(super) type Asked = Request<Full<Bytes>>;

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The released version.
    pub(super) version: String,
    /// The slot that runs it.
    pub(super) slot: String,
    /// Connections that were made for it.
    pub(super) connections: u64,
}

impl Answer {
    /// From who says in the headers what it is.
    pub(super) fn of(headers: &HeaderMap, connections: u64) -> Result<Self> {
        let text = |name: &str| {
            let value = headers.get(name).with_context(|| format!("the answer has no {name}"))?;
            anyhow::Ok(value.to_str()?.to_owned())
        };
        Ok(Self {
            version: text(VERSION)?,
            slot: text(SLOT)?,
            connections,
        })
    }
}

/// One client's requests.
#[derive(Debug)]
pub(super) struct Requests {
    target: Target,
    version: Version,
    asked: u64,
}

impl Requests {
    /// Requests to this server by this version of HTTP.
    pub(super) fn new(target: &Target, version: Version) -> Self {
        Self {
            target: target.clone(),
            version,
            asked: 0,
        }
    }

    /// The next one: GET and POST in turn, the POST with a body that was never sent before. Its body must come back.
    pub(super) fn next(&mut self) -> Result<(Asked, Option<Bytes>)> {
        self.asked += 1;
        if self.asked % 2 == 1 {
            return Ok((self.get("/version")?, None));
        }
        let body = Bytes::from(format!("message {:01000}", self.asked));
        let post = self.request(Method::POST, "/echo", body.clone())?;
        Ok((post, Some(body)))
    }

    /// One whose answer takes so long.
    pub(super) fn slow(&self, slowness: Duration) -> Result<Asked> {
        self.get(&format!("/slow?milliseconds={}", slowness.as_millis()))
    }

    fn get(&self, path: &str) -> Result<Asked> {
        self.request(Method::GET, path, Bytes::new())
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Asked> {
        let (authority, path) = (self.target.authority(), format!("{}{path}", self.target.prefix));
        let request = Request::builder().method(method).version(self.version);
        // HTTP/2 has the host in the address, HTTP/1.1 in a header: RFC 9113 section 8.3.1, RFC 9112 section 3.2.
        let request = if self.version == Version::HTTP_2 {
            request.uri(format!("http://{authority}{path}"))
        } else {
            request.uri(path).header(header::HOST, authority)
        };
        Ok(request.body(Full::new(body))?)
    }
}

/// A connection to the server, on which nothing has been said.
pub(super) async fn connect(target: &Target) -> Result<TcpStream> {
    let stream = TcpStream::connect(target.address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The same for the library of HTTP.
pub(super) async fn connect_http(target: &Target) -> Result<TokioIo<TcpStream>> {
    connect(target).await.map(TokioIo::new)
}

/// Reads an answer to its end; it must be 200, and its body the expected one.
pub(super) async fn read(response: Response<Incoming>, expected: Option<Bytes>, connections: u64) -> Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.context("the answer was cut")?.to_bytes();
    ensure!(
        head.status == StatusCode::OK,
        "answered {}: {}",
        head.status,
        String::from_utf8_lossy(&body[..body.len().min(BODY_SHOWN)])
    );
    ensure!(
        expected.is_none_or(|expected| expected == body),
        "what came back is not what was sent"
    );
    Answer::of(&head.headers, connections)
}
