//! Which installations use a release. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kube::ResourceExt;
use plexica_crds::{
    PluginInstallation, condition,
    names::PluginId,
    plugin::{
        InstallationCounts,
        conditions::{Outcome, Reason},
    },
    plugin_installation::{SlotStatus, conditions::Type},
};
use semver::Version;

use crate::runtime::controller::Root;

/// Users that a message names.
const NAMED: usize = 10;

/// Who uses a release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Installations that run it or are on their way to it, as namespace/name.
    users: BTreeSet<String>,
    /// How many of them are ready.
    ready: usize,
    /// Installations of the plugin that do not decode: perhaps they use it.
    unreadable: BTreeSet<String>,
}

impl Uses {
    /// Who uses the release of this name.
    pub fn of(release: &str, installations: &[Arc<Root<PluginInstallation>>]) -> Self {
        let id = parse_release(release).map(|(id, _)| id);
        let mut uses = Self::default();
        for guard in installations {
            match &guard.0 {
                Ok(installation) if releases(installation).contains(release) => uses.add(installation),
                Err(_) if id.as_ref().is_some_and(|id| id.as_str() == guard.name_any()) => {
                    uses.unreadable.insert(full_name(&**guard));
                }
                Ok(_) | Err(_) => {}
            }
        }
        uses
    }

    /// Who uses which release, by its name. Installations that do not decode are left out.
    pub fn by_release(installations: &[Arc<Root<PluginInstallation>>]) -> BTreeMap<String, Self> {
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        for installation in installations.iter().filter_map(|guard| guard.0.as_ref().ok()) {
            for release in releases(installation) {
                all.entry(release).or_default().add(installation);
            }
        }
        all
    }

    fn add(&mut self, installation: &PluginInstallation) {
        let status = installation.status.as_ref();
        let ready = status.and_then(|status| condition::find(&status.conditions, Type::Ready.into()));
        self.ready += usize::from(ready.is_some_and(|ready| ready.status == "True"));
        self.users.insert(full_name(installation));
    }

    /// Whether nobody uses it.
    pub fn are_none(&self) -> bool {
        self.users.is_empty() && self.unreadable.is_empty()
    }

    /// Whether an installation runs it or is on its way to it.
    pub fn is_installed(&self) -> bool {
        !self.users.is_empty()
    }

    /// As the status counts them.
    pub fn counts(&self) -> InstallationCounts {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        InstallationCounts {
            total: count(self.users.len()),
            ready: count(self.ready),
        }
    }

    /// Why the release cannot go now.
    pub fn in_use(&self) -> Outcome {
        Outcome::Waiting(
            Reason::InUse,
            format!(
                "{}: move them to another version or delete them, then the release goes by itself",
                self.told()
            ),
        )
    }

    /// Why the release is not even to be marked for deletion, if so.
    pub fn refusal(&self) -> Option<Outcome> {
        let message = || format!("{}: move them to another version or delete them first", self.told());
        (!self.are_none()).then(|| Outcome::Blocked(Reason::InUse, message()))
    }

    fn told(&self) -> String {
        let all: Vec<_> = self.users.union(&self.unreadable).map(String::as_str).collect();
        let (named, more) = all.split_at(all.len().min(NAMED));
        let more = if more.is_empty() {
            String::new()
        } else {
            format!(" and {} more", more.len())
        };
        format!("used by {}{more}", named.join(", "))
    }
}

/// Names of the releases that an installation runs or is on its way to.
fn releases(installation: &PluginInstallation) -> BTreeSet<String> {
    let Some(status) = &installation.status else {
        return BTreeSet::new();
    };
    let slots = &status.slots;
    let resolved = status.resolved.iter().map(|resolved| &resolved.version);
    let running = [&slots.a, &slots.b, &slots.red]
        .into_iter()
        .flatten()
        .map(|SlotStatus { version, .. }| version);
    let id = installation.name_any();
    resolved
        .chain(running)
        .map(|version| format!("{id}-{version}"))
        .collect()
}

