//! The mount namespace of containerd and the kubelet.
//!
//! Both keep things at fixed places (/run/containerd, /var/lib/kubelet, /var/log/pods …) and mount every pod's file
//! systems. In a mount namespace of their own those places are folders of the stack's state, and all mounts go with
//! the namespace: nothing has to be unmounted one by one, even after a crash.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::host::command::script;
use crate::layout::{self, Layout};

/// Places with a fixed name, each replaced by a folder of the state inside the namespace.
const PRIVATE: &[&str] = &[
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// File by which the namespace is entered (`nsenter --mount=`).
pub fn namespace_file(layout: &Layout) -> PathBuf {
    layout.state.join("namespaces/mount")
}

/// Where a place of the node's file system is found on the host.
pub fn seen_from_host(layout: &Layout, place: &str) -> PathBuf {
    layout.state.join("node").join(place.trim_start_matches('/'))
}

/// Makes the namespace, unless it is there.
pub async fn create(layout: &Layout) -> Result<()> {
    let complete = layout.state.join("mounts-complete");
    if complete.exists() {
        return Ok(());
    }
    remove(layout).await?;
    let folder = layout.state_dir("namespaces")?;
    let mut binds = Vec::new();
    for place in PRIVATE {
        let own = seen_from_host(layout, place);
        std::fs::create_dir_all(&own).with_context(|| format!("cannot make {}", own.display()))?;
        make_mount_point(layout, Path::new(place))?;
        binds.push(format!("mount --bind {} {place}", own.display()));
    }
    // A namespace's file can only be mounted where mounts are not shared, else it would hold itself.
    script(&format!(
        "mount --bind {folder} {folder}
         mount --make-private {folder}
         touch {file}
         unshare --mount={file} --propagation private sh -euc '{binds}'",
        binds = binds.join("\n"),
        folder = folder.display(),
        file = namespace_file(layout).display(),
    ))
    .await
    .context("cannot make the mount namespace")?;
    layout::write(&complete, b"")
}

/// Removes the namespace and the empty folders that were made for it on the host.
pub async fn remove(layout: &Layout) -> Result<()> {
    let inside = format!("{}/", layout.state.display());
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    // Later mounts lie on earlier ones. Lazy: what is still open is let go with its last user.
    for target in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)) {
        if target.starts_with(&inside) {
            script(&format!("umount --lazy '{target}'")).await?;
        }
    }
    Ok(())
}

/// Removes, where they are empty again, the folders of the host that [`record_created`] noted.
pub async fn remove_created(layout: &Layout) -> Result<()> {
    let noted = std::fs::read_to_string(created_file(layout)).unwrap_or_default();
    for folder in noted.lines().rev().map(Path::new) {
        // `ip netns` mounts /run/netns on itself.
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mounted = mounts
            .lines()
            .any(|line| line.split(' ').nth(1).map(Path::new) == Some(folder));
        let empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        if mounted && empty {
            script(&format!("umount '{}'", folder.display())).await?;
        }
        // Not ours any more when somebody else put something in.
        let _ = std::fs::remove_dir(folder);
    }
    Ok(())
}

/// Notes, before it is made, that the stack makes a folder outside of its state.
pub fn record_created(layout: &Layout, folder: &Path) -> Result<()> {
    let noted = std::fs::read_to_string(created_file(layout)).unwrap_or_default();
    layout::write(
        &created_file(layout),
        format!("{noted}{}\n", folder.display()).as_bytes(),
    )
}

fn make_mount_point(layout: &Layout, folder: &Path) -> Result<()> {
    let missing: Vec<_> = folder.ancestors().take_while(|part| !part.exists()).collect();
    for part in missing.into_iter().rev() {
        record_created(layout, part)?;
        std::fs::create_dir(part).with_context(|| format!("cannot make {}", part.display()))?;
    }
    Ok(())
}

fn created_file(layout: &Layout) -> PathBuf {
    layout.state.join("created-folders")
}
