//! How a WebSocket ends with its process: no message is lost.
#![allow(clippy::unwrap_used, reason = "a test is more than its #[test] functions")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::routing::get;
use plexica_plugin_kit::serve::drain::{Drain, Phase, Times};
use plexica_plugin_kit::serve::{listen::listen, socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const TIMES: Times = Times {
    leaving: Duration::from_millis(300),
    closing: Duration::from_secs(1),
    ending: Duration::from_secs(3),
};

/// The example of RFC 6455 section 1.3.
const HANDSHAKE: &[u8] = b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// A text of two bytes, masked by zeros; RFC 6455 section 5.2.
const HI: &[u8] = b"\x81\x82\0\0\0\0hi";
/// What comes back.
const ECHO: &[u8] = b"\x81\x02hi";
/// "Going away" (1001) of the server, and the client's answer.
const AWAY: &[u8] = b"\x88\x0b\x03\xe9reconnect";
const AWAY_TOO: &[u8] = b"\x88\x82\0\0\0\0\x03\xe9";

/// A process that echoes, and a WebSocket to it.
struct Echo {
    address: SocketAddr,
    drain: Drain,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
    client: TcpStream,
}

impl Echo {
    async fn start() -> Self {
        let drain = Drain::new(TIMES);
        let told = drain.clone();
        let echo = async move |upgrade: WebSocketUpgrade| socket::answer(upgrade, &told, |message| message);
        let router = Router::new().route("/ws", get(echo));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(listen(listener, router, drain.clone(), async {
            let _ = stopped.await;
        }));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(HANDSHAKE).await.unwrap();
        assert!(next(&mut client).await.starts_with(b"HTTP/1.1 101"));
        Self {
            address,
            drain,
            stop,
            running,
            client,
        }
    }
}

async fn next(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = vec![0; 4096];
    let length = timeout(Duration::from_secs(5), stream.read(&mut read)).await;
    read.truncate(length.unwrap().unwrap());
    read
}

#[tokio::test]
async fn a_web_socket_is_told_to_reconnect_together_with_an_answer() {
    let Echo {
        address,
        drain,
        stop,
        running,
        mut client,
    } = Echo::start().await;
    let mut ask = async |expected: &[u8]| {
        client.write_all(HI).await.unwrap();
        assert_eq!(next(&mut client).await, expected);
    };
    ask(ECHO).await;
    stop.send(()).unwrap();
    drain.reached(Phase::Leaving).await;
    ask(ECHO).await;
    drain.reached(Phase::Closing).await;
    ask(&[ECHO, AWAY].concat()).await;
    assert!(
        TcpStream::connect(address).await.is_err(),
        "reconnecting leads elsewhere"
    );
    client.write_all(AWAY_TOO).await.unwrap();
    running.await.unwrap();
    assert_eq!(drain.phase(), Phase::Closing, "nothing was cut");
}

#[tokio::test]
async fn a_web_socket_that_says_nothing_is_told_last() {
    let mut echo = Echo::start().await;
    echo.stop.send(()).unwrap();
    assert_eq!(next(&mut echo.client).await, AWAY);
    assert_eq!(echo.drain.phase(), Phase::Ending);
    echo.client.write_all(AWAY_TOO).await.unwrap();
    echo.running.await.unwrap();
}
