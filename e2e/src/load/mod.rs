//! Load against one address, that sees every request that is lost.
//!
//! A library that sends a request again hides what a test of zero loss looks for. So each kind of client holds its
//! connections itself and does what its protocol says, and nothing more: a connection is left when the server asks for it
//! (`Connection: close`, GOAWAY, a Close frame) or was found closed before anything was written to it. Whatever was
//! written and not answered is a failure. The other end is `e2e/traffic-plugin`, by its routes.
//!
//! ```no_run
//! # async fn example() {
//! use plexica_e2e::load::{Kind, Load, Mix, Target};
//!
//! let load = Load::start(&Target::at(([127, 0, 0, 1], 3000).into()), &Mix::default());
//! // Something happens that nobody is to notice.
//! let report = load.stop().await;
//! assert_eq!(report.failed(), 0, "{report}");
//! assert!(report.last_answer_of("1.0.0", Kind::Kept) < report.last_answer_of("1.1.0", Kind::Kept));
//! # }
//! ```

mod exchange;
mod http2;
mod kept;
mod once;
mod report;
mod switches;
#[cfg(test)]
mod tests;
mod websocket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use report::{Failure, Report, Tally};

use exchange::Answer;
use http2::{Http2, Multiplexed};
use kept::Kept;
use once::Once;
use report::Recorder;
use switches::Switches;
use websocket::WebSocket;

/// Longest wait for an answer, beside the time that is asked for.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Kind {
    /// HTTP/1.1, a connection for each request: GET and POST in turn.
    NewConnections,
    /// HTTP/1.1 on a connection that is kept: GET and POST in turn.
    Kept,
    /// HTTP/2 by prior knowledge, a few requests at a time on a connection: GET and POST in turn.
    Http2,
    /// Messages on a WebSocket, each awaiting its echo.
    WebSocket,
    /// HTTP/1.1, a connection for each request, whose answer takes its time.
    Slow,
}

/// Where the load goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address that is connected to, whatever the host is.
    pub address: SocketAddr,
    /// Host of the requests; the address if there is none.
    pub host: Option<String>,
    /// What stands before each path: `/api/plugins/traffic` at a Gateway, empty at a pod.
    pub prefix: String,
}

impl Target {
    /// The server at this address, without a host or a prefix.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            host: None,
            prefix: String::new(),
        }
    }

    /// Host of the requests.
    fn authority(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.address.to_string())
    }
}

/// How many clients there are of each kind, and how fast they ask.
#[derive(Clone, Debug)]
pub struct Mix {
    /// Clients of [`Kind::NewConnections`].
    pub new_connections: usize,
    /// Clients of [`Kind::Kept`].
    pub kept: usize,
    /// Clients of [`Kind::Http2`]; each has one request at a time.
    pub http2: usize,
    /// Clients of [`Kind::WebSocket`].
    pub websocket: usize,
    /// Clients of [`Kind::Slow`].
    pub slow: usize,
    /// Pause of a client between an answer and its next request.
    pub pause: Duration,
    /// How long an answer takes that [`Kind::Slow`] asks for.
    pub slowness: Duration,
}

impl Default for Mix {
    /// Four clients of each kind, slow answers of 5 s.
    fn default() -> Self {
        Self {
            new_connections: 4,
            kept: 4,
            http2: 4,
            websocket: 4,
            slow: 4,
            pause: Duration::from_millis(20),
            slowness: Duration::from_secs(5),
        }
    }
}

/// Clients that ask until they are stopped. Dropped instead, they are cut.
#[derive(Debug)]
pub struct Load {
    recorder: Recorder,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Load {
    /// Starts the clients.
    pub fn start(target: &Target, mix: &Mix) -> Self {
        let mut load = Self {
            recorder: Recorder::default(),
            stop: watch::Sender::new(false),
            clients: JoinSet::new(),
        };
        let Mix {
            new_connections,
            kept,
            http2,
            websocket,
            slow,
            pause,
            slowness,
        } = *mix;
        load.add(new_connections, Kind::NewConnections, pause, |_| Once::new(target));
        load.add(kept, Kind::Kept, pause, |_| Kept::new(target));
        let connections = Multiplexed::enough_for(http2, target);
        load.add(http2, Kind::Http2, pause, |number| {
            Http2::on(Arc::clone(&connections[number / http2::STREAMS]))
        });
        load.add(websocket, Kind::WebSocket, pause, |_| WebSocket::new(target));
        load.add(slow, Kind::Slow, pause, |_| Once::slow(target, slowness));
        load
    }

    /// What has been seen until now.
    pub fn snapshot(&self) -> Report {
        self.recorder.report()
    }

    /// A switch to this slot is proven: it is measured how long the other one is still asked, until another one begins.
    pub fn switch_is_proven(&self, to: &str) {
        self.recorder.switches(|switches| switches.proven(to, Instant::now()));
    }

    /// Another switch begins.
    pub fn switch_begins(&self) {
        self.recorder.switches(Switches::another_begins);
    }

    /// Lets each client end its request, and tells what was seen.
    pub async fn stop(mut self) -> Report {
        self.stop.send_replace(true);
        while let Some(ended) = self.clients.join_next().await {
            if let Err(error) = ended {
                self.recorder.broke(&error);
            }
        }
        self.recorder.report()
    }

    fn add<C: Client>(&mut self, count: usize, kind: Kind, pause: Duration, client: impl Fn(usize) -> C) {
        for number in 0..count {
            // Evenly over the first pause, so that the clients of a kind do not ask at the same instants.
            let offset = pause.mul_f64(fraction(number, count));
            let (recorder, stop) = (self.recorder.clone(), self.stop.subscribe());
            self.clients
                .spawn(run(client(number), kind, [offset, pause], recorder, stop));
        }
    }
}

fn fraction(part: usize, whole: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(part) / number(whole)
}

/// A client of a kind.
trait Client: Send + 'static {
    /// Asks for one thing, and says who answered. Called again after an error, and after it was given up on.
    fn ask(&mut self) -> impl Future<Output = Result<Answer>> + Send;

    /// Does nothing for a while, but for what the protocol wants.
    fn rest(&mut self, pause: Duration) -> impl Future<Output = ()> + Send {
        sleep(pause)
    }

    /// How long an answer takes in any case.
    fn slowness(&self) -> Duration {
        Duration::ZERO
    }
}

async fn run(
    mut client: impl Client,
    kind: Kind,
    [offset, pause]: [Duration; 2],
    recorder: Recorder,
    mut stop: watch::Receiver<bool>,
) {
    sleep(offset).await;
    let patience = client.slowness() + PATIENCE;
    while !*stop.borrow() {
        let asked = async {
            match timeout(patience, client.ask()).await {
                Ok(answer) => answer,
                Err(_) => bail!("no answer within {} s", patience.as_secs()),
            }
        };
        let began = Instant::now();
        recorder.record(kind, began, asked.await);
        tokio::select! {
            () = client.rest(pause) => {}
            // It fails when the load is gone, and then this task is being ended.
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}
