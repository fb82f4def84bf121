//! What is there and what happened, seen from outside the operator: logs of the parts, contents of the backends,
//! the operator's process. Nothing here asks the operator.

pub mod audit;
pub mod inventory;
pub mod minio;
pub mod operator;
pub mod passes;
pub mod rest;
pub mod write_gate;

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

/// A place in a log that grows.
#[derive(Clone, Debug)]
pub struct Mark {
    path: PathBuf,
    offset: u64,
}

impl Mark {
    /// The present end of the log.
    pub fn at_end(path: &Path) -> Result<Self> {
        let length = std::fs::metadata(path)
            .with_context(|| path.display().to_string())?
            .len();
        Ok(Self {
            path: path.to_owned(),
            offset: length,
        })
    }

    /// The beginning of the log.
    pub fn at_start(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            offset: 0,
        }
    }

    /// The complete lines that were added since.
    pub fn lines_since(&self) -> Result<Vec<String>> {
        let mut file = File::open(&self.path).with_context(|| self.path.display().to_string())?;
        let length = file.metadata()?.len();
        ensure!(
            length >= self.offset,
            "{} was rotated: what was added is not known",
            self.path.display()
        );
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = vec![];
        file.read_to_end(&mut bytes)?;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = String::from_utf8_lossy(&bytes[..complete]);
        Ok(text.lines().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_lines_after_the_mark_count() {
        let path = std::env::temp_dir().join(format!("plexica-mark-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, "old\n").unwrap();
        let mark = Mark::at_end(&path).unwrap();
        std::fs::write(&path, "old\nnew\nhalf").unwrap();
        assert_eq!(mark.lines_since().unwrap(), ["new"]);
        std::fs::write(&path, "").unwrap();
        assert!(mark.lines_since().is_err());
        std::fs::remove_file(path).unwrap();
    }
}
