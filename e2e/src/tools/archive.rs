//! Unpacking what was fetched.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use liblzma::read::XzDecoder;
use zip::ZipArchive;

/// Unpacks a zip archive, permissions included.
pub async fn unzip(archive: PathBuf, into: PathBuf) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let file = File::open(&archive).with_context(|| format!("cannot open {}", archive.display()))?;
        ZipArchive::new(file)?
            .extract(&into)
            .with_context(|| format!("cannot unpack {}", archive.display()))
    })
    .await?
}

/// Unpacks the `.txz` (tar, xz) that a jar holds.
pub async fn untar_from_jar(jar: PathBuf, into: PathBuf) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        let mut zip = ZipArchive::new(File::open(&jar)?)?;
        let name = zip
            .file_names()
            .flatten()
            .find(|name| is_txz(name))
            .map(Cow::into_owned);
        let name = name.with_context(|| format!("{} holds no .txz", jar.display()))?;
        tar::Archive::new(XzDecoder::new(zip.by_name(&name)?)).unpack(&into)?;
        Ok(())
    })
    .await?
}

fn is_txz(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("txz"))
}
