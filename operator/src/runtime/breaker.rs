//! A circuit breaker per pool: a backend that is down costs its tenants one fast refusal each, not a slot of
//! the controller for the length of a timeout.

use std::{sync::Mutex, time::Duration};

use jiff::Timestamp;

/// Failures in a row that open the circuit.
const THRESHOLD: u32 = 3;
/// How long it stays open before one call may try again.
const COOL_DOWN: Duration = Duration::from_secs(3);

/// What the breaker knows.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    failures: u32,
    /// When the first of these failures was.
    since: Option<Timestamp>,
    /// When a call may try again, while open.
    retry_at: Option<Timestamp>,
}

/// A breaker; shared by all calls to one backend.
#[derive(Debug, Default)]
pub struct Breaker {
    state: Mutex<State>,
}

impl Breaker {
    /// Whether a call may go out now; the error says when the next one may. While open, one call per cool-down
    /// goes out as a probe.
    pub fn admit(&self, now: Timestamp) -> Result<(), Timestamp> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match state.retry_at {
            Some(retry_at) if now < retry_at => Err(retry_at),
            Some(_) => {
                state.retry_at = Some(now + COOL_DOWN);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Since when the backend does not answer; `None` while it does.
    pub fn failing_since(&self) -> Option<Timestamp> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .since
    }

    /// Records how a call ended: `true` if the backend answered, whatever it said.
    pub fn record(&self, answered: bool, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if answered {
            *state = State::default();
        } else {
            state.failures = state.failures.saturating_add(1);
            state.since.get_or_insert(now);
            if state.failures >= THRESHOLD {
                state.retry_at = Some(now + COOL_DOWN);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn three_failures_in_a_row_open_the_circuit_and_one_answer_closes_it() {
        let breaker = Breaker::default();
        for _ in 0..3 {
            assert!(breaker.admit(at(0)).is_ok());
            breaker.record(false, at(0));
        }
        assert_eq!(breaker.admit(at(1)), Err(at(3)));
        assert!(breaker.admit(at(3)).is_ok());
        breaker.record(true, at(3));
        assert!(breaker.admit(at(3)).is_ok());
    }

    #[test]
    fn while_open_one_probe_goes_out_per_cool_down() {
        let breaker = Breaker::default();
        (0..3).for_each(|_| breaker.record(false, at(0)));
        assert!(breaker.admit(at(3)).is_ok());
        assert!(breaker.admit(at(3)).is_err());
    }

    #[test]
    fn an_answer_between_failures_keeps_the_circuit_closed() {
        let breaker = Breaker::default();
        for _ in 0..10 {
            breaker.record(false, at(0));
            breaker.record(true, at(0));
        }
        assert!(breaker.admit(at(0)).is_ok());
    }
}
