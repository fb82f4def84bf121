//! Asks the meters of development slots, no more often than need be.
//!
//! When which is to be asked is known in memory alone: after a restart each is asked once at once.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use plexica_crds::period::Period;
use reqwest::{Client, header::CONNECTION};

use super::super::super::build::meter::Image;
use crate::{
    backends::{BackendError, http},
    red::{Activity, Look},
};

/// Longest wait for an answer of a meter.
const TIMEOUT: Duration = Duration::from_secs(2);
/// When a list is looked at again that lacks the pod.
const SOON: SignedDuration = SignedDuration::from_secs(1);
/// When what could not be found out is tried again.
pub const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// Asks meters, and knows when each is to be asked again.
#[derive(Debug)]
pub struct Meters {
    /// What meters are made of.
    pub image: Image,
    client: Client,
    /// By the installation's UID.
    known: Mutex<HashMap<String, Asked>>,
}

/// A RED that runs.
#[derive(Clone, Debug)]
struct Asked {
    /// Before that it cannot have been idle for long enough.
    next: Timestamp,
    /// What was wrong when it was asked last.
    silent: Option<String>,
}

impl Meters {
    /// Nobody was asked yet.
    pub fn new(image: Image) -> Result<Self, BackendError> {
        Ok(Self {
            image,
            client: http::client()?,
            known: Mutex::default(),
        })
    }

    /// What to go by while it is too early to ask.
    pub(super) fn early(&self, installation: &str, now: Timestamp) -> Option<Look> {
        let Asked { next, silent } = self.with(|known| known.get(installation).cloned())?;
        (now < next).then_some(Look::Omitted {
            next: Some(next),
            silent,
        })
    }

    /// Asks the meter of the pod that is ready since then, unless that is too short a time.
    pub(super) async fn ask(
        &self,
        ready: Option<(Timestamp, &Pod)>,
        port: u16,
        idle_after: &Period,
        now: Timestamp,
    ) -> Look {
        let omitted = |next| Look::Omitted { next, silent: None };
        let Some((ready_since, pod)) = ready else {
            // The list is some moments older than its Deployment.
            return omitted(now.checked_add(SOON).ok());
        };
        let idle_after = SignedDuration::try_from(idle_after.value()).unwrap_or(SignedDuration::MAX);
        let earliest = ready_since.checked_add(idle_after).unwrap_or(Timestamp::MAX);
        if now < earliest {
            return omitted(Some(earliest));
        }
        match self.answer(pod, port).await {
            Ok(activity) => Look::Answered { activity, ready_since },
            Err(why) => Look::Silent(why),
        }
    }

    async fn answer(&self, pod: &Pod, port: u16) -> Result<Activity, String> {
        let wrong = |what: String| format!("GET /activity of pod {} {what}", pod.name_any());
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref());
        let address: Option<IpAddr> = address.and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| wrong("cannot be asked: it has no address".into()))?;
        let url = format!("http://{}/activity", SocketAddr::new(address, port));
        let failed = |error: reqwest::Error| {
            if error.is_timeout() {
                return wrong(format!("has no answer within {} s", TIMEOUT.as_secs()));
            }
            wrong(format!("fails: {}", http::chain(&error.without_url())))
        };
        let question = self.client.get(url).header(CONNECTION, "close").timeout(TIMEOUT);
        let answer = question.send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?;
        answer.json().await.map_err(failed)
    }

    /// Remembers when it is to be asked again; `None`: as soon as it is ready.
    pub(super) fn remember(&self, installation: &str, next: Option<Timestamp>, silent: Option<String>) {
        self.with(|known| match next {
            Some(next) => drop(known.insert(installation.to_owned(), Asked { next, silent })),
            None => drop(known.remove(installation)),
        });
    }

    /// There is no RED any more.
    pub fn forget(&self, installation: &str) {
        self.with(|known| known.remove(installation));
    }

    fn with<T>(&self, change: impl FnOnce(&mut HashMap<String, Asked>) -> T) -> T {
        // Each entry is whole at any time.
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
