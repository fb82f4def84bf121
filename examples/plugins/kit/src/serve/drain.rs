//! How a process ends without a lost request.
//!
//! Between SIGTERM and the moment when the last proxy knows that the pod goes, requests still come, on new connections
//! and on kept ones. So the process goes on as before for a while, only that each answer asks its connection to leave;
//! then it takes no new connections; and those that nobody used since are closed last, because a client cannot tell a
//! request that was cut from one that was never seen (RFC 9112 section 9.6).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::{info, warn};

/// Where a process is on its way to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not told to end.
    Serving,
    /// Not ready any more; everything is still answered, and asked to go elsewhere.
    Leaving,
    /// No new connections. WebSockets are told with their next answer to reconnect, which now leads elsewhere.
    Closing,
    /// Connections that are idle are closed, WebSockets too.
    Ending,
}

/// How long the phases last. All of them together must be shorter than the pod's terminationGracePeriodSeconds (30).
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// In [`Phase::Leaving`]: longer than endpoints need to spread.
    pub leaving: Duration,
    /// In [`Phase::Closing`]: longer than clients pause on a connection that they keep.
    pub closing: Duration,
    /// In [`Phase::Ending`]: longer than the slowest request.
    pub ending: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            leaving: Duration::from_secs(5),
            closing: Duration::from_secs(8),
            ending: Duration::from_secs(12),
        }
    }
}

/// The phase of this process, and its connections.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: watch::Sender<Phase>,
    connections: TaskTracker,
    times: Times,
}

impl Drain {
    /// A process that serves, and will end in these times.
    pub fn new(times: Times) -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
            connections: TaskTracker::new(),
            times,
        }
    }

    /// The present phase.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until the process is in this phase or past it.
    pub async fn reached(&self, wanted: Phase) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.phase.subscribe().wait_for(|phase| *phase >= wanted).await;
    }

    /// While it is held, the process waits: for a connection, or for what became of one (a WebSocket).
    pub fn hold(&self) -> TaskTrackerToken {
        self.connections.token()
    }

    /// Goes through the phases, from the moment when `stop` ends. Returns when all is answered, or when time is up.
    pub(super) async fn run(&self, stop: impl Future<Output = ()>) {
        stop.await;
        let Times {
            leaving,
            closing,
            ending,
        } = self.times;
        self.enter(Phase::Leaving);
        sleep(leaving).await;
        self.enter(Phase::Closing);
        self.connections.close();
        if self.all_closed_within(closing).await {
            return;
        }
        self.enter(Phase::Ending);
        if !self.all_closed_within(ending).await {
            warn!(connections = self.connections.len(), "time is up: connections are cut");
        }
    }

    fn enter(&self, phase: Phase) {
        info!(?phase, connections = self.connections.len(), "told to end");
        self.phase.send_replace(phase);
    }

    async fn all_closed_within(&self, time: Duration) -> bool {
        tokio::time::timeout(time, self.connections.wait()).await.is_ok()
    }
}
