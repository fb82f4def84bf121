//! How long the former slot is still asked after a switch.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::{Duration, Instant};

use super::Kind;
use crate::bench::stats::Sample;

/// Switches that were expected, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Switches(Vec<Switch>);

/// From one slot to the other.
#[derive(Clone, Debug)]
struct Switch {
    to: String,
    /// When it gave its first answer on a connection that was made for it.
    first: Option<Instant>,
    /// For how long after that the other one was asked, and answered.
    asked_for: BTreeMap<Kind, Duration>,
}

impl Switches {
    pub(super) fn expect(&mut self, slot: &str) {
        self.0.push(Switch {
            to: slot.to_owned(),
            first: None,
            asked_for: BTreeMap::new(),
        });
    }

    /// Somebody was asked at one time, and answered at another.
    pub(super) fn answered(&mut self, kind: Kind, slot: &str, [asked, answered]: [Instant; 2]) {
        let Some(switch) = self.0.last_mut() else { return };
        match switch.first {
            None if slot == switch.to && kind == Kind::NewConnections => switch.first = Some(answered),
            Some(first) if slot != switch.to && asked > first => {
                switch.asked_for.insert(kind, asked.duration_since(first));
            }
            _ => {}
        }
    }

    /// Of a kind: zero where no request came after the first answer of the new slot.
    fn of(&self, kind: Kind) -> Sample {
        let mut sample = Sample::default();
        for switch in self.0.iter().filter(|switch| switch.first.is_some()) {
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
            "{:<16}{:>9}{:>8}{:>13}  last request to the former slot after the first answer of the new one",
            format!("{count} switches"),
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
    fn only_what_was_asked_after_the_new_slot_answered_counts_until_the_next_switch() {
        let mut switches = Switches::default();
        let start = Instant::now();
        let at = |milliseconds: u64| start + Duration::from_millis(milliseconds);
        switches.answered(Kind::Kept, "a", [at(0), at(1)]);
        switches.expect("b");
        switches.answered(Kind::Kept, "a", [at(2), at(3)]);
        switches.answered(Kind::Kept, "b", [at(4), at(5)]);
        switches.answered(Kind::NewConnections, "b", [at(8), at(10)]);
        // On its way when the switch came.
        switches.answered(Kind::Slow, "a", [at(9), at(500)]);
        switches.answered(Kind::Kept, "a", [at(30), at(31)]);
        switches.answered(Kind::Kept, "a", [at(50), at(51)]);
        switches.expect("a");
        switches.answered(Kind::Kept, "a", [at(70), at(71)]);
        let times = |kind| switches.of(kind).percentile(100);
        assert_eq!(times(Kind::Kept), Duration::from_millis(40));
        assert_eq!(times(Kind::NewConnections), Duration::ZERO);
        assert_eq!(times(Kind::Slow), Duration::ZERO);
    }
}
