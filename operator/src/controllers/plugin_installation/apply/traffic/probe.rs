//! The question that a candidate has to answer beside being ready: `spec.promotion.probe`.
//!
//! Each of its ready pods is asked by the operator, every interval, beside passes: a pass begins a question that is due and does
//! not wait for it; it goes by the last answer, and the next answer that says something else causes a pass. Since when all pods
//! have answered without a break is known in memory alone: after a restart it is now, so that a candidate is never taken for one
//! that answered while nobody asked it. The clock of its soak begins anew then, and that of its deadline.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, channel::mpsc, future::join_all};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use plexica_crds::{
    PluginInstallation,
    plugin_installation::{LONGEST_PROBE, ProbeSpec, Step},
};
use reqwest::{Client, header::CONNECTION};
use tracing::Instrument;

use crate::{
    backends::{BackendError, http},
    promotion::{Deployed, Transition},
    runtime::controller::{Root, Triggers},
};

/// Asks candidates, and knows what they have answered.
#[derive(Clone, Debug)]
pub struct Probes {
    client: Client,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// By the installation's UID.
    of: HashMap<String, Asked>,
    /// Installations whose candidate has answered something else than before.
    answered: Option<mpsc::UnboundedSender<ObjectRef<Root<PluginInstallation>>>>,
}

/// How one candidate is asked.
#[derive(Debug)]
struct Asked {
    /// The transition that it is on its way by.
    transition: String,
    /// Since when passes look at it without a break.
    since: Timestamp,
    /// When one did last.
    looked_at: Timestamp,
    /// When the last question was.
    last: Option<Timestamp>,
    is_under_way: bool,
    /// A pass does nothing before the answer is there.
    is_awaited: bool,
    answer: Option<Answer>,
}

/// What was answered last.
#[derive(Clone, Debug)]
struct Answer {
    /// When it was asked.
    asked_at: Timestamp,
    /// Since when it answers, or what was wrong.
    said: Result<Timestamp, String>,
}

/// A candidate that is to be asked.
pub struct Candidate<'a> {
    /// Whose candidate it is.
    pub installation: &'a PluginInstallation,
    /// The transition that it is on its way by.
    pub transition: &'a Transition,
    /// Since when its pods are ready.
    pub ready_since: Option<Timestamp>,
    /// Those of them that are to be asked.
    pub pods: Vec<&'a Pod>,
    /// Where they listen.
    pub port: u16,
    /// What they are asked.
    pub probe: &'a ProbeSpec,
}

/// What is known of a candidate's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Since when the operator asks without a break of its own.
    pub asked_since: Timestamp,
    /// Since when the candidate answers, or what is wrong; `None` before the first answer.
    pub said: Option<Result<Timestamp, String>>,
    /// It would have soaked by now, and a question is under way: it counts as ready since then until that is answered.
    pub held: Option<Timestamp>,
}

impl Probes {
    /// Nobody was asked yet.
    pub fn new() -> Result<Self, BackendError> {
        Ok(Self {
            client: http::client()?,
            known: Arc::default(),
        })
    }

    /// Installations that are to be looked at, since their candidate has answered something else than before.
    pub fn answered(&self) -> Triggers<PluginInstallation> {
        let (sender, receiver) = mpsc::unbounded();
        self.lock().answered = Some(sender);
        receiver.map(Ok).boxed()
    }

    /// What the candidate has answered. It is asked again unless it was a moment ago, or is being asked.
    pub fn ask(&self, candidate: &Candidate<'_>, now: Timestamp) -> Heard {
        let Candidate { transition, probe, .. } = candidate;
        let mut known = self.lock();
        let uid = candidate.installation.uid().unwrap_or_default();
        let asked = known.of.entry(uid).or_insert_with(|| Asked::of(transition));
        if asked.transition != transition.id {
            *asked = Asked::of(transition);
        }
        if !is_unbroken(asked.looked_at, probe, now) {
            (asked.since, asked.answer) = (now, None);
        }
        asked.looked_at = now;
        let is_due = asked.last.is_none_or(|before| is_due(before, probe, now));
        if is_due && !asked.is_under_way && !candidate.pods.is_empty() {
            (asked.last, asked.is_under_way) = (Some(now), true);
            self.ask_beside(candidate, now);
        }
        let answer = asked.answer.as_ref();
        let said = answer.filter(|answer| is_unbroken(answer.asked_at, probe, now));
        let said = said.map(|answer| answer.said.clone());
        let soak = candidate.installation.spec.promotion.promotion_delay.value();
        let has_soaked = || {
            let since = candidate.ready_since?.max(said.as_ref()?.as_ref().ok().copied()?);
            Some(since.checked_add(soak).ok()? <= now)
        };
        asked.is_awaited =
            asked.is_under_way && transition.step < Step::AwaitingPromotion && has_soaked() == Some(true);
        let almost = now
            .checked_sub(soak)
            .and_then(|then| then.checked_add(SignedDuration::from_secs(1)));
        Heard {
            asked_since: asked.since,
            said,
            held: almost.ok().filter(|_| asked.is_awaited),
        }
    }

    /// The installation has no candidate any more.
    pub fn forget(&self, installation: &str) {
        self.lock().of.remove(installation);
    }

