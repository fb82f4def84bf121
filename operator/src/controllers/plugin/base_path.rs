//! Who has which path below the tenants' hosts: whoever was accepted first keeps it.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::{Resource, ResourceExt};
use plexica_crds::{
    Plugin, condition,
    names::PluginId,
    plugin::{
        conditions::{Outcome, Reason, Type},
        validation::base_path_taken,
    },
};

use crate::runtime::controller::Root;

/// Uids of the releases that got their path since this process began. Of those before, the status tells; but the cache
/// may show it later than the next pass looks.
#[derive(Clone, Debug, Default)]
pub struct BasePaths(Arc<Mutex<HashSet<String>>>);

impl BasePaths {
    /// Gives the release its path, unless another plugin has it. What was accepted keeps it.
    ///
    /// # Errors
    /// The outcome `Blocked`, which names the other plugin and its path.
    pub fn claim(&self, plugin: &Plugin, cached: &[Arc<Root<Plugin>>]) -> Result<(), Outcome> {
        if has_been_accepted(plugin) {
            return Ok(());
        }
        let mut claimed = self.claimed(cached);
        let path = plugin.spec.base_path();
        if let Some((other, other_path)) = holder(plugin, &holders(cached, &claimed)) {
            return Err(Outcome::Blocked(
                Reason::BasePathTaken,
                format!(
                    "spec.api.basePath: `{path}` is in the way of plugin {other}, which has `{other_path}`: publish a version with another path"
                ),
            ));
        }
        claimed.extend(plugin.uid());
        Ok(())
    }

    /// The releases that are refused since another plugin has their path, each with that plugin: `None` if the path is free now.
    pub fn refused(&self, cached: &[Arc<Root<Plugin>>]) -> BTreeMap<String, Option<String>> {
        let decoded = cached.iter().filter_map(|guard| guard.0.as_ref().ok());
        let mut refused = decoded.filter(|plugin| is_refused(plugin)).peekable();
        if refused.peek().is_none() {
            return BTreeMap::new();
        }
        let others = holders(cached, &self.claimed(cached));
        let told = refused.map(|plugin| {
            let other = holder(plugin, &others).map(|(other, _)| other.to_string());
            (plugin.name_any(), other)
        });
        told.collect()
    }

    /// Uids of those that got their path and are there still.
    fn claimed(&self, cached: &[Arc<Root<Plugin>>]) -> MutexGuard<'_, HashSet<String>> {
        let mut claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.retain(|uid| cached.iter().any(|other| other.meta().uid.as_ref() == Some(uid)));
        claimed
    }
}

/// All plugins that have a path.
fn holders<'a>(cached: &'a [Arc<Root<Plugin>>], claimed: &HashSet<String>) -> Vec<(&'a PluginId, String)> {
    let decoded = cached.iter().filter_map(|guard| guard.0.as_ref().ok());
    decoded
        .filter(|other| has_been_accepted(other) || other.uid().is_some_and(|uid| claimed.contains(&uid)))
        .map(|other| (&other.spec.id, other.spec.base_path()))
        .collect()
}

/// The other plugin that has the path of this one, and its own.
fn holder<'a>(plugin: &Plugin, others: &'a [(&'a PluginId, String)]) -> Option<(&'a PluginId, &'a str)> {
    let others = others.iter().map(|(id, path)| (*id, path.as_str()));
    base_path_taken(&plugin.spec.id, &plugin.spec.base_path(), others)
}

fn is_refused(plugin: &Plugin) -> bool {
    let status = plugin.status.as_ref();
    let accepted = status.and_then(|status| condition::find(&status.conditions, Type::Accepted.into()));
    accepted.is_some_and(|accepted| accepted.reason == Reason::BasePathTaken.as_ref())
}

fn has_been_accepted(plugin: &Plugin) -> bool {
    let status = plugin.status.as_ref();
    status.is_some_and(|status| status.accepted_digest.is_some())
}

#[cfg(test)]
mod tests {
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    fn plugin(id: &str, path: &str, accepted: bool) -> Plugin {
        let status = if accepted {
            json!({ "acceptedDigest": "d" })
        } else {
            json!({})
        };
        serde_json::from_value(json!({
            "metadata": { "name": format!("{id}-1.0.0"), "uid": format!("uid-of-{id}") },
            "spec": { "id": id, "version": "1.0.0", "displayName": id, "runtime": { "image": "x" }, "api": { "basePath": path } },
            "status": status,
        }))
        .unwrap()
    }

    fn cached(plugins: &[&Plugin]) -> Vec<Arc<Root<Plugin>>> {
        let guard = |plugin: &&Plugin| Arc::new(DeserializeGuard(Ok((*plugin).clone())));
        plugins.iter().map(guard).collect()
    }

    #[test]
    fn a_path_belongs_to_whoever_was_accepted_first() {
        let (first, second) = (plugin("notes", "/n", true), plugin("news", "/n/old", false));
        let cache = cached(&[&first, &second]);
        let paths = BasePaths::default();
        let Err(Outcome::Blocked(Reason::BasePathTaken, told)) = paths.claim(&second, &cache) else {
            panic!("the path was given twice");
        };
        assert!(told.contains("plugin notes, which has `/n`"), "{told}");
        assert_eq!(paths.claim(&first, &cache), Ok(()));
    }

    #[test]
    fn who_is_refused_a_path_is_otherwise_when_the_holder_goes() {
        let (first, mut second) = (plugin("notes", "/n", true), plugin("news", "/n/old", false));
        let paths = BasePaths::default();
        assert_eq!(
            paths.refused(&cached(&[&first, &second])),
            [].into(),
            "it was not judged yet"
        );
        let status = json!({ "conditions": [{ "type": "Accepted", "status": "False", "reason": "BasePathTaken",
            "message": "", "lastTransitionTime": "2026-12-01T00:00:00Z" }] });
        second.status = serde_json::from_value(status).unwrap();
        let refused = |by: Option<&str>| [("news-1.0.0".to_owned(), by.map(ToOwned::to_owned))].into();
        assert_eq!(paths.refused(&cached(&[&first, &second])), refused(Some("notes")));
        assert_eq!(paths.refused(&cached(&[&second])), refused(None));

        // The holder had its path and was deleted before it was accepted.
        let third = plugin("nota", "/n", false);
        assert_eq!(paths.claim(&third, &cached(&[&third, &second])), Ok(()));
        assert_eq!(paths.refused(&cached(&[&third, &second])), refused(Some("nota")));
        assert_eq!(paths.refused(&cached(&[&second])), refused(None));
    }

    #[test]
    fn of_two_at_once_one_gets_the_path_before_the_cache_shows_it() {
        let (one, other) = (plugin("notes", "/n", false), plugin("news", "/n", false));
        let cache = cached(&[&one, &other]);
        let paths = BasePaths::default();
        assert_eq!(paths.claim(&one, &cache), Ok(()));
        assert!(paths.claim(&other, &cache).is_err());
        // The first was deleted.
        assert_eq!(paths.claim(&other, &cached(&[&other])), Ok(()));
    }
}