/// The id and the version that the name of a Plugin is made of. An id holds no dot, so the name has one reading.
pub fn parse_release(name: &str) -> Option<(PluginId, &str)> {
    let dot = name.find('.')?;
    let hyphen = name[..dot].rfind('-')?;
    let (id, version) = (&name[..hyphen], &name[hyphen + 1..]);
    Version::parse(version).ok()?;
    Some((PluginId::parse(id).ok()?, version))
}

fn full_name(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

#[cfg(test)]
mod tests {
    use kube::core::{DeserializeGuard, error_boundary::InvalidObject};
    use serde_json::{Value, json};

    use super::*;

    fn installation(tenant: usize, status: &Value) -> Arc<Root<PluginInstallation>> {
        let object = json!({ "metadata": { "name": "notes", "namespace": format!("tenant-{tenant:02}") }, "spec": {}, "status": status });
        Arc::new(DeserializeGuard(Ok(serde_json::from_value(object).unwrap())))
    }

    fn slot(version: &str) -> Value {
        json!({ "version": version, "configHash": "h", "ready": 1, "desired": 1 })
    }

    fn ready(status: &str) -> Value {
        json!([{ "type": "Ready", "status": status, "reason": "x", "message": "", "lastTransitionTime": "2026-11-21T00:00:00Z" }])
    }

    #[test]
    fn a_version_is_used_by_who_runs_it_in_any_slot_or_is_on_the_way_to_it() {
        let all = [
            installation(
                1,
                &json!({ "slots": { "a": slot("1.0.0"), "b": slot("1.1.0") }, "conditions": ready("True") }),
            ),
            installation(
                2,
                &json!({ "resolved": { "version": "1.1.0", "reason": "" }, "conditions": ready("False") }),
            ),
            installation(3, &json!({ "slots": { "red": slot("2.0.0-rc.1") } })),
            installation(4, &Value::Null),
        ];
        for (release, total, ready) in [
            ("notes-1.0.0", 1, 1),
            ("notes-1.1.0", 2, 1),
            ("notes-2.0.0-rc.1", 1, 0),
            ("notes-3.0.0", 0, 0),
        ] {
            let uses = Uses::of(release, &all);
            assert_eq!(uses.counts(), InstallationCounts { total, ready }, "{release}");
            assert_eq!(Uses::by_release(&all).remove(release).unwrap_or_default(), uses);
        }
    }

    #[test]
    fn an_installation_that_does_not_decode_keeps_the_releases_of_its_plugin() {
        let metadata = kube::core::ObjectMeta {
            name: Some("notes".into()),
            namespace: Some("tenant-odd".into()),
            ..kube::core::ObjectMeta::default()
        };
        let error = "odd".to_owned();
        let odd: Arc<Root<PluginInstallation>> = Arc::new(DeserializeGuard(Err(InvalidObject { error, metadata })));
        let uses = Uses::of("notes-1.0.0", std::slice::from_ref(&odd));
        assert!(!uses.are_none() && !uses.is_installed());
        assert!(Uses::of("news-1.0.0", &[odd]).are_none());
    }

    #[test]
    fn ten_users_are_named_and_the_others_counted() {
        let status = json!({ "resolved": { "version": "1.0.0", "reason": "" } });
        let all: Vec<_> = (0..12).map(|tenant| installation(tenant, &status)).collect();
        let Outcome::Waiting(Reason::InUse, told) = Uses::of("notes-1.0.0", &all).in_use() else {
            panic!("it is in use");
        };
        assert!(told.starts_with("used by tenant-00/notes, "), "{told}");
        assert!(told.contains("tenant-09/notes and 2 more: move them"), "{told}");
    }

    #[test]
    fn the_name_of_a_release_is_read_in_one_way() {
        for (name, id, version) in [
            ("crm-1.4.0", "crm", "1.4.0"),
            ("crm-2-1.4.0-rc.1", "crm-2", "1.4.0-rc.1"),
        ] {
            let parsed = parse_release(name).unwrap();
            assert_eq!((parsed.0.as_str(), parsed.1), (id, version));
        }
        for name in ["crm", "crm-1", "crm-1.4", "Crm-1.4.0", "1.4.0"] {
            assert_eq!(parse_release(name), None, "{name}");
        }
    }
}
