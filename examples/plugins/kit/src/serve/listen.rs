//! Connections: HTTP/1.1 and HTTP/2 in the clear, each watched until it is over.
//!
//! `axum::serve` closes idle connections of HTTP/1.1 the moment it is told to stop, and with them requests that are on
//! their way. Here such a connection ends after its next answer, and HTTP/2 by GOAWAY, which loses nothing.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::drain::{Drain, Phase};

/// How long a client may take to see that a connection is over.
const LINGERS: Duration = Duration::from_secs(2);
/// Pause after a connection could not be taken, as when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` ends, and then until all is answered.
pub async fn listen(listener: TcpListener, router: Router, drain: Drain, stop: impl Future<Output = ()>) {
    let mut end = pin!(drain.run(stop));
    let mut closing = pin!(drain.reached(Phase::Closing));
    loop {
        tokio::select! {
            () = &mut end => return,
            () = &mut closing => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let held = drain.hold();
                    let connection = connection(stream, router.clone(), drain.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(held);
                    });
                }
                Err(error) => {
                    warn!(%error, "a connection cannot be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    end.await;
}

/// One connection, until it is over.
async fn connection(stream: TcpStream, router: Router, drain: Drain) {
    let _ = stream.set_nodelay(true);
    let (stream, lingering) = match twice(stream) {
        Ok(twins) => twins,
        Err(error) => {
            warn!(%error, "a connection cannot be served");
            return;
        }
    };
    let (is_multiplexed, mut multiplexed) = watch::channel(false);
    let is_upgraded = Arc::new(AtomicBool::new(false));
    let upgraded = Arc::clone(&is_upgraded);
    let service = service_fn(move |request: Request<Incoming>| {
        if request.version() == Version::HTTP_2 {
            is_multiplexed.send_replace(true);
        }
        let (router, upgraded) = (router.clone(), Arc::clone(&upgraded));
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            if let Ok(response) = &response
                && response.status() == StatusCode::SWITCHING_PROTOCOLS
            {
                upgraded.store(true, Ordering::Relaxed);
            }
            response
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let mut serving = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let leave = async {
        let goaway = async {
            // Fails when the connection is over, and then nobody waits for this.
            let _ = multiplexed.wait_for(|multiplexed| *multiplexed).await;
            drain.reached(Phase::Leaving).await;
        };
        tokio::select! { () = goaway => {}, () = drain.reached(Phase::Ending) => {} }
    };
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = leave => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection ended with an error");
    }
    // What became of an upgraded one reads for itself.
    if !is_upgraded.load(Ordering::Relaxed) {
        linger(lingering).await;
    }
}

/// Two handles of one socket.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, TcpStream)> {
    let stream = stream.into_std()?;
    let twin = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, TcpStream::from_std(twin)?))
}

/// Says that nothing more comes, and reads until the client says so too. Closing a socket with something unread resets it
/// (RFC 2525 section 2.17), and then the client may never see the last answers, nor the GOAWAY by which it would know
/// that what it sent meanwhile was not looked at.
async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    // Whether it ends, fails or takes too long: it is over.
    let _ = timeout(LINGERS, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
}

/// Middleware: while the process ends, each answer on HTTP/1.1 is the last of its connection.
pub(super) async fn ask_to_leave(drain: Drain, request: Request, next: Next) -> Response {
    let may_be_kept = request.version() < Version::HTTP_2;
    let mut response = next.run(request).await;
    // Looked at after the handler: the process may have been told to end meanwhile.
    let leaving = drain.phase() >= Phase::Leaving;
    if leaving && may_be_kept && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
