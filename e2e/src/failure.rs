//! A failed step, told so that a person can act on it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A step that failed: what went wrong, the log to look into and what to do.
#[derive(Debug)]
pub struct Failure {
    /// What went wrong, one sentence.
    pub what: String,
    /// Log of the part or build, whose last lines are shown.
    pub log: Option<PathBuf>,
    /// What to do about it.
    pub advice: String,
}

impl Failure {
    /// A failure without a log.
    pub fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            log: None,
            advice: advice.into(),
        }
    }

    /// Names the log whose end belongs to the message.
    #[must_use]
    pub fn with_log(mut self, log: PathBuf) -> Self {
        self.log = Some(log);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// The whole message for the terminal: the chain of causes, the end of the log, and the advice.
pub fn report(error: &anyhow::Error) -> String {
    let mut lines = vec![format!("{error:#}")];
    for failure in error.chain().filter_map(|cause| cause.downcast_ref::<Failure>()) {
        if let Some(log) = &failure.log {
            lines.push(format!("\nlast lines of {}:", log.display()));
            lines.extend(last_lines(log, 20).iter().map(|line| format!("  {line}")));
        }
        lines.push(format!("\nwhat to do: {}\n", failure.advice));
    }
    lines.join("\n")
}

/// The last lines of a log; none when it cannot be read.
pub fn last_lines(log: &Path, count: usize) -> Vec<String> {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}
