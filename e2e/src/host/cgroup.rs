//! The cgroups of the stack: every process that it starts is born in one, and so is everything those start.
//! That is how `down` finds them all, whatever happened to the `up` that started them.
//!
//! Two kinds: `plexica-dev/parts` for the parts themselves, tracked in one hierarchy only, and
//! `plexica-dev/kubepods` for pods, which the kubelet makes in all hierarchies.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

/// The stack's cgroup in every hierarchy; the kubelet is given it as `cgroupRoot`.
pub const ROOT: &str = "plexica-dev";

/// Makes the stack's cgroup in every hierarchy of the machine.
pub fn create() -> Result<()> {
    for hierarchy in hierarchies()? {
        let path = hierarchy.path.join(ROOT);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
    }
    let parts = parts()?;
    std::fs::create_dir_all(&parts).with_context(|| format!("cannot make the cgroup {}", parts.display()))
}

/// The cgroup in which parts and builds are born.
pub fn parts() -> Result<PathBuf> {
    let all = hierarchies()?;
    all.iter()
        .find(|hierarchy| hierarchy.unified)
        .or_else(|| all.first())
        .map(|hierarchy| hierarchy.path.join(ROOT).join("parts"))
        .context("this machine has no cgroups mounted under /sys/fs/cgroup: mount them first")
}

/// Every process of the stack: parts, builds, pods and their shims.
pub fn processes() -> Result<Vec<i32>> {
    let mut pids = Vec::new();
    for folder in folders()? {
        let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// Kills every process of the stack and waits until they are gone.
pub async fn kill_all() -> Result<usize> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut killed = BTreeSet::new();
    loop {
        let alive: Vec<_> = processes()?.into_iter().filter(|pid| *pid != own && *pid > 1).collect();
        if alive.is_empty() {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "processes {alive:?} do not die");
        for pid in alive {
            // A process may be gone since it was listed.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            killed.insert(pid);
        }
        sleep(Duration::from_millis(50)).await;
    }
    // Dead, but still listed until their parent asks for them: PID 1, which may take its time. Nothing depends on it.
    let patience = Instant::now() + Duration::from_secs(5);
    while killed.iter().any(|pid| Path::new(&format!("/proc/{pid}")).exists()) && Instant::now() < patience {
        sleep(Duration::from_millis(50)).await;
    }
    Ok(killed.len())
}

/// Removes the emptied cgroups.
pub async fn remove() -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut folders = folders()?;
        // Children before their parents. The kernel may hold a cgroup for a moment after its last process died.
        folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
        let left: Vec<_> = folders
            .into_iter()
            .filter(|folder| std::fs::remove_dir(folder).is_err())
            .collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            anyhow::bail!("cgroups {left:?} cannot be removed");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

struct Hierarchy {
    path: PathBuf,
    unified: bool,
}

fn hierarchies() -> Result<Vec<Hierarchy>> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    Ok(mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (path, kind) = (fields.next()?, fields.next()?);
            let unified = kind == "cgroup2";
            ((unified || kind == "cgroup") && path.starts_with("/sys/fs/cgroup")).then(|| Hierarchy {
                path: path.into(),
                unified,
            })
        })
        .collect())
}

/// All folders at and below the stack's cgroup, in all hierarchies.
fn folders() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies()? {
        descend(&hierarchy.path.join(ROOT), &mut found);
    }
    Ok(found)
}

fn descend(folder: &Path, found: &mut Vec<PathBuf>) {
    if !folder.is_dir() {
        return;
    }
    found.push(folder.to_owned());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            descend(&entry.path(), found);
        }
    }
}
