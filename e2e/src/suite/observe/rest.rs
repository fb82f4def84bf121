//! Whether the operator is at rest: by its writes to Kubernetes.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::{Mark, audit};
use crate::suite::env::Env;

/// So long nothing may be written: events come a moment after what they tell of.
const QUIET: Duration = Duration::from_secs(10);

/// Waits until the operator has written nothing for a while.
pub async fn wait_until_quiet(env: &Env, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        let mark = Mark::at_end(&env.stack.audit_log())?;
        sleep(QUIET).await;
        let written = writes(&mark.lines_since()?)?;
        match written.first() {
            None => return Ok(()),
            Some(first) if Instant::now() > deadline => bail!("the operator does not come to rest: {first}"),
            Some(_) => {}
        }
    }
}

/// Mutating requests of the operator, but for its lease.
pub fn writes(audit: &[String]) -> Result<Vec<String>> {
    let own = audit::parsed(audit, audit::OPERATOR)?
        .into_iter()
        .filter(audit::is_own_write);
    Ok(own
        .map(|request| format!("{} {} {}", request.verb, request.uri, request.code()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_writes_of_the_operator_count() {
        let event = |verb: &str, user: &str, resource: &str| {
            json!({ "verb": verb, "user": { "username": user }, "requestURI": "/x", "objectRef": { "resource": resource },
                "requestReceivedTimestamp": "2026-11-21T10:41:08.001541Z" })
            .to_string()
        };
        let log = [
            event("patch", audit::OPERATOR, "tenants"),
            event("patch", audit::OPERATOR, "leases"),
            event("watch", audit::OPERATOR, "tenants"),
            event("patch", "system:admin", "tenants"),
        ];
        assert_eq!(writes(&log).unwrap(), ["patch /x 0"]);
    }
}
