//! A TCP proxy before the backends, that breaks on request.
//!
//! Pool `proxied` of each kind leads to it (e2e/stack-values.yaml): the Service `proxy` ends at the host's address.
//! One proxy a backend lives as long as the tests; a test takes a [`Turn`] on it and breaks it meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{Mutex, MutexGuard, OnceCell, watch},
    task::JoinSet,
    time::sleep,
};

use super::env::{Env, eventually};

/// What stands behind a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Schemas.
    Postgres,
    /// Realms.
    Keycloak,
    /// Buckets.
    S3,
}

/// What a proxy does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes them on.
    Forward,
    /// Refuses them and ends those there are, as a server that is down.
    Refuse,
    /// Accepts them and never answers, as a server that is stuck.
    Hang,
}

/// The proxy of one backend.
struct Proxy {
    mode: watch::Sender<Mode>,
    connections: Arc<AtomicUsize>,
    turn: Mutex<()>,
}

/// The right to break one backend. It is whole again when this is dropped.
pub struct Turn {
    proxy: &'static Proxy,
    _alone: MutexGuard<'static, ()>,
}

static POSTGRES: OnceCell<Proxy> = OnceCell::const_new();
static KEYCLOAK: OnceCell<Proxy> = OnceCell::const_new();
static S3: OnceCell<Proxy> = OnceCell::const_new();

impl Backend {
    /// Ports: the proxy's and the backend's.
    fn ports(self) -> (u16, u16) {
        match self {
            Self::Postgres => (15432, 5432),
            Self::Keycloak => (18080, 8080),
            Self::S3 => (19000, 9000),
        }
    }

    async fn proxy(self, env: &Env) -> Result<&'static Proxy> {
        let cell = match self {
            Self::Postgres => &POSTGRES,
            Self::Keycloak => &KEYCLOAK,
            Self::S3 => &S3,
        };
        let (near, far) = self.ports();
        let near = SocketAddr::from((env.stack.host(), near));
        let far = SocketAddr::from((env.stack.node(), far));
        cell.get_or_try_init(|| Proxy::start(near, far)).await
    }

    /// Waits until no other test breaks this backend.
    pub async fn turn(self, env: &Env) -> Result<Turn> {
        let proxy = self.proxy(env).await?;
        Ok(Turn {
            proxy,
            _alone: proxy.turn.lock().await,
        })
    }
}

impl Turn {
    /// Breaks or heals the backend.
    pub fn set(&self, mode: Mode) {
        self.proxy.connections.store(0, Ordering::Relaxed);
        self.proxy.mode.send_replace(mode);
    }

    /// Waits until somebody has connected since the mode was set.
    pub async fn connected(&self) -> Result<()> {
        eventually("a connection to the proxy", Duration::from_mins(1), || async {
            ensure!(
                self.proxy.connections.load(Ordering::Relaxed) > 0,
                "nobody has connected"
            );
            Ok(())
        })
        .await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.set(Mode::Forward);
    }
}

impl Proxy {
    async fn start(near: SocketAddr, far: SocketAddr) -> Result<Self> {
        let (mode, modes) = watch::channel(Mode::Forward);
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind(near).await?;
        tokio::spawn(serve(listener, near, far, modes, Arc::clone(&connections)));
        Ok(Self {
            mode,
            connections,
            turn: Mutex::default(),
        })
    }
}

/// Serves until the test run ends: its runtime ends the task, and with it all connections.
async fn serve(
    listener: TcpListener,
    near: SocketAddr,
    far: SocketAddr,
    mut modes: watch::Receiver<Mode>,
    count: Arc<AtomicUsize>,
) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        let mode = *modes.borrow_and_update();
        match (&listener, mode) {
            (_, Mode::Refuse) => {
                listener = None;
                if modes.changed().await.is_err() {
                    return;
                }
            }
            (None, _) => match TcpListener::bind(near).await {
                Ok(bound) => listener = Some(bound),
                Err(_) => sleep(Duration::from_millis(50)).await,
            },
            (Some(open), _) => tokio::select! {
                accepted = open.accept() => if let Ok((stream, _)) = accepted {
                    count.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(connection(stream, far, modes.clone()));
                },
                changed = modes.changed() => if changed.is_err() {
                    return;
                },
            },
        }
        while connections.try_join_next().is_some() {}
    }
}

/// One connection: it ends when the backend is refused, and when it heals after a hang.
async fn connection(mut near: TcpStream, far: SocketAddr, mut modes: watch::Receiver<Mode>) {
    if *modes.borrow_and_update() == Mode::Forward {
        let forward = async {
            // A failure on either side ends the connection: there is nobody to tell.
            if let Ok(mut far) = TcpStream::connect(far).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        };
        let broken = async { modes.wait_for(|mode| *mode != Mode::Forward).await.map(|mode| *mode) };
        tokio::select! {
            () = forward => return,
            mode = broken => if mode.ok() != Some(Mode::Hang) {
                return;
            },
        }
    }
    // Open, and nothing is read or written while it hangs.
    let _ = modes.wait_for(|mode| *mode != Mode::Hang).await;
}
