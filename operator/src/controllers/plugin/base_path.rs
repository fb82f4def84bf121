//! Who has which path below the tenants' hosts: whoever was accepted first keeps it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use kube::{Resource, ResourceExt};
use plexica_crds::{
    Plugin,
    plugin::{
        conditions::{Outcome, Reason},
        validation::base_path_taken,
    },
};

use crate::runtime::controller::Root;

/// Uids of the releases that got their path since this process began. Of those before, the status tells; but the cache
/// may show it later than the next pass looks.
#[derive(Debug, Default)]
pub struct BasePaths(Mutex<HashSet<String>>);

impl BasePaths {
    /// Gives the release its path, unless another plugin has it. What was accepted keeps it.
    ///
    /// # Errors
    /// The outcome `Blocked`, which names the other plugin and its path.
    pub fn claim(&self, plugin: &Plugin, cached: &[Arc<Root<Plugin>>]) -> Result<(), Outcome> {
        if has_been_accepted(plugin) {
            return Ok(());
        }
        let mut claimed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.retain(|uid| cached.iter().any(|other| other.meta().uid.as_ref() == Some(uid)));
        let others: Vec<_> = cached
            .iter()
            .filter_map(|guard| guard.0.as_ref().ok())
            .filter(|other| has_been_accepted(other) || other.uid().is_some_and(|uid| claimed.contains(&uid)))
            .map(|other| (&other.spec.id, other.spec.base_path()))
            .collect();
        let path = plugin.spec.base_path();
        let taken = base_path_taken(
            &plugin.spec.id,
            &path,
            others.iter().map(|(id, path)| (*id, path.as_str())),
        );
        if let Some((other, other_path)) = taken {
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
