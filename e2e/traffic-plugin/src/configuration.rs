//! How the plugin is to break: its configuration, as the manifest's schema admits it (`e2e/src/traffic.rs`).

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep};

/// Lifetime of a process with [`Fault::CrashLoop`].
const CRASH_LOOP: Duration = Duration::from_secs(1);

/// The configuration.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Configuration {
    /// What is wrong.
    #[serde(default)]
    pub fault: Fault,
    /// When [`Fault::NotReadyAfterSeconds`] begins, in seconds after the start.
    #[serde(default)]
    pub not_ready_after_seconds: u64,
    /// When a process that works otherwise ends with an error, in seconds after its start; never if absent.
    pub crash_after_seconds: Option<u64>,
}

/// What is wrong with a process.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It answers, and is never ready.
    NeverReady,
    /// It ends with an error a second after its start, and answers nothing until then.
    CrashLoop,
    /// It is ready at first.
    NotReadyAfterSeconds,
}

impl Configuration {
    /// Whether a process that began then is ready.
    pub fn is_ready(&self, began: Instant) -> bool {
        match self.fault {
            Fault::None => true,
            Fault::NeverReady | Fault::CrashLoop => false,
            Fault::NotReadyAfterSeconds => began.elapsed() < Duration::from_secs(self.not_ready_after_seconds),
        }
    }

    /// Ends when a process that begins now is to crash.
    pub async fn crash(&self) {
        let lifetime = match self.fault {
            Fault::CrashLoop => Some(CRASH_LOOP),
            Fault::None | Fault::NeverReady | Fault::NotReadyAfterSeconds => {
                self.crash_after_seconds.map(Duration::from_secs)
            }
        };
        match lifetime {
            Some(lifetime) => sleep(lifetime).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(configuration: Value) -> Configuration {
        serde_json::from_value(configuration).unwrap()
    }

    #[test]
    fn without_a_word_nothing_is_wrong() {
        assert_eq!(read(json!({})), Configuration::default());
    }

    #[tokio::test(start_paused = true)]
    async fn readiness_ends_when_it_is_told_to() {
        let began = Instant::now();
        let limited = read(json!({ "fault": "not-ready-after-seconds", "notReadyAfterSeconds": 5 }));
        assert!(limited.is_ready(began) && read(json!({ "fault": "none" })).is_ready(began));
        assert!(!read(json!({ "fault": "never-ready" })).is_ready(began));
        sleep(Duration::from_secs(5)).await;
        assert!(!limited.is_ready(began));
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_comes_in_its_time_and_otherwise_never() {
        for (configuration, seconds) in [
            (json!({ "fault": "crash-loop" }), 1),
            (json!({ "crashAfterSeconds": 7 }), 7),
        ] {
            let began = Instant::now();
            read(configuration).crash().await;
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
        let never = tokio::time::timeout(Duration::from_hours(1), read(json!({ "fault": "none" })).crash()).await;
        assert!(never.is_err());
    }
}
