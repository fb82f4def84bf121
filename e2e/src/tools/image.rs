//! Container images without a container engine: an OCI image layout of one layer with a static binary and the
//! certificate authorities.
//!
//! Specification: <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::layout::hex;

/// User and group that images run as: nobody's, and the chart's.
const USER: &str = "65532:65532";

/// Certificate authorities of the machine, at the place where every TLS library looks; like any base image has them.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The OCI layout, as a tar archive, of an image that holds `binary` at `/<file name>` and runs it.
pub fn pack(reference: &str, binary: &Path) -> Result<Vec<u8>> {
    let content = std::fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let name = binary
        .file_name()
        .and_then(|name| name.to_str())
        .context("the binary has no name")?;

    let mut layer = tar::Builder::new(Vec::new());
    append(&mut layer, name, &content, 0o755)?;
    if let Ok(authorities) = std::fs::read(AUTHORITIES) {
        append(&mut layer, AUTHORITIES.trim_start_matches('/'), &authorities, 0o644)?;
    }
    let layer = layer.into_inner()?;

    let config = serde_json::to_vec(&json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": { "User": USER, "Entrypoint": [format!("/{name}")], "WorkingDir": "/" },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    }))?;
    let manifest = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    }))?;
    let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    entry["annotations"] = json!({ "io.containerd.image.name": reference });
    let index = serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    }))?;

    let mut image = tar::Builder::new(Vec::new());
    append(&mut image, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#, 0o644)?;
    append(&mut image, "index.json", &index, 0o644)?;
    for blob in [&layer, &config, &manifest] {
        append(
            &mut image,
            &format!("blobs/sha256/{}", hex(&Sha256::digest(blob))),
            blob,
            0o644,
        )?;
    }
    Ok(image.into_inner()?)
}

fn append(archive: &mut tar::Builder<Vec<u8>>, path: &str, content: &[u8], mode: u32) -> Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(u64::try_from(content.len())?);
    header.set_mode(mode);
    archive.append_data(&mut header, path, content)?;
    Ok(())
}

fn digest(blob: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(blob)))
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(blob), "size": blob.len() })
}
