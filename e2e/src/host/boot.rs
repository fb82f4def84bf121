//! Which start of the machine the state belongs to: after a restart the files are there, but nothing runs any more.

use std::fs::File;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::failure::Failure;
use crate::layout::{self, Layout};

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

/// Only one `up` or `down` at a time. The lock lies in the cache, since `down` leaves no other file.
pub fn lock(layout: &Layout) -> Result<Flock<File>> {
    std::fs::create_dir_all(&layout.cache).with_context(|| format!("cannot make {}", layout.cache.display()))?;
    let path = layout.cache.join("lock");
    let file = File::options().create(true).truncate(false).write(true).open(&path)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
        Errno::EWOULDBLOCK => Failure::new(
            "another `cargo dev up` or `down` is at work",
            "wait for it, or end it with ctrl-c",
        )
        .into(),
        other => anyhow::Error::new(other).context(format!("cannot lock {}", path.display())),
    })
}

fn boot_id() -> Result<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").context("cannot read the machine's boot id")
}
