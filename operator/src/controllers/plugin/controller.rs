//! When Plugins are looked at, and what of them is counted.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};
use plexica_crds::{Plugin, PluginInstallation, plugin::State};
use strum::IntoEnumIterator;
use tokio::{sync::watch, time::sleep};

use super::{Context, INSTALLATIONS, KIND, pass, uses::Uses};
use crate::runtime::{
    controller::{Passed, Reconciler, Root, Triggers},
    objects::{Error, Objects},
};

/// How long changes of installations are gathered: a hundred promotions at once are one look.
const GATHERED: Duration = Duration::from_millis(100);

impl Reconciler for Context {
    type Kind = Plugin;
    const KIND: &'static str = KIND;
    const READS: &'static [&'static str] = &[INSTALLATIONS];

    fn phases() -> Vec<&'static str> {
        State::iter().map(Into::into).collect()
    }

    fn phase(plugin: &Plugin) -> Option<&'static str> {
        plugin.status.as_ref()?.state.map(Into::into)
    }

    fn tenant(_: &ObjectMeta) -> Option<&str> {
        None
    }

    fn objects(&self) -> &Objects<Plugin> {
        &self.objects
    }

    fn triggers(&self) -> Vec<Triggers<Plugin>> {
        vec![used_otherwise(
            self.installations.clone(),
            self.installations_changed.clone(),
        )]
    }

    async fn pass(&self, plugin: &Root<Plugin>) -> Result<Passed, Error> {
        pass(plugin, self).await
    }
}

/// Requests for the releases whose users are others than before. What the cache shows is compared, not events: so nothing
/// is missed, whatever happened between two looks.
fn used_otherwise(installations: Store<Root<PluginInstallation>>, changed: watch::Receiver<()>) -> Triggers<Plugin> {
    let before: BTreeMap<String, Uses> = BTreeMap::new();
    stream::unfold((changed, before), move |(mut changed, before)| {
        let installations = installations.clone();
        async move {
            changed.changed().await.ok()?;
            sleep(GATHERED).await;
            changed.mark_unchanged();
            let now = Uses::by_release(&installations.state());
            let requests: Vec<_> = differing(&before, &now)
                .map(|release| Ok(ObjectRef::new(release).into()))
                .collect();
            Some((stream::iter(requests), (changed, now)))
        }
    })
    .flatten()
    .boxed()
}

/// Keys that are in one map only, or have different values.
fn differing<'a, V: PartialEq>(
    before: &'a BTreeMap<String, V>,
    now: &'a BTreeMap<String, V>,
) -> impl Iterator<Item = &'a str> {
    let gone = before.keys().filter(|key| !now.contains_key(*key));
    let changed = now.iter().filter(|(key, value)| before.get(*key) != Some(value));
    gone.chain(changed.map(|(key, _)| key)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_looked_at_when_its_users_come_change_or_go() {
        let map = |entries: &[(&str, i32)]| entries.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        let before = map(&[("left", 1), ("same", 1), ("more", 1)]);
        let now = map(&[("same", 1), ("more", 2), ("new", 1)]);
        assert_eq!(differing(&before, &now).collect::<Vec<_>>(), ["left", "more", "new"]);
    }
}
