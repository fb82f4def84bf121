//! The parts of the stack, one file for each subject. A part is a [`Launch`] (program, flags, configuration files) and a
//! question that tells whether it is ready; starting, watching and ending are the same for all.

pub mod contour;
pub mod coredns;
pub mod envoy;
pub mod keycloak;
pub mod kubernetes;
pub mod minio;
pub mod node;
pub mod postgres;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use strum::{AsRefStr, EnumIter, EnumString};
use tokio::time::{Instant, sleep};

use crate::credentials::Credentials;
use crate::failure::Failure;
use crate::host::process::{self, Launch};
use crate::layout::Layout;
use crate::tools::Tools;
use crate::ui::{Step, Ui};

/// Every part, by the name that `cargo dev logs` and `cargo dev status` know it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr, EnumIter, EnumString)]
#[strum(serialize_all = "kebab-case")]
pub enum Part {
    /// The cluster's store.
    Etcd,
    /// The Kubernetes API.
    KubeApiserver,
    /// Controllers of Kubernetes' own kinds.
    KubeControllerManager,
    /// Places pods on the node.
    KubeScheduler,
    /// Runs containers.
    Containerd,
    /// The node `node0`.
    Kubelet,
    /// Service addresses, as nftables rules.
    KubeProxy,
    /// Names of Services.
    Coredns,
    /// The database server.
    Postgres,
    /// The identity provider.
    Keycloak,
    /// The object store.
    Minio,
    /// Tells Envoy what the Gateway and its routes say.
    Contour,
    /// Serves the Gateway.
    Envoy,
}

/// What every part's start is given.
#[derive(Clone)]
pub struct Context {
    /// Where things are kept.
    pub layout: Layout,
    /// Where progress is shown.
    pub ui: Ui,
    /// Where programs come from.
    pub tools: Arc<Tools>,
    /// The stack's secrets.
    pub credentials: Credentials,
}

/// Starts one part, unless it runs, and waits until it is ready.
pub async fn start(part: Part, context: &Context) -> Result<()> {
    match part {
        Part::Etcd => kubernetes::etcd(context).await,
        Part::KubeApiserver => kubernetes::apiserver(context).await,
        Part::KubeControllerManager => kubernetes::controller_manager(context).await,
        Part::KubeScheduler => kubernetes::scheduler(context).await,
        Part::Containerd => node::containerd(context).await,
        Part::Kubelet => node::kubelet(context).await,
        Part::KubeProxy => node::proxy(context).await,
        Part::Coredns => coredns::coredns(context).await,
        Part::Postgres => postgres::postgres(context).await,
        Part::Keycloak => keycloak::keycloak(context).await,
        Part::Minio => minio::minio(context).await,
        Part::Contour => contour::contour(context).await,
        Part::Envoy => envoy::envoy(context).await,
    }
}

/// Longest time that a part may take until it is ready; Keycloak's first start on an empty database is the slowest.
const PATIENCE: Duration = Duration::from_mins(4);

impl Context {
    /// Sees to it that a part runs as `launch` says and is ready: starts it if it is dead, restarts it if it was started
    /// in another way, and leaves it alone otherwise.
    pub async fn ensure(
        &self,
        part: Part,
        step: &Step,
        launch: &Launch,
        ready: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let same = process::last_launch(&self.layout, part).as_ref() == Some(launch);
        if process::pid(&self.layout, part).is_some() {
            if !same {
                step.says("stopping: its flags changed");
                process::stop(&self.layout, part).await?;
            } else if ready().await.is_ok() {
                step.result("running");
                return Ok(());
            }
        }
        if process::pid(&self.layout, part).is_none() {
            step.says("starting");
            process::start(&self.layout, part, launch).await?;
        }
        step.result("ready");
        self.wait_ready(part, ready).await
    }

    async fn wait_ready(&self, part: Part, ready: impl AsyncFn() -> Result<()>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let refusal = match ready().await {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            let failure = if process::pid(&self.layout, part).is_none() {
                Failure::new(
                    format!("{} ended by itself", part.as_ref()),
                    "the log tells why; `cargo dev up` starts it again, `cargo dev down` starts over",
                )
            } else if Instant::now() > deadline {
                Failure::new(
                    format!(
                        "{} is not ready after {} s: {refusal:#}",
                        part.as_ref(),
                        PATIENCE.as_secs()
                    ),
                    "the log tells why; `cargo dev down` and `cargo dev up` start over",
                )
            } else {
                // Keycloak writes a log line at each question.
                sleep(Duration::from_millis(if part == Part::Keycloak { 500 } else { 100 })).await;
                continue;
            };
            return Err(failure.with_log(self.layout.log(part.as_ref())).into());
        }
    }
}
