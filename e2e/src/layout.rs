//! Where things are kept: the cache (survives `down`) and the state of the running stack (does not).

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Everything that belongs to the running stack. `down` removes it.
const STATE: &str = "/var/lib/plexica-dev";

/// The folders of the stack.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Built binaries, fetched archives and the database snapshot; keyed by content, safe to delete at any time.
    pub cache: PathBuf,
    /// Process ids, logs, keys and data of the running stack.
    pub state: PathBuf,
    /// The source tree that this binary was built from: charts, examples and the tools' go.mod files are read from it.
    pub repository: PathBuf,
}

impl Layout {
    /// The folders as the environment says: `$PLEXICA_CACHE`, else `~/.cache/plexica-dev`.
    pub fn locate() -> Result<Self> {
        let cache = match std::env::var_os("PLEXICA_CACHE") {
            Some(folder) => std::path::absolute(folder)?,
            None => std::env::home_dir()
                .context("no home directory for the cache: set PLEXICA_CACHE to a folder")?
                .join(".cache/plexica-dev"),
        };
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the e2e crate has no parent folder")?
            .to_path_buf();
        Ok(Self {
            cache,
            state: STATE.into(),
            repository,
        })
    }

    /// A folder of the state, made if it is missing.
    pub fn state_dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.state.join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Log of a part or of a build step.
    pub fn log(&self, name: &str) -> PathBuf {
        self.state.join("logs").join(format!("{name}.log"))
    }

    /// The kubeconfig of the cluster's administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("admin.kubeconfig")
    }

    /// Audit log of the API server: JSON lines, level Metadata, every request.
    pub fn audit_log(&self) -> PathBuf {
        self.state.join("audit.log")
    }
}

/// Writes a file that only root reads.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("cannot protect {}", path.display()))
}

/// Writes a file, making its folder first.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// First twelve hexadecimal digits of the SHA-256 of some texts: the key under which the cache holds what they make.
pub fn key(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())[..12].to_owned()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}
