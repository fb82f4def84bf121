//! The real node's kube-proxy, made to rest.
//!
//! For each change it lists all of its rules (`nft list table`), every second: with a thousand Services that takes a third
//! of this machine. Fake nodes have no kube-proxy, and on real ones it takes no time of the API server. So it rests while
//! installations are made and removed, as the report says; whatever has a goal is measured while it works.

use anyhow::{Context as _, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{host::process, parts::Part, suite::env::Env};

/// Rests until it is dropped.
pub struct Resting(Pid);

impl Resting {
    /// Stops it.
    pub fn begin(env: &Env) -> Result<Self> {
        let pid = process::pid(env.stack.layout(), Part::KubeProxy).context("kube-proxy does not run")?;
        let pid = Pid::from_raw(pid);
        kill(pid, Signal::SIGSTOP).context("kube-proxy cannot be stopped")?;
        Ok(Self(pid))
    }
}

impl Drop for Resting {
    fn drop(&mut self) {
        // It may be gone since.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
