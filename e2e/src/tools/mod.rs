//! Getting and building what the stack runs, once: each thing is kept in the cache under a key of what it was made from,
//! so that a stale one is made anew.

pub mod archive;
pub mod debian;
pub mod envoy;
pub mod gateway_api;
pub mod go;
pub mod image;
pub mod keycloak;
pub mod maven;
pub mod operator;
pub mod postgres;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::sync::Mutex;

use crate::layout::{self, Layout};
use crate::ui::Ui;

/// What fetches and builds; every method answers at once when the cache has the thing.
#[derive(Debug)]
pub struct Tools {
    pub(crate) layout: Layout,
    pub(crate) ui: Ui,
    /// One Go build at a time: each uses all processors, and they share packages.
    go: Mutex<()>,
    /// One Maven at a time: they share a local repository without locks.
    maven: Mutex<()>,
}

impl Tools {
    /// Tools that build into the cache of `layout`.
    pub fn new(layout: Layout, ui: Ui) -> Self {
        Self {
            layout,
            ui,
            go: Mutex::default(),
            maven: Mutex::default(),
        }
    }

    /// The cache's folder for a thing under its key.
    fn slot(&self, name: &str, key: &str) -> Slot {
        Slot {
            name: name.to_owned(),
            path: self.layout.cache.join(format!("{name}-{key}")),
        }
    }
}

/// A folder of the cache that is either complete or not there: a marker is written last.
struct Slot {
    name: String,
    path: PathBuf,
}

const MARKER: &str = ".complete";

impl Slot {
    fn is_complete(&self) -> bool {
        self.path.join(MARKER).exists()
    }

    /// Empties the folder for a new start.
    fn begin(&self) -> Result<&Path> {
        if self.path.exists() {
            std::fs::remove_dir_all(&self.path).with_context(|| format!("cannot empty {}", self.path.display()))?;
        }
        std::fs::create_dir_all(&self.path).with_context(|| format!("cannot make {}", self.path.display()))?;
        Ok(&self.path)
    }

    /// Marks the folder as complete and removes those of older keys.
    fn complete(&self) -> Result<()> {
        layout::write(&self.path.join(MARKER), b"")?;
        let Some(cache) = self.path.parent() else { return Ok(()) };
        for entry in std::fs::read_dir(cache)?.flatten() {
            let name = entry.file_name();
            let of_older_key = name
                .to_str()
                .and_then(|text| text.strip_prefix(&self.name)?.strip_prefix('-'))
                .is_some_and(|key| key.len() == 12 && !key.contains('-'));
            if of_older_key && entry.path() != self.path {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}
