//! What the fakes of the three ports share: things in memory, and knobs to make them misbehave.
//!
//! They are held to the same [contract](super::contract) as the real adapters.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use plexica_crds::ownership::Owner;
use secrecy::{ExposeSecret, SecretString};

use super::{BackendError, Breaches, Credential, Observed};

/// What a spec tells a fake.
pub trait Described: Clone + Send {
    /// What the thing is found by: the tenant's name, or more.
    type Key: fmt::Display;
    /// How people call the thing: `schema tenant_acme`.
    fn thing(key: &Self::Key) -> String;
    /// The mark.
    fn owner(&self) -> &Owner;
    /// The name.
    fn key(&self) -> &Self::Key;
    /// What differs from the wanted spec, besides mark and name.
    fn differences(&self, wanted: &Self) -> Vec<String>;
}

/// How a fake fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// As if the server were down.
    Unavailable,
    /// As if the operator's account were refused.
    Refused,
    /// As if the answer made no sense.
    Unexpected,
}

/// A call that a fake received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// It was only looked at.
    Observe,
    /// It was made.
    Create,
    /// It was changed.
    Update,
    /// It was shut.
    Revoke,
    /// It was dropped.
    Delete,
    /// Its isolation was tried.
    VerifyIsolation,
}

/// What a look at a thing shows.
pub(super) struct Seen {
    pub(super) differences: Vec<String>,
    pub(super) credential_id: Option<String>,
}

#[derive(Clone)]
struct Own<S> {
    spec: S,
    credential: Option<Credential>,
    revoked: bool,
    tampering: Vec<String>,
}

#[derive(Clone)]
enum Thing<S> {
    Foreign,
    Own(Own<S>),
}

struct State<S> {
    things: BTreeMap<String, Thing<S>>,
    calls: Vec<(Call, String)>,
    trouble: Option<Trouble>,
    delay: Duration,
    breaches: Breaches,
}

/// A backend in memory. `S` is the port's spec.
pub struct Fake<S>(Mutex<State<S>>);

impl<S> Default for Fake<S> {
    fn default() -> Self {
        Self(Mutex::new(State {
            things: BTreeMap::new(),
            calls: Vec::new(),
            trouble: None,
            delay: Duration::ZERO,
            breaches: Breaches::new(),
        }))
    }
}

