//! What the parts need of this machine, and its removal: a network namespace, a mount namespace, cgroups, processes.

pub mod boot;
pub mod cgroup;
pub mod command;
pub mod mounts;
pub mod network;
pub mod process;
