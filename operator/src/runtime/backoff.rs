//! Exponential back-off per object, with jitter; kube's controller knows none (kube-rs/kube#1916).
//!
//! A failure counts only if the delay of the one before has passed: reconciles that were triggered by
//! something else in between must not push the next try away (kubernetes/kubernetes#132805).

use std::{collections::HashMap, hash::Hash, sync::Mutex, time::Duration};

use jiff::Timestamp;

/// First delay.
pub const FIRST: Duration = Duration::from_secs(1);
/// Greatest delay.
pub const GREATEST: Duration = Duration::from_mins(5);
/// Delays are spread by this share, up and down, so that objects that failed together do not return together.
const JITTER: f64 = 0.2;

/// What is known of an object that fails.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Failure {
    generation: i64,
    attempts: u32,
    due: Timestamp,
}

/// Back-off of all objects of one kind.
#[derive(Debug, Default)]
pub struct Backoff<K> {
    failures: Mutex<HashMap<K, Failure>>,
}

impl<K: Eq + Hash + Clone> Backoff<K> {
    /// Records that the object failed now, and says when to try again. `random` is uniform in 0..1.
    pub fn failed(&self, key: &K, generation: i64, now: Timestamp, random: f64) -> Timestamp {
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = failures
            .get(key)
            .filter(|failure| failure.generation == generation)
            .copied();
        if let Some(failure) = before
            && now < failure.due
        {
            return failure.due;
        }
        let attempts = before.map_or(0, |failure| failure.attempts) + 1;
        let due = now + delay(attempts, random);
        failures.insert(
            key.clone(),
            Failure {
                generation,
                attempts,
                due,
            },
        );
        due
    }

    /// Records that the object succeeded or is gone.
    pub fn forget(&self, key: &K) {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .remove(key);
    }

    /// Objects that wait for another try.
    pub fn len(&self) -> usize {
        self.failures
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .len()
    }

    /// Whether no object waits for another try.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The delay after so many failures in a row (from 1): 1, 2, 4 ... 300 s, spread by the jitter.
pub fn delay(attempts: u32, random: f64) -> Duration {
    let base = FIRST
        .saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
        .min(GREATEST);
    spread(base, random)
}

/// A length of time moved up or down by at most the jitter.
pub fn spread(base: Duration, random: f64) -> Duration {
    base.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn delays_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (1..=11).map(|attempt| delay(attempt, 0.5).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn a_failure_before_its_time_does_not_count() {
        let backoff = Backoff::default();
        let due = backoff.failed(&"acme", 1, at(100), 0.5);
        assert_eq!(backoff.failed(&"acme", 1, at(100), 0.9), due);
        assert_eq!(backoff.failed(&"acme", 1, due, 0.5), due + Duration::from_secs(2));
    }

    #[test]
    fn a_new_spec_and_a_success_begin_anew() {
        let backoff = Backoff::default();
        for second in [0, 10, 20, 40] {
            backoff.failed(&"acme", 1, at(second), 0.5);
        }
        assert_eq!(backoff.failed(&"acme", 2, at(100), 0.5), at(101));
        backoff.forget(&"acme");
        assert!(backoff.is_empty());
    }

    proptest! {
        #[test]
        fn the_delay_stays_within_its_jitter(attempts in 1_u32..100, random in 0.0_f64..1.0) {
            let middle = delay(attempts, 0.5).as_secs_f64();
            let actual = delay(attempts, random).as_secs_f64();
            prop_assert!(actual >= middle * 0.79 && actual <= middle * 1.21);
        }
    }
}
