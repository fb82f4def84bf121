//! How a process ends: no request is lost.
#![allow(clippy::unwrap_used, reason = "a test is more than its #[test] functions")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::{
    Router,
    routing::{get, post},
};
use plexica_plugin_kit::Plugin;
use plexica_plugin_kit::serve::drain::{Phase, Times};
use plexica_plugin_kit::serve::listen::listen;
use plexica_plugin_kit::serve::{Routes, router};
use plexica_plugin_kit::testing::Issuer;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const TIMES: Times = Times {
    leaving: Duration::from_millis(300),
    closing: Duration::from_millis(600),
    ending: Duration::from_secs(2),
};

struct Process {
    address: SocketAddr,
    plugin: Plugin,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Process {
    async fn start() -> Self {
        let issuer = Issuer::start().await;
        let plugin = Plugin::new(issuer.environment("crm", json!({}), &[]), TIMES).unwrap();
        let slow = || async {
            sleep(Duration::from_millis(700)).await;
            "slow"
        };
        let open = Router::new()
            .route("/echo", post(|body: String| async { body }))
            .route("/slow", get(slow));
        let routes = Routes {
            open,
            ready: "SELECT 1",
            ..Routes::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = listen(listener, router(&plugin, routes), plugin.drain.clone(), async {
            let _ = stopped.await;
        });
        Self {
            address,
            plugin,
            stop,
            running: tokio::spawn(serving),
        }
    }

    /// SIGTERM, and the end that must come within the times.
    async fn told_to_end(self) -> (Plugin, JoinHandle<()>) {
        self.stop.send(()).unwrap();
        self.plugin.drain.reached(Phase::Leaving).await;
        (self.plugin, self.running)
    }
}

/// A connection of HTTP/1.1 that a client keeps.
struct Kept(TcpStream);

impl Kept {
    async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn ask(&mut self, request: &str) -> String {
        self.0.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = self.0.read(&mut answer).await.unwrap();
        String::from_utf8(answer[..read].to_vec()).unwrap().to_lowercase()
    }

    async fn post(&mut self) -> String {
        self.ask("POST /echo HTTP/1.1\r\nhost: crm\r\ncontent-length: 2\r\n\r\nhi")
            .await
    }

    /// Waits until the other side closes.
    async fn is_closed(&mut self) -> bool {
        matches!(
            timeout(Duration::from_secs(5), self.0.read(&mut [0; 1])).await,
            Ok(Ok(0))
        )
    }
}

#[tokio::test]
async fn a_kept_connection_is_answered_once_more_and_then_left() {
    let process = Process::start().await;
    let address = process.address;
    let mut kept = Kept::open(address).await;
    assert!(!kept.post().await.contains("connection: close"));
    let (plugin, running) = process.told_to_end().await;
    // New connections are still taken, and not ready is said.
    let not_ready = Kept::open(address)
        .await
        .ask("GET /ready HTTP/1.1\r\nhost: crm\r\n\r\n")
        .await;
    assert!(
        not_ready.starts_with("http/1.1 503") && not_ready.contains("connection: close"),
        "{not_ready}"
    );
    // A POST on a connection that was idle when the end began, and even after the listener is gone.
    plugin.drain.reached(Phase::Closing).await;
    let last = kept.post().await;
    assert!(
        last.starts_with("http/1.1 200") && last.contains("connection: close"),
        "{last}"
    );
    assert!(kept.is_closed().await);
    // A client that sees the end closes its side.
    drop(kept);
    running.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(plugin.drain.phase(), Phase::Closing, "nothing was left to be cut");
}

#[tokio::test]
async fn a_request_that_runs_is_finished() {
    let process = Process::start().await;
    let mut kept = Kept::open(process.address).await;
    let asked = tokio::spawn(async move { kept.ask("GET /slow HTTP/1.1\r\nhost: crm\r\n\r\n").await });
    sleep(Duration::from_millis(50)).await;
    let (_, running) = process.told_to_end().await;
    let answer = asked.await.unwrap();
    assert!(
        answer.starts_with("http/1.1 200") && answer.contains("connection: close"),
        "{answer}"
    );
    running.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed_last() {
    let process = Process::start().await;
    let mut idle = Kept::open(process.address).await;
    assert!(idle.post().await.starts_with("http/1.1 200"));
    let (plugin, running) = process.told_to_end().await;
    assert!(idle.is_closed().await);
    assert_eq!(plugin.drain.phase(), Phase::Ending);
    running.await.unwrap();
}

#[tokio::test]
async fn without_connections_the_end_comes_as_soon_as_none_can_come() {
    let process = Process::start().await;
    let (plugin, running) = process.told_to_end().await;
    timeout(TIMES.leaving + TIMES.closing / 2, running)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(plugin.drain.phase(), Phase::Closing);
}

#[tokio::test]
async fn http_2_clients_are_sent_elsewhere_without_an_error() {
    let process = Process::start().await;
    let url = format!("http://{}/echo", process.address);
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let post = async || {
        client
            .post(&url)
            .body("hi")
            .send()
            .await
            .map(|answer| answer.status().as_u16())
    };
    assert_eq!(post().await.unwrap(), 200);
    let (_, running) = process.told_to_end().await;
    let mut answered = 0;
    let began = Instant::now();
    while began.elapsed() < TIMES.leaving / 2 {
        assert_eq!(post().await.unwrap(), 200);
        answered += 1;
    }
    assert!(answered > 10, "{answered}");
    drop(client);
    running.await.unwrap();
}
