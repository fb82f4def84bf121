//! Which start of the machine the state belongs to: after a restart the files are there, but nothing runs any more.

use std::fs::File;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use tokio::time::sleep;

use crate::failure::Failure;
use crate::layout::{self, Layout};
use crate::ui::Ui;

/// True when the state was left by an earlier start of this machine.
pub fn state_is_stale(layout: &Layout) -> Result<bool> {
    match std::fs::read_to_string(layout.state.join("boot-id")) {
        Ok(recorded) => Ok(recorded != boot_id()?),
        Err(_) => Ok(false),
    }
}

/// Records this start of the machine in the state.
pub fn record(layout: &Layout) -> Result<()> {
    layout::write(&layout.state.join("boot-id"), boot_id()?.as_bytes())
}

/// Namespaces, mounts and cgroups can only be made by root.
pub fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(
        "the development stack needs root: it makes a network namespace, mounts and cgroups",
        "run `sudo -E env PATH=\"$PATH\" cargo dev …`, or work in a container or virtual machine as root",
    )
    .into())
}

/// Only one `up` or `down` at a time: waits for its turn. The lock lies in the cache, since `down` leaves no other file.
pub async fn lock(layout: &Layout, ui: &Ui) -> Result<Flock<File>> {
    std::fs::create_dir_all(&layout.cache).with_context(|| format!("cannot make {}", layout.cache.display()))?;
    let path = layout.cache.join("lock");
    let mut told = false;
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                write!(lock, "{}", std::process::id())?;
                return Ok(lock);
            }
            Err((_, Errno::EWOULDBLOCK)) => {
                if !told {
                    let holder = std::fs::read_to_string(&path).unwrap_or_default();
                    ui.line(&format!(
                        "waiting for another `cargo dev up` or `down` (process {holder})"
                    ));
                    told = true;
                }
                sleep(Duration::from_millis(200)).await;
            }
            Err((_, error)) => {
                return Err(anyhow::Error::new(error).context(format!("cannot lock {}", path.display())));
            }
        }
    }
}

fn boot_id() -> Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the machine's boot id")
}
