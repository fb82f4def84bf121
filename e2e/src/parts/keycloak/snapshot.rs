//! A copy of PostgreSQL's data folder with Keycloak's tables and set-up in it, and of the credentials that open it.

use std::path::PathBuf;

use anyhow::Result;

use crate::credentials::Credentials;
use crate::host::command;
use crate::layout::{Layout, key};
use crate::versions::{KEYCLOAK, POSTGRES};

/// Keeps the data folder of the stopped PostgreSQL in the cache.
pub async fn take(layout: &Layout) -> Result<()> {
    let target = folder(layout);
    let fresh = target.with_extension("new");
    command::script(&format!(
        "rm -rf '{fresh}' '{cache}'/snapshot-????????????
         mkdir -p '{fresh}'
         cp -a --reflink=auto '{state}/postgres/data' '{fresh}/data'
         cp -a '{credentials}' '{fresh}'
         mv '{fresh}' '{target}'",
        fresh = fresh.display(),
        cache = layout.cache.display(),
        state = layout.state.display(),
        credentials = Credentials::file(&layout.state).display(),
        target = target.display(),
    ))
    .await
}

/// The credentials of the stack: those it has, else those of the snapshot together with its data, else new ones.
pub async fn restore_or_begin(layout: &Layout) -> Result<Credentials> {
    let file = Credentials::file(&layout.state);
    if file.exists() {
        return Credentials::read(&file);
    }
    let snapshot = folder(layout);
    let data = layout.state_dir("postgres")?.join("data");
    let _ = std::fs::remove_dir_all(&data);
    let credentials = if snapshot.exists() {
        command::script(&format!(
            "cp -a --reflink=auto '{}/data' '{}'",
            snapshot.display(),
            data.display()
        ))
        .await?;
        Credentials::read(&Credentials::file(&snapshot))?
    } else {
        Credentials::random()
    };
    credentials.write(&file)?;
    Ok(credentials)
}

/// Keyed by the versions and by the code of the set-up: another one makes another database.
fn folder(layout: &Layout) -> PathBuf {
    let code = [
        include_str!("set_up.rs"),
        include_str!("../postgres.rs"),
        include_str!("../../credentials.rs"),
    ];
    let key = key(&[POSTGRES.as_bytes(), KEYCLOAK.as_bytes(), code.concat().as_bytes()]);
    layout.cache.join(format!("snapshot-{key}"))
}
