//! The revisions of all installations: kept in the cluster, each an immutable ControllerRevision, and remembered here.

use std::{
    collections::HashMap,
    sync::Arc,
    sync::{Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::api::apps::v1::{ControllerRevision, Deployment};
use plexica_crds::{names::Slot, plugin_installation::conditions::Outcome};

use super::{
    Context, build,
    build::LABEL_REVISION,
    model::{Frozen, HASH_LEN, Member, Place, RunningSet},
    objects::{make, owned, tidy},
    providers::providers,
    validate::Facts,
};
use crate::{
    promotion::Revision,
    runtime::{age::Age, apply::Applied},
};

/// Namespace and plugin.
type Key = (String, String);

/// What is remembered of an installation.
#[derive(Default)]
struct Remembered {
    /// Revisions as JSON, by hash. Thousands are remembered and few are asked for at a time.
    revisions: HashMap<String, Box<[u8]>>,
    /// A revision that was read, and not asked for by whoever is to make it.
    read: Option<String>,
    /// What was in use when all else was removed last; `None` if something was made since.
    tidied: Option<u64>,
}

/// The revisions that were read or written. They never change, so that what is remembered is as it is in the cluster.
#[derive(Default)]
pub struct Revisions(Mutex<HashMap<Key, Remembered>>);

impl Revisions {
    /// A revision as it is kept; `None` if it is not kept any more, or never was: an earlier operator kept none.
    pub async fn get(&self, place: &Place, revision: &Revision, ctx: &Context) -> Result<Option<Arc<Frozen>>, Outcome> {
        let hash = revision.config_hash.as_str();
        if hash.len() != HASH_LEN {
            return Ok(None);
        }
        if let Some(known) = self.remembered(place, hash) {
            return Ok(Some(Arc::new(known)).filter(|known| known.version == revision.version));
        }
        let name = build::revision_name(&place.id, hash);
        let found = match owned::<ControllerRevision>(place, &name, Age::Any, ctx).await? {
            Some(found) => Some(found),
            None => owned::<ControllerRevision>(place, &name, Age::Newest, ctx).await?,
        };
        let kept = found.and_then(|found| build::kept(&found, hash));
        if let Some(frozen) = &kept {
            self.remember(place, hash, frozen);
            self.lock().entry(key(place)).or_default().read = Some(hash.to_owned());
        }
        Ok(kept.filter(|kept| kept.version == revision.version).map(Arc::new))
    }

    /// Keeps a revision, and says how the traffic light names it.
    pub async fn keep(&self, place: &Place, frozen: &Frozen, ctx: &Context) -> Result<Revision, Outcome> {
        let (revision, object) = build::object(place, frozen);
        let hash = revision.config_hash.as_str();
        let was_read = self
            .lock()
            .get_mut(&key(place))
            .and_then(|remembered| remembered.read.take());
        if was_read.as_deref() != Some(hash) {
            let made = make(&object, ctx).await?;
            self.made(place, made);
            self.remember(place, hash, frozen);
        }
        Ok(revision)
    }

    /// Removes all revisions of an installation but these.
    pub async fn retain(&self, place: &Place, used: &[&Revision], ctx: &Context) -> Result<(), Outcome> {
        let is_used = |hash: &str| used.iter().any(|revision| revision.config_hash == hash);
        let names: Vec<_> = used
            .iter()
            .map(|revision| build::revision_name(&place.id, &revision.config_hash))
            .collect();
        let selector = format!("{}={},{LABEL_REVISION}", build::LABEL_PLUGIN, place.id);
        let stays = |name: &str| names.iter().any(|used| used == name);
        tidy::<ControllerRevision>(place.slug.namespace().as_str(), &selector, stays, ctx).await?;
        if let Some(remembered) = self.lock().get_mut(&key(place)) {
            remembered.revisions.retain(|hash, _| is_used(hash));
        }
        Ok(())
    }

    /// A revision, or a configuration of one, was made: others may be in use no more.
    pub fn made(&self, place: &Place, made: Applied) {
        if made != Applied::Unchanged {
            self.lock().entry(key(place)).or_default().tidied = None;
        }
    }

    /// Whether all that is not in use was removed when this was in use.
    pub fn is_tidied(&self, place: &Place, in_use: u64) -> bool {
        self.lock()
            .get(&key(place))
            .is_some_and(|remembered| remembered.tidied == Some(in_use))
    }

    /// All that is not in use was removed.
    pub fn tidied(&self, place: &Place, in_use: u64) {
        self.lock().entry(key(place)).or_default().tidied = Some(in_use);
    }

    /// The installation is gone.
    pub fn forget(&self, namespace: &str, name: &str) {
        self.lock().remove(&(namespace.to_owned(), name.to_owned()));
    }

    fn remembered(&self, place: &Place, hash: &str) -> Option<Frozen> {
        let all = self.lock();
        serde_json::from_slice(all.get(&key(place))?.revisions.get(hash)?).ok()
    }

    fn remember(&self, place: &Place, hash: &str, frozen: &Frozen) {
        let packed = frozen.to_json().to_string().into_bytes().into_boxed_slice();
        self.lock()
            .entry(key(place))
            .or_default()
            .revisions
            .insert(hash.to_owned(), packed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(place: &Place) -> Key {
    (place.slug.namespace().to_string(), place.id.to_string())
}

/// What is known of these revisions, what is live first. One that is not kept is taken from the Deployment that runs it, and from its
/// release. What one needs is said by its release alone: of objects in the tenant's namespace others may write some.
///
/// # Errors
/// The API server does not answer for the first; the others are unknown then.
pub async fn running_set(facts: &Facts, members: Vec<Revision>, ctx: &Context) -> Result<RunningSet, Outcome> {
    let mut set = vec![];
    for (place, revision) in members.into_iter().enumerate() {
        let frozen = match known(facts, &revision, ctx).await {
            Ok(frozen) => frozen,
            Err(Outcome::Waiting(reason, why)) if place == 0 => return Err(Outcome::Waiting(reason, why)),
            Err(_) => None,
        };
        let release = facts.release(&revision.version);
        set.push(match (frozen, release) {
            (None, _) => Member::Unknown,
            (Some(frozen), None) => Member::WithoutRelease(revision, frozen),
            (Some(frozen), Some(release)) => Member::Known(revision, Arc::new(build::as_released(&frozen, release))),
        });
    }
    Ok(RunningSet::of(set))
}

async fn known(facts: &Facts, revision: &Revision, ctx: &Context) -> Result<Option<Arc<Frozen>>, Outcome> {
    match ctx.revisions.get(&facts.place, revision, ctx).await? {
        Some(frozen) => Ok(Some(frozen)),
        None => Ok(adopted(facts, revision, ctx).await?.map(Arc::new)),
    }
}

async fn adopted(facts: &Facts, revision: &Revision, ctx: &Context) -> Result<Option<Frozen>, Outcome> {
    let Some(plugin) = facts.release(&revision.version) else {
        return Ok(None);
    };
    for slot in [Slot::A, Slot::B] {
        let name = facts.place.id.deployment(slot);
        let deployment: Option<Deployment> = owned(&facts.place, name.as_str(), Age::Newest, ctx).await?;
        if let Some(deployment) = deployment.filter(|deployment| build::revision_of(deployment) == *revision) {
            return Ok(build::adopted(
                &deployment,
                plugin,
                &providers(plugin, &facts.installed),
            ));
        }
    }
    Ok(None)
}
