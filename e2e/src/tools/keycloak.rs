//! Keycloak's distribution, with its build step done: `kc.sh build` takes half a minute and is kept.

use std::path::PathBuf;

use anyhow::Result;

use crate::host::command;
use crate::layout::key;
use crate::tools::{Tools, archive};
use crate::versions::KEYCLOAK;

/// Options that Keycloak fixes at build time.
const BUILD_OPTIONS: &[&str] = &["--db=postgres", "--health-enabled=true"];

impl Tools {
    /// Keycloak's home folder, built.
    pub async fn keycloak(&self) -> Result<PathBuf> {
        let slot = self.slot(
            "keycloak",
            &key(&[KEYCLOAK.as_bytes(), BUILD_OPTIONS.join(" ").as_bytes()]),
        );
        let home = slot.path.join(format!("keycloak-{KEYCLOAK}"));
        if slot.is_complete() {
            return Ok(home);
        }
        self.ui
            .step("build keycloak", async |step| {
                step.says(&format!("Keycloak {KEYCLOAK} from Maven (176 MB)"));
                step.result(format!("{KEYCLOAK} fetched and built"));
                let folder = slot.begin()?.to_owned();
                let artifact = format!("org.keycloak:keycloak-quarkus-dist:{KEYCLOAK}:zip");
                let zip = self.maven("keycloak", &artifact, &folder).await?;
                step.says("unpacking");
                archive::unzip(zip.clone(), folder).await?;
                std::fs::remove_file(zip)?;
                step.says(&format!(
                    "kc.sh build {} (once, half a minute)",
                    BUILD_OPTIONS.join(" ")
                ));
                let mut build = command::inside_cgroup(home.join("bin/kc.sh"))?;
                build.arg("build").args(BUILD_OPTIONS);
                command::run(
                    &self.layout,
                    "build-keycloak",
                    build,
                    "look whether Java 17 or later is installed",
                )
                .await?;
                slot.complete()
            })
            .await?;
        Ok(home)
    }
}
