//! `cargo dev test`: everything that must hold before a change lands, from formatting to the real stack.

use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::failure::Failure;
use crate::layout::Layout;
use crate::stack::Stack;
use crate::suite::{self, Tally};
use crate::ui::{self, Ui};
use crate::{down, up};

/// Checks that need no cluster: what they prove, and the arguments of cargo.
const CHECKS: [(&str, &[&str]); 2] = [
    ("formatting", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny",
            "warnings",
        ],
    ),
];

/// Characters of a failed test's reason that are repeated at the end.
const REASON_SHOWN: usize = 1_000;

/// Runs all checks and tests, or with a filter only the end-to-end tests whose name contains it. The last line is
/// `N passed, N failed`.
///
/// # Errors
/// When anything failed.
pub async fn test(layout: Layout, filter: Option<&str>) -> Result<()> {
    let mut tally = Tally::default();
    if filter.is_none() {
        for (what, arguments) in CHECKS {
            let passed = cargo(arguments).status().await.context("cannot run cargo")?.success();
            ui::print(&format!("{} {what}", if passed { "ok     " } else { "FAILED " }));
            tally.count(passed);
        }
        unit_tests(&mut tally).await?;
    }
    let was_up = Stack::running().is_ok();
    // It changes nothing beside a running stack, but for an operator of other sources: that is replaced.
    up::up(layout.clone(), Ui::new()).await?;
    let ended = suite::run(&Stack::running()?, filter).await?;
    // What it has brought up goes again; a filter is for somebody who will look around, or try once more.
    if !was_up && filter.is_none() {
        down::down(layout, Ui::new()).await?;
    }
    tally.passed += ended.passed;
    tally.failed += ended.failed;
    // Once more and in short, where a reader of a long log looks.
    for failure in &ended.failures {
        ui::print(&format!(
            "FAILED  {}",
            failure.chars().take(REASON_SHOWN).collect::<String>()
        ));
    }
    ui::print(&format!("{} passed, {} failed", tally.passed, tally.failed));
    if tally.failed > 0 {
        return Err(Failure::new(
            "tests failed",
            "look for FAILED above; `cargo dev test NAME` repeats one",
        )
        .into());
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Unit tests, property tests, doctests and the comparison of generated files.
async fn unit_tests(tally: &mut Tally) -> Result<()> {
    let mut child = cargo(&["test", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut lines = BufReader::new(output).lines();
    let before = tally.failed;
    while let Some(line) = lines.next_line().await? {
        match line.strip_prefix("test result: ") {
            Some(result) => {
                tally.passed += count(result, "passed");
                tally.failed += count(result, "failed");
            }
            None if line.contains("FAILED") || line.contains("panicked") => ui::print(&line),
            None => {}
        }
    }
    if !child.wait().await?.success() && tally.failed == before {
        ui::print("FAILED  unit tests do not compile");
        tally.failed += 1;
    }
    ui::print(&format!(
        "ok      unit tests and generated files: {} passed, {} failed",
        tally.passed, tally.failed
    ));
    Ok(())
}

/// The number before a word in cargo's summary: `ok. 16 passed; 0 failed; ...`.
fn count(summary: &str, word: &str) -> usize {
    let words: Vec<_> = summary.split_whitespace().collect();
    words
        .windows(2)
        .find(|pair| pair[1].trim_end_matches(';') == word)
        .and_then(|pair| pair[0].parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_summary_is_counted() {
        let summary = "ok. 16 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.05s";
        assert_eq!((count(summary, "passed"), count(summary, "failed")), (16, 2));
    }
}
