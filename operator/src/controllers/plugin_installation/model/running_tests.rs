use jiff::Timestamp;
use plexica_crds::plugin_installation::{Cause, Fault, Step};
use serde_json::json;

use super::*;
use crate::promotion::{PerSlot, Transition};

fn frozen(version: &str, provider: &str, table: &str, permission: &str) -> Arc<Frozen> {
    let frozen = serde_json::from_value(json!({
        "version": version, "basePath": "/x", "replicas": 1, "port": 3000, "connections": 5, "providers": [provider],
        "tenantTables": { table: ["Select"] },
        "permissions": [{ "key": permission, "name": format!("of {version}"), "roles": [] },
                        { "key": "x:both", "name": format!("of {version}"), "roles": [] }],
        "template": {},
    }));
    Arc::new(frozen.unwrap())
}

fn revision(version: &str) -> Revision {
    Revision {
        version: version.to_owned(),
        config_hash: format!("hash of {version}"),
    }
}

/// 1.0.0 is live in slot a.
fn memory() -> Memory {
    Memory {
        live: Some(Slot::A),
        revisions: PerSlot {
            a: Some(revision("1.0.0")),
            b: None,
        },
        ..Memory::default()
    }
}

/// The transition to 2.0.0 in slot b, or back from it.
fn transition(step: Step, from: Slot) -> Transition {
    Transition {
        id: "1-b".to_owned(),
        from: Some(from),
        to: from.other(),
        revision: revision("2.0.0"),
        cause: Cause::NewVersion,
        step,
        started_at: Timestamp::UNIX_EPOCH,
        deadline: None,
    }
}

fn versions(members: &[Revision]) -> Vec<&str> {
    members.iter().map(|revision| revision.version.as_str()).collect()
}

fn known(version: &str, provider: &str, table: &str, permission: &str) -> Member {
    Member::Known(revision(version), frozen(version, provider, table, permission))
}

#[test]
fn needs_are_those_of_all_and_words_those_of_what_is_live() {
    let set = RunningSet::of([
        known("1.0.0", "contacts", "users", "x:one"),
        known("2.0.0", "billing", "teams", "x:two"),
    ]);
    let needs = set.needs();
    assert_eq!(
        needs.providers.iter().map(PluginId::as_str).collect::<Vec<_>>(),
        ["billing", "contacts"]
    );
    assert_eq!(needs.tenant_tables.iter().count(), 2);
    let told: Vec<_> = needs
        .permissions
        .iter()
        .map(|p| (p.key.as_str(), p.name.as_str()))
        .collect();
    assert_eq!(
        told,
        [("x:both", "of 1.0.0"), ("x:one", "of 1.0.0"), ("x:two", "of 2.0.0")]
    );
    assert_eq!(needs.surplus, Surplus::Removed);
}

#[test]
fn while_something_unknown_runs_nothing_is_taken_away() {
    let set = RunningSet::of([known("1.0.0", "contacts", "users", "x:one"), Member::Unknown]);
    assert_eq!(set.needs().surplus, Surplus::Kept);
}

#[test]
fn what_has_no_release_any_more_runs_on_and_is_given_nothing() {
    let lost = frozen("2.0.0", "billing", "teams", "x:two");
    let set = RunningSet::of([
        known("1.0.0", "contacts", "users", "x:one"),
        Member::WithoutRelease(revision("2.0.0"), lost),
    ]);
    assert!(set.get(&revision("2.0.0")).is_some());
    let needs = set.needs();
    assert_eq!((needs.tenant_tables.iter().count(), needs.providers.len()), (1, 1));
    assert_eq!(needs.permissions.len(), 2, "of 1.0.0 alone");
    assert_eq!((needs.surplus, needs.connections), (Surplus::Kept, 5));
}

#[test]
fn a_candidate_belongs_to_the_set_from_its_intent_until_it_was_rejected_and_its_pods_are_gone() {
    let mut memory = memory();
    assert_eq!(versions(&RunningSet::members(&memory, None, None)), ["1.0.0"]);
    memory.transition = Some(transition(Step::Deploying, Slot::A));
    assert_eq!(versions(&RunningSet::members(&memory, None, None)), ["1.0.0", "2.0.0"]);
    memory.transition = None;
    memory.reject(revision("2.0.0"), Fault::RolledBackByRequest, Timestamp::UNIX_EPOCH);
    let prepared = revision("2.0.0");
    assert_eq!(
        versions(&RunningSet::members(&memory, None, Some(&prepared))),
        ["1.0.0"]
    );
}

#[test]
fn a_standby_belongs_to_the_set_until_its_window_closes() {
    let mut memory = memory();
    memory.live = Some(Slot::B);
    memory.revisions.b = Some(revision("2.0.0"));
    memory.transition = Some(transition(Step::StandingBy, Slot::A));
    assert_eq!(versions(&RunningSet::members(&memory, None, None)), ["2.0.0", "1.0.0"]);
    memory.transition = None;
    assert_eq!(versions(&RunningSet::members(&memory, None, None)), ["2.0.0"]);
}

#[test]
fn what_was_prepared_belongs_to_the_set_though_it_is_not_begun() {
    let prepared = revision("2.0.0");
    assert_eq!(
        versions(&RunningSet::members(&memory(), None, Some(&prepared))),
        ["1.0.0", "2.0.0"]
    );
}
