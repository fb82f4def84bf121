//! The benchmarks behind `cargo dev bench`.

use anyhow::Result;

use crate::failure::Failure;
use crate::stack::Stack;

/// Runs the benchmark of that name, or all.
pub async fn run(_stack: &Stack, _name: Option<&str>) -> Result<()> {
    Err(Failure::new("there are no benchmarks yet", "write them in e2e/src/bench").into())
}
