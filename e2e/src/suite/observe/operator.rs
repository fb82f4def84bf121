//! The operator's pod and its process, as the machine sees them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    host::cgroup,
    platform::{NAMESPACE, RELEASE},
    suite::env::{Env, eventually},
};

/// First argument of the process, as the image starts it.
const PROGRAM: &str = "/plexica-operator";
/// Longest time for a new pod to be Ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// Process ids of the operator: processes of the stack's cgroups whose program it is.
pub fn pids() -> Result<Vec<i32>> {
    let is_operator = |pid: &i32| {
        let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        arguments.split(|byte| *byte == 0).next() == Some(PROGRAM.as_bytes())
    };
    Ok(cgroup::processes()?.into_iter().filter(is_operator).collect())
}

/// Waits for a process of the operator that is none of `former`.
pub async fn new_pid(former: &[i32]) -> Result<i32> {
    eventually("a process of the operator", PATIENCE, || async {
        pids()?
            .into_iter()
            .find(|pid| !former.contains(pid))
            .context("there is none")
    })
    .await
}

/// Sends a signal to the operator's processes; answers which they are.
pub fn signal(signal: Signal) -> Result<Vec<i32>> {
    let pids = pids()?;
    for pid in &pids {
        // It may be gone since.
        let _ = kill(Pid::from_raw(*pid), signal);
    }
    Ok(pids)
}

/// Kills the operator at once and removes its pod, so that the next one is fresh: the kubelet lets a container that
/// died again and again wait for minutes. Answers the process ids that were killed.
pub async fn kill_and_replace(env: &Env) -> Result<Vec<i32>> {
    let pods = names(env).await?;
    let killed = signal(Signal::SIGKILL)?;
    let at_once = DeleteParams::default().grace_period(0);
    for name in pods {
        if let Err(error) = api(env).delete(&name, &at_once).await
            && !matches!(&error, kube::Error::Api(status) if status.is_not_found())
        {
            return Err(error.into());
        }
    }
    Ok(killed)
}

/// Replaces the pod in the friendly way and waits until the new one is Ready.
pub async fn restart(env: &Env) -> Result<()> {
    for name in names(env).await? {
        api(env).delete(&name, &DeleteParams::default()).await?;
    }
    ready(env).await
}

/// Waits until there is one pod, and it is Ready.
pub async fn ready(env: &Env) -> Result<()> {
    eventually("the operator's pod", PATIENCE, || async {
        let pods = api(env).list(&selector()).await?.items;
        let [pod] = &pods[..] else {
            anyhow::bail!("there are {} pods", pods.len());
        };
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions
            .clone()
            .any(|found| found.type_ == "Ready" && found.status == "True");
        ensure!(
            ready && pod.metadata.deletion_timestamp.is_none(),
            "pod {} is not ready",
            pod.name_any()
        );
        Ok(())
    })
    .await
}

/// Resident memory of the operator in KiB (`VmRSS`).
pub fn resident_kib() -> Result<u64> {
    let pid = *pids()?.first().context("the operator does not run")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(value.context("no VmRSS")?.parse()?)
}

/// Addresses of its pods.
pub async fn addresses(env: &Env) -> Result<Vec<String>> {
    let pods = api(env).list(&selector()).await?;
    Ok(pods.into_iter().filter_map(|pod| pod.status?.pod_ip).collect())
}

async fn names(env: &Env) -> Result<Vec<String>> {
    Ok(api(env)
        .list(&selector())
        .await?
        .iter()
        .map(ResourceExt::name_any)
        .collect())
}

fn api(env: &Env) -> Api<Pod> {
    Api::namespaced(env.client.clone(), NAMESPACE)
}

fn selector() -> ListParams {
    ListParams::default().labels(&format!("app.kubernetes.io/name={RELEASE}"))
}
