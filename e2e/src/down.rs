//! `cargo dev down`: nothing of the stack is left but the cache, whatever state it was in.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::host::{boot, cgroup, mounts, network};
use crate::layout::Layout;
use crate::ui::Ui;

/// Removes the stack; without one, does nothing.
pub async fn down(layout: Layout, ui: Ui) -> Result<()> {
    let began = Instant::now();
    boot::require_root()?;
    let _only_one = boot::lock(&layout, &ui).await?;
    let ended = remove(&layout).await?;
    ui.line(&format!(
        "down in {:.1} s: {ended} processes ended, nothing left",
        began.elapsed().as_secs_f32()
    ));
    Ok(())
}

/// Ends every process and removes every namespace, mount, cgroup and file.
pub async fn remove(layout: &Layout) -> Result<usize> {
    let ended = cgroup::kill_all().await?;
    network::remove().await?;
    mounts::remove(layout).await?;
    cgroup::remove().await?;
    mounts::remove_created(layout).await?;
    if layout.state.exists() {
        std::fs::remove_dir_all(&layout.state).with_context(|| format!("cannot remove {}", layout.state.display()))?;
    }
    Ok(ended)
}
