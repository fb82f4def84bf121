//! How long the former slot is still asked after a switch.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use super::Kind;
use crate::bench::stats::Sample;

/// Switches that were watched, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Switches(Vec<Switch>);

/// From one slot to the other.
#[derive(Clone, Debug)]
struct Switch {
    to: String,
    /// When the EndpointSlices were seen to name nobody else.
    proven: Instant,
    /// No other switch has begun.
    is_watched: bool,
    /// For how long after the proof the other slot was asked, and answered.
    asked_for: BTreeMap<Kind, Duration>,
}

impl Switches {
    pub(super) fn proven(&mut self, to: &str, proven: Instant) {
        self.0.push(Switch {
            to: to.to_owned(),
            proven,
            is_watched: true,
            asked_for: BTreeMap::new(),
        });
    }

    /// Whatever the other slot answers from now on may be by the next switch.
    pub(super) fn another_begins(&mut self) {
        if let Some(switch) = self.0.last_mut() {
            switch.is_watched = false;
        }
    }

    /// Somebody was asked at this time, and has answered.
    pub(super) fn answered(&mut self, kind: Kind, slot: &str, asked: Instant) {
        let last = self.0.last_mut();
        let Some(switch) = last.filter(|switch| switch.is_watched && switch.to != slot && asked > switch.proven) else {
            return;
        };
        switch.asked_for.insert(kind, asked.duration_since(switch.proven));
    }

    /// Of a kind: zero where no request came after the proof.
    fn of(&self, kind: Kind) -> Sample {
        let mut sample = Sample::default();
        for switch in &self.0 {
            let asked_for = switch.asked_for.get(&kind).copied().unwrap_or_default();
            sample.add(&anyhow::Ok(asked_for));
        }
        sample
    }
}

/// A line for each kind that is asked on connections.
impl Display for Switches {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.of(Kind::NewConnections).count();
        if count == 0 {
            return Ok(());
        }
        writeln!(
            out,
            "{:<16}{:>9}{:>8}{:>13}  last request to the former slot after the proof by EndpointSlices",
            format!("{count} promotions"),
            "p50 ms",
            "p95 ms",
            "most ms"
        )?;
        for kind in [
            Kind::NewConnections,
            Kind::Kept,
            Kind::Http2,
            Kind::WebSocket,
            Kind::Slow,
        ] {
            let sample = self.of(kind);
            let [p50, p95, most] = [50, 95, 100].map(|percent| sample.percentile(percent).as_secs_f64() * 1e3);
            let kind: &str = kind.into();
            writeln!(out, "{kind:<16}{p50:>9.0}{p95:>8.0}{most:>13.0}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_between_the_proof_and_the_next_switch_counts() {
        let mut switches = Switches::default();
        let start = Instant::now();
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        switches.answered(Kind::Kept, "a", at(0));
        switches.proven("b", at(10));
        // On its way when the switch was proven.
        switches.answered(Kind::Slow, "a", at(9));
        switches.answered(Kind::Kept, "b", at(20));
        switches.answered(Kind::Kept, "a", at(30));
        switches.answered(Kind::Kept, "a", at(50));
        switches.another_begins();
        switches.answered(Kind::Kept, "a", at(70));
        let times = |kind| switches.of(kind).percentile(100);
        assert_eq!(times(Kind::Kept), Duration::from_millis(40));
        assert_eq!(times(Kind::Slow), Duration::ZERO);
    }
}
