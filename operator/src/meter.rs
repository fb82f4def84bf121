//! The meter of RED: a tiny TCP proxy in front of a plugin, which knows when somebody spoke to it last.
//!
//! It is the second container of RED's pod. Service `<plugin>-red` leads to it, and it to the plugin; the kubelet's probes go
//! to the plugin itself and do not count. `GET /activity`, at a port that only the operator reaches, answers how many
//! connections are open, and for how long none was. Bytes are passed on as they come: whatever speaks TCP is metered.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Json, Router, routing::get};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::{debug, info, warn};

use crate::red::Activity;

/// Longest time until the plugin takes a connection: it is in the same pod.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone without a word is found out after about two minutes: else it would keep RED up for ever.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_mins(1))
    .with_interval(Duration::from_secs(10));
/// Pause after an accept that failed: for want of file descriptors, say.
const PAUSE: Duration = Duration::from_millis(100);
/// How long open connections may take to end once the process is told to; with the time before that within the pod's grace
/// period of 30 s.
const DRAIN: Duration = Duration::from_secs(25);

/// Where a meter listens, and what it leads to.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// What the Service leads to.
    pub listen: SocketAddr,
    /// Where `/activity` is answered.
    pub activity: SocketAddr,
    /// The plugin.
    pub plugin: SocketAddr,
}

/// Why a meter ends before it is told to.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// An address is taken, or is not this machine's.
    #[error("cannot listen at {0}: {1}")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// `/activity` is not served any more.
    #[error("/activity is not served any more: {0}")]
    Activity(#[source] std::io::Error),
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    open: watch::Sender<usize>,
    /// When the last connection ended, or the meter was started.
    since: Mutex<Instant>,
}

/// A connection, which counts until it is dropped.
#[derive(Debug)]
struct Counted(Meter);

impl Default for Meter {
    fn default() -> Self {
        Self(Arc::new(Counts {
            open: watch::Sender::new(0),
            since: Mutex::new(Instant::now()),
        }))
    }
}

impl Meter {
    /// How it is used now.
    pub fn activity(&self) -> Activity {
        let open = *self.0.open.borrow();
        let since = *self.0.since.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = if open > 0 { Duration::ZERO } else { since.elapsed() };
        Activity {
            open,
            idle_seconds: idle.as_secs_f64(),
        }
    }

    fn count(&self) -> Counted {
        self.0.open.send_modify(|open| *open += 1);
        Counted(self.clone())
    }

    /// Ends when no connection is open.
    async fn unused(&self) {
        // It fails when nobody counts any more.
        let _ = self.0.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Counts { open, since } = &*self.0.0;
        // First the time: whoever sees no connection sees when the last one ended.
        *since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        open.send_modify(|open| *open -= 1);
    }
}