impl<S: Described> Fake<S> {
    /// Makes every call fail like this, or work again.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.state().trouble = trouble;
    }

    /// Makes every call take this long before it has its effect.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Makes every isolation test find these breaches.
    pub fn set_breaches(&self, breaches: Breaches) {
        self.state().breaches = breaches;
    }

    /// Puts something that is not ours under a name.
    pub fn put_foreign(&self, key: &S::Key) {
        self.state().things.insert(key.to_string(), Thing::Foreign);
    }

    /// Changes a tenant's thing behind the operator's back; the next update sets it right.
    pub fn tamper(&self, key: &S::Key, difference: &str) {
        if let Some(Thing::Own(own)) = self.state().things.get_mut(&key.to_string()) {
            own.tampering.push(difference.to_owned());
        }
    }

    /// Takes a tenant's thing away behind the operator's back.
    pub fn lose(&self, key: &S::Key) {
        self.state().things.remove(&key.to_string());
    }

    /// Whether a tenant has anything here.
    pub fn holds(&self, key: &S::Key) -> bool {
        self.state().things.contains_key(&key.to_string())
    }

    /// Whether a tenant's thing is there and shut.
    pub fn is_revoked(&self, key: &S::Key) -> bool {
        matches!(self.state().things.get(&key.to_string()), Some(Thing::Own(own)) if own.revoked)
    }

    /// The calls so far, with the tenant's name.
    pub fn calls(&self) -> Vec<(Call, String)> {
        self.state().calls.clone()
    }

    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(&self, call: Call, key: &S::Key) -> Result<(), BackendError> {
        let (trouble, delay) = {
            let mut state = self.state();
            state.calls.push((call, key.to_string()));
            (state.trouble, state.delay)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match trouble {
            None => Ok(()),
            Some(Trouble::Unavailable) => Err(BackendError::Unavailable("the fake is not available".to_owned())),
            Some(Trouble::Refused) => Err(BackendError::Refused("the fake refuses the operator".to_owned())),
            Some(Trouble::Unexpected) => Err(BackendError::Unexpected("the fake makes no sense".to_owned())),
        }
    }

    /// What is there.
    pub(super) async fn look(&self, spec: &S) -> Result<Observed<Seen>, BackendError> {
        self.enter(Call::Observe, spec.key()).await?;
        Ok(match self.state().things.get(&spec.key().to_string()) {
            None => Observed::Absent,
            Some(Thing::Own(own)) if own.spec.owner() == spec.owner() => {
                let mut differences = own.spec.differences(spec);
                differences.extend(own.tampering.iter().cloned());
                if own.revoked {
                    differences.push("revoked".to_owned());
                }
                let credential_id = own.credential.as_ref().map(|credential| credential.id.clone());
                Observed::Present(Seen {
                    differences,
                    credential_id,
                })
            }
            Some(Thing::Own(_) | Thing::Foreign) => Observed::Foreign(S::thing(spec.key())),
        })
    }

    /// Makes it, or brings it to the spec.
    pub(super) async fn bring(
        &self,
        call: Call,
        spec: &S,
        credential: Option<&Credential>,
    ) -> Result<(), BackendError> {
        self.enter(call, spec.key()).await?;
        let mut state = self.state();
        let kept = match state.things.get(&spec.key().to_string()) {
            None => None,
            Some(Thing::Own(own)) if own.spec.owner() == spec.owner() => own.credential.clone(),
            Some(Thing::Own(_) | Thing::Foreign) => return Err(BackendError::Foreign(S::thing(spec.key()))),
        };
        let own = Own {
            spec: spec.clone(),
            credential: credential.cloned().or(kept),
            revoked: false,
            tampering: Vec::new(),
        };
        state.things.insert(spec.key().to_string(), Thing::Own(own));
        Ok(())
    }

    /// Shuts it, if it is the owner's.
    pub(super) async fn shut(&self, owner: &Owner, key: &S::Key) -> Result<(), BackendError> {
        self.enter(Call::Revoke, key).await?;
        if let Some(Thing::Own(own)) = self.state().things.get_mut(&key.to_string())
            && own.spec.owner() == owner
        {
            own.revoked = true;
        }
        Ok(())
    }

    /// Drops it, if it is the owner's.
    pub(super) async fn remove(&self, owner: &Owner, key: &S::Key) -> Result<(), BackendError> {
        self.enter(Call::Delete, key).await?;
        let mut state = self.state();
        if matches!(state.things.get(&key.to_string()), Some(Thing::Own(own)) if own.spec.owner() == owner) {
            state.things.remove(&key.to_string());
        }
        Ok(())
    }

    /// Whether this secret opens it, and the breaches that were set. `None`: this kind of thing has no secret.
    pub(super) async fn open(&self, key: &S::Key, secret: Option<&SecretString>) -> Result<Breaches, BackendError> {
        self.enter(Call::VerifyIsolation, key).await?;
        let state = self.state();
        Ok(if state.opens(&key.to_string(), secret) {
            state.breaches.clone()
        } else {
            vec!["cannot log in".to_owned()]
        })
    }

    /// Whether this secret opens it.
    pub(super) async fn is_opened_by(&self, key: &S::Key, secret: &SecretString) -> Result<bool, BackendError> {
        self.enter(Call::Observe, key).await?;
        Ok(self.state().opens(&key.to_string(), Some(secret)))
    }
}

impl<S> State<S> {
    fn opens(&self, key: &str, secret: Option<&SecretString>) -> bool {
        match self.things.get(key) {
            Some(Thing::Own(own)) if !own.revoked => secret.is_none_or(|secret| {
                let known = own
                    .credential
                    .as_ref()
                    .map(|credential| credential.secret.expose_secret());
                known == Some(secret.expose_secret())
            }),
            _ => false,
        }
    }
}
