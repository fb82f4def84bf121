//! Files from Maven's central repository, by Maven itself: it knows the machine's mirrors and settings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::host::command;
use crate::tools::Tools;

impl Tools {
    /// Fetches one artifact (`group:name:version[:type]`) into an empty folder and returns the file.
    pub(super) async fn maven(&self, name: &str, artifact: &str, folder: &Path) -> Result<PathBuf> {
        let _one_at_a_time = self.maven.lock().await;
        let mut maven = command::inside_cgroup("mvn")?;
        maven
            .current_dir(folder)
            .args(["-q", "-B", "dependency:copy"])
            .arg(format!("-Dartifact={artifact}"))
            .arg(format!("-DoutputDirectory={}", folder.display()));
        let advice = "look whether Maven reaches its repository (~/.m2/settings.xml), then run `cargo dev up` again";
        command::run(&self.layout, &format!("fetch-{name}"), maven, advice).await?;
        let file = std::fs::read_dir(folder)?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.is_file());
        file.with_context(|| format!("Maven copied nothing for {artifact}"))
    }
}
