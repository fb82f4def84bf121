//! The question that a candidate has to answer beside being ready: `spec.promotion.probe`.
//!
//! Each of its ready pods is asked by the operator, every interval. Since when all of them have answered without a break is
//! known in memory alone: after a restart it is now, so that a candidate is never taken for one that answered while nobody
//! asked it. The clock of its soak begins anew then.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
};

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plexica_crds::plugin_installation::ProbeSpec;
use reqwest::{Client, header::CONNECTION};

use crate::{
    backends::{BackendError, http},
    promotion::Deployed,
};

/// Asks candidates, and knows what they have answered.
#[derive(Debug)]
pub struct Probes {
    client: Client,
    /// By the installation's UID.
    asked: Mutex<HashMap<String, Asked>>,
}

/// How one candidate was asked last.
#[derive(Clone, Debug)]
struct Asked {
    /// The transition that it is on its way by.
    transition: String,
    at: Timestamp,
    /// Since when it answers, or what was wrong.
    answers: Result<Timestamp, String>,
}

/// A candidate that is to be asked.
pub struct Candidate<'a> {
    /// Whose candidate it is: the installation's UID.
    pub installation: &'a str,
    /// The transition that it is on its way by.
    pub transition: &'a str,
    /// Its pods that are ready.
    pub pods: Vec<&'a Pod>,
    /// Where they listen.
    pub port: u16,
    /// What they are asked.
    pub probe: &'a ProbeSpec,
}

impl Probes {
    /// Nobody was asked yet.
    pub fn new() -> Result<Self, BackendError> {
        Ok(Self {
            client: http::client()?,
            asked: Mutex::default(),
        })
    }

    /// Since when the candidate answers, or what is wrong. It is asked unless it was a moment ago.
    pub async fn ask(&self, candidate: &Candidate<'_>, now: Timestamp) -> Result<Timestamp, String> {
        let before = self.with(|asked| asked.get(candidate.installation).cloned());
        let before = before.filter(|before| before.transition == candidate.transition);
        if let Some(before) = before.as_ref().filter(|before| !is_due(before, candidate.probe, now)) {
            return before.answers.clone();
        }
        let answers = answer(&self.client, candidate)
            .await
            .map(|()| since(before.as_ref(), candidate.probe, now));
        let asked = Asked {
            transition: candidate.transition.to_owned(),
            at: now,
            answers: answers.clone(),
        };
        self.with(|known| known.insert(candidate.installation.to_owned(), asked));
        answers
    }

    /// The installation has no candidate any more.
    pub fn forget(&self, installation: &str) {
        self.with(|asked| asked.remove(installation));
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<String, Asked>) -> T) -> T {
        // Each entry is whole at any time.
        change(&mut self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether it is time to ask again. Time that goes back counts as time that has passed.
fn is_due(before: &Asked, probe: &ProbeSpec, now: Timestamp) -> bool {
    let passed = now.duration_since(before.at);
    passed.is_negative() || passed.unsigned_abs() >= probe.interval.value()
}

/// Since when it has answered without a break, if it answers now. Where nobody asked for much longer than an interval there
/// was a break.
fn since(before: Option<&Asked>, probe: &ProbeSpec, now: Timestamp) -> Timestamp {
    let longest = probe.interval.value() * 2 + probe.timeout.value();
    let unbroken = before.filter(|before| {
        let passed = now.duration_since(before.at);
        !passed.is_negative() && passed.unsigned_abs() <= longest
    });
    unbroken
        .and_then(|before| before.answers.as_ref().ok().copied())
        .unwrap_or(now)
}

/// Asks all pods at once; all have to answer.
async fn answer(client: &Client, candidate: &Candidate<'_>) -> Result<(), String> {
    let timeout = candidate.probe.timeout.value();
    let asked = candidate.pods.iter().map(|pod| async {
        let (name, path) = (pod.name_any(), &candidate.probe.path);
        let wrong = |what: String| format!("GET {path} of pod {name} {what}");
        let address = address(pod, candidate.port).ok_or_else(|| wrong("cannot be asked: it has no address".into()))?;
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
pub fn judge(deployed: &mut Deployed, answers: Result<Timestamp, String>) {
    match answers {
        Ok(since) => deployed.ready_since = deployed.ready_since.map(|ready| ready.max(since)),
        Err(wrong) => {
            deployed.ready_since = None;
            deployed.is_unanswered = true;
            deployed.trouble.get_or_insert(wrong);
        }
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
