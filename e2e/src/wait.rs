//! Waiting for something to become true, with a deadline that is always named.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep};

/// Asks `probe` again and again until it answers Ok; after `limit` the last refusal is the error.
pub async fn until<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match probe().await {
            Ok(value) => return Ok(value),
            Err(refusal) if Instant::now() >= deadline => {
                return Err(refusal).with_context(|| format!("{what}: not within {} s", limit.as_secs()));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
