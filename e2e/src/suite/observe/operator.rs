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

/// Stops the operator's processes, and waits until none of their threads runs: on a busy machine that takes some milliseconds.
pub async fn stop() -> Result<()> {
    let pids = signal(Signal::SIGSTOP)?;
    eventually("the operator to stop", PATIENCE, || async {
        for pid in &pids {
            let running = threads(*pid).find(|state| !matches!(state, 'T' | 'Z' | 'X'));
            ensure!(running.is_none(), "a thread of {pid} is in state {running:?}");
        }
        Ok(())
    })
    .await
}

/// States of a process's threads, as `/proc/PID/task/TID/stat` tells them; none of one that is gone.
fn threads(pid: i32) -> impl Iterator<Item = char> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    tasks.filter_map(|task| {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        // The name before it may hold anything.
        stat.rsplit_once(") ")?.1.chars().next()
    })
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

/// Memory of the operator in KiB, as `/proc/PID/status` tells it.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All that is resident (`VmRSS`).
    pub resident: u64,
    /// Of that, what it allocated (`RssAnon`).
    pub anonymous: u64,
    /// Of that, pages of its binary (`RssFile`).
    pub file: u64,
    /// The most that was ever resident (`VmHWM`).
    pub peak: u64,
}

/// Memory of the operator.
pub fn memory() -> Result<Memory> {
    let pid = *pids()?.first().context("the operator does not run")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |key: &str| -> Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let value = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(value.with_context(|| format!("no {key}"))?.parse()?)
    };
    Ok(Memory {
        resident: kib("VmRSS")?,
        anonymous: kib("RssAnon")?,
        file: kib("RssFile")?,
        peak: kib("VmHWM")?,
    })
}

/// Resident memory of the operator in KiB.
pub fn resident_kib() -> Result<u64> {
    Ok(memory()?.resident)
}

/// Processor time that the operator has used.
pub fn processor_time() -> Result<Duration> {
    let [user, system, _] = ticks()?;
    Ok(Duration::from_millis(10) * u32::try_from(user + system)?)
}

/// How long the operator's process has been running.
pub fn age() -> Result<Duration> {
    let [_, _, started] = ticks()?;
    let uptime = std::fs::read_to_string("/proc/uptime")?;
    let uptime: f64 = uptime.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_secs_f64(uptime).saturating_sub(Duration::from_millis(10 * started)))
}

/// User time, system time and start of the process, in ticks: hundredths of a second, whatever the kernel counts in.
fn ticks() -> Result<[u64; 3]> {
    let pid = *pids()?.first().context("the operator does not run")?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in parentheses; then comes the state, the third of proc(5).
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    let fields: Vec<_> = fields.split(' ').collect();
    let field = |number: usize| -> Result<u64> { Ok(fields.get(number - 3).context("no such field")?.parse()?) };
    Ok([field(14)?, field(15)?, field(22)?])
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
