//! What a load has seen.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use tokio::task::JoinError;

use super::Kind;
use super::exchange::Answer;
use super::switches::Switches;

/// Failures of a kind whose texts are kept.
const FAILURES_KEPT: usize = 20;

/// What a load has seen, by the kind of client.
#[derive(Clone, Debug)]
pub struct Report {
    began: Instant,
    took: Duration,
    tallies: BTreeMap<Kind, Tally>,
    switches: Switches,
    /// Clients that ended by themselves, which is a defect of theirs.
    broken: Vec<String>,
}

/// What the clients of one kind have seen.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests and messages that were answered or lost.
    pub requests: u64,
    /// How many of them were lost, or answered wrongly.
    pub failed: u64,
    /// The first of these.
    pub failures: Vec<Failure>,
    /// Connections that were made for what was answered.
    pub connections: u64,
    /// What each version has answered.
    pub versions: BTreeMap<String, Answers>,
}

/// A request that was not answered, or not as it must be.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it was noticed.
    pub at: Instant,
    /// Why.
    pub text: String,
}

/// The answers of one version.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    /// How many.
    pub count: u64,
    /// When the first came.
    pub first: Instant,
    /// When the last came.
    pub last: Instant,
}

impl Report {
    /// Requests and messages of all kinds that were answered or lost.
    pub fn requests(&self) -> u64 {
        self.tallies.values().map(|tally| tally.requests).sum()
    }

    /// How many of them were lost, or answered wrongly; and clients that broke.
    pub fn failed(&self) -> u64 {
        let broken = u64::try_from(self.broken.len()).unwrap_or(u64::MAX);
        self.tallies.values().map(|tally| tally.failed).sum::<u64>() + broken
    }

    /// What the clients of this kind have seen; nothing if there were none.
    pub fn of(&self, kind: Kind) -> Option<&Tally> {
        self.tallies.get(&kind)
    }

    /// When this version last answered a client of this kind.
    pub fn last_answer_of(&self, version: &str, kind: Kind) -> Option<Instant> {
        Some(self.of(kind)?.versions.get(version)?.last)
    }

    /// When this version first answered a client of this kind.
    pub fn first_answer_of(&self, version: &str, kind: Kind) -> Option<Instant> {
        Some(self.of(kind)?.versions.get(version)?.first)
    }
}

/// A line for each kind, with the time in which each version answered; then how long former slots were asked; then the
/// failures, with their times.
impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            began,
            took,
            tallies,
            switches,
            broken,
        } = self;
        let after = |at: Instant| format!("{:.2} s", at.duration_since(*began).as_secs_f64());
        writeln!(
            out,
            "{:<16}{:>9}{:>8}{:>13}  answered by",
            format!("in {:.1} s", took.as_secs_f64()),
            "requests",
            "failed",
            "connections"
        )?;
        for (kind, tally) in tallies {
            let Tally {
                requests,
                failed,
                failures: _,
                connections,
                versions,
            } = tally;
            let versions: Vec<_> = versions
                .iter()
                .map(|(version, answers)| {
                    let Answers { count, first, last } = answers;
                    format!("{version}: {count} ({} to {})", after(*first), after(*last))
                })
                .collect();
            let kind: &str = kind.into();
            writeln!(
                out,
                "{kind:<16}{requests:>9}{failed:>8}{connections:>13}  {}",
                versions.join(", ")
            )?;
        }
        write!(out, "{switches}")?;
        for (kind, tally) in tallies {
            for Failure { at, text } in &tally.failures {
                writeln!(out, "FAILED  {kind} after {}: {text}", after(*at))?;
            }
        }
        broken.iter().try_for_each(|text| writeln!(out, "BROKEN  {text}"))
    }
}

/// What all clients write to.
#[derive(Clone, Debug)]
pub(super) struct Recorder(Arc<Mutex<Report>>);

impl Default for Recorder {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Report {
            began: Instant::now(),
            took: Duration::ZERO,
            tallies: BTreeMap::new(),
            switches: Switches::default(),
            broken: Vec::new(),
        })))
    }
}

impl Recorder {
    /// Counts a request that was begun then.
    pub(super) fn record(&self, kind: Kind, began: Instant, asked: Result<Answer>) {
        let now = Instant::now();
        self.with(|report| {
            if let Ok(answer) = &asked {
                report.switches.answered(kind, &answer.slot, began);
            }
            report.tallies.entry(kind).or_default().count(now, asked);
        });
    }

    /// Notes something of a switch.
    pub(super) fn switches(&self, note: impl FnOnce(&mut Switches)) {
        self.with(|report| note(&mut report.switches));
    }

    /// Notes a client that ended by itself.
    pub(super) fn broke(&self, error: &JoinError) {
        self.with(|report| report.broken.push(error.to_string()));
    }

    /// What has been seen until now.
    pub(super) fn report(&self) -> Report {
        self.with(|report| {
            report.took = report.began.elapsed();
            report.clone()
        })
    }

    fn with<T>(&self, change: impl FnOnce(&mut Report) -> T) -> T {
        // A client that panicked is told by `broke`; what it counted still counts.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tally {
    fn count(&mut self, at: Instant, asked: Result<Answer>) {
        self.requests += 1;
        match asked {
            Ok(Answer {
                version,
                slot: _,
                connections,
            }) => {
                self.connections += connections;
                let answers = self.versions.entry(version).or_insert(Answers {
                    count: 0,
                    first: at,
                    last: at,
                });
                answers.count += 1;
                answers.last = at;
            }
            Err(error) => self.fail(at, &error),
        }
    }

    fn fail(&mut self, at: Instant, error: &Error) {
        self.failed += 1;
        if self.failures.len() < FAILURES_KEPT {
            let text = format!("{error:#}");
            self.failures.push(Failure { at, text });
        }
    }
}
