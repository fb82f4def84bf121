//! On loopback: what the load must see, and what it must not see while the plugins' server ends.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plexica_plugin_kit::environment::{Release, Slot};
use plexica_plugin_kit::serve::drain::{Drain, Times};
use plexica_plugin_kit::serve::listen::listen;
use plexica_traffic_plugin::{configuration::Configuration, routes::router};
use strum::IntoEnumIterator;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::*;

const TIMES: Times = Times {
    leaving: Duration::from_millis(800),
    closing: Duration::from_millis(1500),
    ending: Duration::from_secs(3),
};

/// The traffic plugin, without its process.
struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Server {
    async fn of(version: &str) -> Self {
        let release = Release {
            plugin: "traffic".into(),
            version: version.into(),
            slot: Slot::A,
        };
        let drain = Drain::new(TIMES);
        let router = router(&release, Configuration::default(), axum::Router::new(), &drain);
        let (listener, address) = loopback().await;
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = listen(listener, router, drain, async {
            let _ = stopped.await;
        });
        Self {
            address,
            stop,
            running: tokio::spawn(serving),
        }
    }
}

async fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What a Service is: an address whose new connections lead to whoever is live.
async fn service(live: watch::Receiver<SocketAddr>) -> SocketAddr {
    let (listener, address) = loopback().await;
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let far = *live.borrow();
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(far).await {
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
    address
}

fn mix(clients: usize, pause: u64) -> Mix {
    Mix {
        new_connections: clients,
        kept: clients,
        http2: clients,
        websocket: clients,
        slow: clients,
        pause: Duration::from_millis(pause),
        slowness: Duration::from_millis(600),
    }
}

fn one_kept() -> Mix {
    Mix { kept: 1, ..mix(0, 50) }
}

#[tokio::test]
async fn every_kind_is_counted_with_its_version() {
    let server = Server::of("1.0.0").await;
    let (began, load) = (Instant::now(), Load::start(&Target::at(server.address), &mix(5, 20)));
    sleep(Duration::from_millis(700)).await;
    let before = load.snapshot();
    assert!(
        before.of(Kind::Kept).is_some_and(|tally| tally.requests > 20),
        "{before}"
    );
    let report = load.stop().await;
    assert!(
        report.failed() == 0 && report.requests() > before.requests(),
        "{report}"
    );
    for kind in Kind::iter() {
        let tally = report.of(kind).unwrap();
        assert_eq!(tally.versions["1.0.0"].count, tally.requests, "{report}");
        assert!(report.last_answer_of("1.0.0", kind).unwrap() > began);
        assert_eq!(report.last_answer_of("1.1.0", kind), None);
    }
    for (kind, connections) in [(Kind::Kept, 5), (Kind::WebSocket, 5), (Kind::Http2, 2)] {
        assert_eq!(report.of(kind).unwrap().connections, connections, "{kind}: {report}");
    }
}

#[tokio::test]
async fn a_wrong_answer_is_a_failure_and_the_first_ones_are_told() {
    let server = Server::of("1.0.0").await;
    let target = Target {
        prefix: "/nowhere".into(),
        ..Target::at(server.address)
    };
    let load = Load::start(&target, &mix(2, 5));
    sleep(Duration::from_millis(500)).await;
    let report = load.stop().await;
    assert_eq!(report.failed(), report.requests(), "{report}");
    let kept = report.of(Kind::Kept).unwrap();
    assert!(kept.failed > 20 && kept.failures.len() == 20, "{report}");
    assert!(kept.failures[0].text.starts_with("answered 404"), "{report}");
    assert!(report.to_string().contains("FAILED  web-socket after 0.0"), "{report}");
}

#[tokio::test]
async fn where_nobody_listens_everything_fails() {
    let (listener, address) = loopback().await;
    drop(listener);
    let load = Load::start(&Target::at(address), &mix(1, 20));
    sleep(Duration::from_millis(100)).await;
    let report = load.stop().await;
    assert!(report.failed() >= 5 && report.failed() == report.requests(), "{report}");
}

/// A server that answers the first request of each connection, and cuts the second if it waits for one.
async fn impolite(cuts: bool) -> SocketAddr {
    let (listener, address) = loopback().await;
    let answer = b"HTTP/1.1 200 OK\r\nx-plexica-version: 1.0.0\r\nx-plexica-slot: a\r\ncontent-length: 0\r\n\r\n";
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
                if cuts {
                    let _ = stream.read(&mut [0; 1]).await;
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_request_that_is_cut_on_a_kept_connection_is_a_failure() {
    let target = Target::at(impolite(true).await);
    let load = Load::start(&target, &one_kept());
    sleep(Duration::from_millis(500)).await;
    let report = load.stop().await;
    // Each POST is cut, and the GET after it is answered on a new connection.
    let tally = report.of(Kind::Kept).unwrap();
    assert!(tally.failed > 1 && tally.requests - 2 * tally.failed <= 1, "{report}");
    assert!(tally.failures[0].text.starts_with("no answer came"), "{report}");
}

#[tokio::test]
async fn a_connection_that_was_closed_before_anything_was_written_is_none() {
    let target = Target::at(impolite(false).await);
    let load = Load::start(&target, &one_kept());
    sleep(Duration::from_millis(500)).await;
    let report = load.stop().await;
    // The POSTs are answered too, and their bodies do not come back.
    let tally = report.of(Kind::Kept).unwrap();
    assert!(tally.connections > 2, "{report}");
    let wrong = |failure: &Failure| failure.text == "what came back is not what was sent";
    assert!(tally.failures.iter().all(wrong), "{report}");
}

/// The old version is told to end as Kubernetes does it: new connections still reach it for a while.
async fn a_switch_under(mix: Mix) {
    let [old, new] = [Server::of("1.0.0").await, Server::of("1.1.0").await];
    let live = watch::Sender::new(old.address);
    let load = Load::start(&Target::at(service(live.subscribe()).await), &mix);
    sleep(Duration::from_secs(1)).await;
    old.stop.send(()).unwrap();
    sleep(TIMES.leaving / 2).await;
    live.send_replace(new.address);
    old.running.await.unwrap();
    let ended = Instant::now();
    sleep(Duration::from_secs(1)).await;
    let report = load.stop().await;
    assert_eq!(report.failed(), 0, "{report}");
    for kind in Kind::iter() {
        let (old, new) = ("1.0.0", "1.1.0");
        // An answer may be written by a process that has ended when it is read.
        let read = ended + TIMES.leaving / 2;
        assert!(report.last_answer_of(old, kind).unwrap() < read, "{kind}: {report}");
        assert!(report.last_answer_of(new, kind).unwrap() > ended, "{kind}: {report}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_server_is_noticed_by_nobody() {
    a_switch_under(mix(12, 5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_server_is_noticed_by_nobody_who_is_idle_for_less_than_it_waits() {
    a_switch_under(mix(12, 700)).await;
}