    fn ask_beside(&self, candidate: &Candidate<'_>, now: Timestamp) {
        let (all, installation) = (self.clone(), candidate.installation);
        let (transition, probe) = (candidate.transition.id.clone(), candidate.probe.clone());
        let pods = candidate.pods.iter();
        let pods: Vec<_> = pods.map(|pod| (pod.name_any(), address(pod, candidate.port))).collect();
        let uid = installation.uid().unwrap_or_default();
        let of = ObjectRef::new(&installation.name_any()).within(&installation.namespace().unwrap_or_default());
        let ask = async move {
            let answer = tokio::spawn(answer(all.client.clone(), pods, probe.clone())).await;
            let answer =
                answer.unwrap_or_else(|_| Err("asking its probe panicked; look at the operator's log".to_owned()));
            all.hear(&uid, &transition, (now, answer), &probe, of);
        };
        tokio::spawn(ask.in_current_span());
    }

    /// A question is answered.
    fn hear(
        &self,
        uid: &str,
        transition: &str,
        (asked_at, answer): (Timestamp, Result<(), String>),
        probe: &ProbeSpec,
        of: ObjectRef<Root<PluginInstallation>>,
    ) {
        let mut known = self.lock();
        // Perhaps it has arrived, or made way.
        let Some(asked) = known.of.get_mut(uid).filter(|asked| asked.transition == transition) else {
            return;
        };
        asked.is_under_way = false;
        let before = asked.answer.take();
        let said = answer.map(|()| since(before.as_ref(), probe, asked_at));
        let is_news = before.is_none_or(|before| before.said != said) || asked.is_awaited;
        asked.answer = Some(Answer { asked_at, said });
        if let Some(answered) = known.answered.as_ref().filter(|_| is_news) {
            // Nobody listens when the operator ends.
            let _ = answered.unbounded_send(of);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Each entry is whole at any time.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// Nobody was asked yet. That is no break if it has only just been begun.
    fn of(transition: &Transition) -> Self {
        Self {
            transition: transition.id.clone(),
            since: transition.started_at,
            looked_at: transition.started_at,
            last: None,
            is_under_way: false,
            is_awaited: false,
            answer: None,
        }
    }
}

/// Whether it is time to ask again. Time that goes back counts as time that has passed.
fn is_due(before: Timestamp, probe: &ProbeSpec, now: Timestamp) -> bool {
    let passed = now.duration_since(before);
    passed.is_negative() || passed.unsigned_abs() >= probe.interval.value()
}

/// Whether nothing was missed since: it is not much longer ago than an interval.
fn is_unbroken(before: Timestamp, probe: &ProbeSpec, now: Timestamp) -> bool {
    let longest = probe.interval.value() * 2 + timeout(probe);
    let passed = now.duration_since(before);
    !passed.is_negative() && passed.unsigned_abs() <= longest
}

/// Since when it has answered without a break, if it answers now.
fn since(before: Option<&Answer>, probe: &ProbeSpec, now: Timestamp) -> Timestamp {
    before
        .filter(|before| is_unbroken(before.asked_at, probe, now))
        .and_then(|before| before.said.as_ref().ok().copied())
        .unwrap_or(now)
}

/// How long an answer may take. What was stored before there was a maximum may say more.
fn timeout(probe: &ProbeSpec) -> Duration {
    probe.timeout.value().min(LONGEST_PROBE)
}

/// Asks all pods at once; all have to answer.
async fn answer(client: Client, pods: Vec<(String, Option<SocketAddr>)>, probe: ProbeSpec) -> Result<(), String> {
    let (timeout, path, client) = (timeout(&probe), &probe.path, &client);
    let asked = pods.iter().map(async |(name, address)| {
        let wrong = |what: String| format!("GET {path} of pod {name} {what}");
        let address = address.ok_or_else(|| wrong("cannot be asked: it has no address".into()))?;
        // As a kubelet does: over a connection of its own.
        let question = client
            .get(format!("http://{address}{path}"))
            .header(CONNECTION, "close");
        let answer = question.timeout(timeout).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(wrong(format!("answers {}", answer.status()))),
            Err(error) if error.is_timeout() => Err(wrong(format!("has no answer within {} s", timeout.as_secs_f64()))),
            Err(error) => Err(wrong(format!("fails: {}", http::chain(&error.without_url())))),
        }
    });
    join_all(asked).await.into_iter().collect()
}

fn address(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// What the answers make of a candidate: one that does not answer is not ready for long enough, whatever its pods say.
pub fn judge(deployed: &mut Deployed, heard: Heard) {
    let Heard {
        asked_since,
        said,
        held,
    } = heard;
    deployed.asked_since = Some(asked_since);
    let Some(ready) = deployed.ready_since.take() else {
        return;
    };
    match said {
        Some(Ok(since)) => deployed.ready_since = [Some(ready), Some(since), held].into_iter().flatten().max(),
        Some(Err(wrong)) => {
            deployed.is_unanswered = true;
            deployed.trouble.get_or_insert(wrong);
        }
        None => {
            deployed
                .trouble
                .get_or_insert_with(|| "its probe is not answered yet".to_owned());
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