/// Meters until `shutdown`, then lets open connections end.
///
/// # Errors
/// [`Ended`].
pub async fn run(addresses: Addresses, shutdown: impl Future<Output = ()>) -> Result<(), Ended> {
    let Addresses {
        listen,
        activity,
        plugin,
    } = addresses;
    let meter = Meter::default();
    // Whoever is told of no activity can be sure that it would have been counted.
    let listener = bind(listen).await?;
    let told = bind(activity).await?;
    info!(%listen, %plugin, "metering");
    let serve = axum::serve(told, routes(&meter)).into_future();
    tokio::select! {
        ended = serve => return ended.map_err(Ended::Activity),
        () = accept(&listener, plugin, &meter) => {}
        () = shutdown => {}
    }
    drop(listener);
    if timeout(DRAIN, meter.unused()).await.is_err() {
        warn!(?meter, "connections are cut off: they did not end in time");
    }
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Ended> {
    TcpListener::bind(address)
        .await
        .map_err(|error| Ended::Bind(address, error))
}

fn routes(meter: &Meter) -> Router {
    let meter = meter.clone();
    Router::new().route("/activity", get(async move || Json(meter.activity())))
}

/// Takes connections for ever. Each counts from here on, whether or not the plugin takes it.
async fn accept(listener: &TcpListener, plugin: SocketAddr, meter: &Meter) {
    loop {
        match listener.accept().await {
            Ok((caller, _)) => {
                let counted = meter.count();
                tokio::spawn(async move {
                    if let Err(error) = forward(caller, plugin).await {
                        debug!(%error, "a connection ended");
                    }
                    drop(counted);
                });
            }
            Err(error) => {
                warn!(%error, "no connection could be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn forward(mut caller: TcpStream, plugin: SocketAddr) -> std::io::Result<()> {
    SockRef::from(&caller).set_tcp_keepalive(&KEEPALIVE)?;
    caller.set_nodelay(true)?;
    let mut to = timeout(CONNECT_TIMEOUT, TcpStream::connect(plugin)).await??;
    to.set_nodelay(true)?;
    copy_bidirectional(&mut caller, &mut to).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::oneshot,
    };

    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// A plugin that says in capitals what it is told, until its caller has no more to say.
    async fn plugin() -> SocketAddr {
        let listener = TcpListener::bind(ANY).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut all = vec![];
                    caller.read_to_end(&mut all).await.unwrap();
                    caller.write_all(&all.to_ascii_uppercase()).await.unwrap();
                });
            }
        });
        address
    }

    /// A meter in front of it.
    async fn metered(plugin: SocketAddr) -> (SocketAddr, Meter) {
        let (listener, meter) = (TcpListener::bind(ANY).await.unwrap(), Meter::default());
        let (address, counting) = (listener.local_addr().unwrap(), meter.clone());
        tokio::spawn(async move { accept(&listener, plugin, &counting).await });
        (address, meter)
    }

    #[tokio::test]
    async fn bytes_are_passed_on_both_ways_and_the_ends_with_them() {
        let (address, meter) = metered(plugin().await).await;
        let mut caller = TcpStream::connect(address).await.unwrap();
        caller.write_all(b"hello").await.unwrap();
        caller.shutdown().await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "HELLO");
        drop(caller);
        meter.unused().await;
    }

    #[tokio::test]
    async fn an_open_connection_is_activity_and_its_end_begins_the_idle_time() {
        let (address, meter) = metered(plugin().await).await;
        let caller = TcpStream::connect(address).await.unwrap();
        meter.0.open.subscribe().wait_for(|open| *open == 1).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        let used = Activity {
            open: 1,
            idle_seconds: 0.0,
        };
        assert_eq!(meter.activity(), used);
        drop(caller);
        meter.unused().await;
        let idle = meter.activity();
        assert!(idle.open == 0 && idle.idle_seconds < 0.05, "{idle:?}");
    }

    #[tokio::test]
    async fn a_plugin_that_takes_no_connection_is_none_the_less_asked_for() {
        let (address, meter) = metered("127.0.0.1:1".parse().unwrap()).await;
        sleep(Duration::from_millis(50)).await;
        let mut caller = TcpStream::connect(address).await.unwrap();
        let mut nothing = vec![];
        let _ = caller.read_to_end(&mut nothing).await;
        meter.unused().await;
        assert!(nothing.is_empty() && meter.activity().idle_seconds < 0.05);
    }

    #[tokio::test]
    async fn idle_time_counts_from_the_start_and_is_told_as_json() {
        let (address, told) = (plugin().await, TcpListener::bind(ANY).await.unwrap());
        let (_, meter) = metered(address).await;
        let at = told.local_addr().unwrap();
        tokio::spawn(axum::serve(told, routes(&meter)).into_future());
        let mut caller = TcpStream::connect(at).await.unwrap();
        let request = b"GET /activity HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        caller.write_all(request).await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let activity: Activity = serde_json::from_str(body).unwrap();
        assert!(activity.open == 0 && activity.idle_seconds > 0.0, "{answer}");
        assert!(body.contains("idleSeconds"), "{body}");
    }

    #[tokio::test]
    async fn a_meter_that_is_told_to_end_lets_open_connections_end() {
        let (tell, told) = oneshot::channel::<()>();
        let taken = TcpListener::bind(ANY).await.unwrap();
        let addresses = Addresses {
            listen: taken.local_addr().unwrap(),
            activity: ANY,
            plugin: plugin().await,
        };
        drop(taken);
        let running = tokio::spawn(run(addresses, async { told.await.unwrap() }));
        let mut caller = loop {
            match TcpStream::connect(addresses.listen).await {
                Ok(caller) => break caller,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        caller.write_all(b"still there").await.unwrap();
        // It is taken once it is passed on.
        sleep(Duration::from_millis(50)).await;
        tell.send(()).unwrap();
        while TcpStream::connect(addresses.listen).await.is_ok() {
            tokio::task::yield_now().await;
        }
        caller.shutdown().await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "STILL THERE");
        running.await.unwrap().unwrap();
    }
}
