//! Programs that come from the distribution.

use std::path::Path;

use anyhow::Result;

use crate::failure::Failure;
use crate::host::command;
use crate::tools::Tools;
use crate::versions::DEBIAN;

impl Tools {
    /// Installs the Debian packages that are missing.
    ///
    /// # Errors
    /// Where there is no apt-get, the list of what to install.
    pub async fn packages(&self) -> Result<()> {
        let mut packages: Vec<_> = DEBIAN
            .iter()
            .filter(|(program, _)| !is_installed(program))
            .map(|(_, package)| *package)
            .collect();
        packages.dedup();
        if packages.is_empty() {
            return Ok(());
        }
        let by_hand = format!("install by hand what provides: {}", packages.join(" "));
        if !is_installed("apt-get") {
            return Err(Failure::new(
                "programs of the distribution are missing, and there is no apt-get",
                by_hand,
            )
            .into());
        }
        self.ui
            .step("packages", async |step| {
                step.says(&format!("apt-get install {}", packages.join(" ")));
                step.result(format!("installed {}", packages.join(" ")));
                let mut update = command::inside_cgroup("apt-get")?;
                update.args(["update", "--quiet"]);
                command::run(&self.layout, "packages", update, &by_hand).await?;
                let mut install = command::inside_cgroup("apt-get")?;
                install
                    .env("DEBIAN_FRONTEND", "noninteractive")
                    .args(["install", "--quiet", "--yes", "--no-install-recommends"])
                    .args(&packages);
                command::run(&self.layout, "packages", install, &by_hand).await
            })
            .await
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An absolute program replaces the folder that it is joined to.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| Path::new(&folder).join(program).exists())
}
