//! What the status says of a release, case by case.

use std::sync::Arc;

use kube::core::DeserializeGuard;
use plexica_crds::plugin::AcceptedScript;
use serde_json::{Value, json};

use super::*;

fn plugin(extra: &Value) -> Plugin {
    let mut plugin = json!({
        "metadata": { "name": "notes-1.0.0" },
        "spec": { "id": "notes", "version": "1.0.0", "displayName": "Notes", "runtime": { "image": "x" } },
    });
    json_patch(&mut plugin, extra);
    serde_json::from_value(plugin).unwrap()
}

fn json_patch(target: &mut Value, patch: &Value) {
    for (key, value) in patch.as_object().into_iter().flatten() {
        if value.is_object() && target[key].is_object() {
            json_patch(&mut target[key], value);
        } else {
            target[key] = value.clone();
        }
    }
}

fn used() -> Uses {
    let object = json!({
        "metadata": { "name": "notes", "namespace": "tenant-acme" }, "spec": {},
        "status": { "resolved": { "version": "1.0.0", "reason": "" } },
    });
    let installation = DeserializeGuard(Ok(serde_json::from_value(object).unwrap()));
    Uses::of("notes-1.0.0", &[Arc::new(installation)])
}

fn accepted() -> Accepted {
    Accepted {
        digest: "d1".into(),
        warnings: vec!["advice".into()],
        ..Accepted::default()
    }
}

fn registered() -> Outcome {
    Outcome::Done(Reason::Registered, "core.plugins has notes 1.0.0".into())
}

fn at(before: &PluginStatus, findings: &Findings, second: i64) -> PluginStatus {
    let now = Timestamp::from_second(second).unwrap();
    after(before, findings, 3, Some(now), now)
}

/// All conditions as `Type=Status Reason`.
fn told(status: &PluginStatus) -> Vec<String> {
    let conditions = status.conditions.iter();
    conditions
        .map(|c| format!("{}={} {}", c.type_, c.status, c.reason))
        .collect()
}

#[test]
fn a_release_that_was_accepted_and_registered_is_ready() {
    let findings = Findings::accepted(accepted(), registered(), &plugin(&json!({})), Uses::default());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(
        told(&status),
        [
            "Ready=True Registered",
            "Accepted=True ManifestValid",
            "Registered=True Registered"
        ]
    );
    assert_eq!(
        (status.state, status.accepted_digest.as_deref()),
        (Some(State::Available), Some("d1"))
    );
    assert_eq!(status.warnings, ["advice"]);
    assert!(findings.worst().is_none());
}

#[test]
fn the_same_findings_change_nothing() {
    let findings = Findings::accepted(accepted(), registered(), &plugin(&json!({})), used());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(at(&status, &findings, 99), status);
    assert_eq!(status.state, Some(State::Installed));
}

#[test]
fn a_deprecated_release_is_ready_and_says_what_to_use() {
    let plugin = plugin(&json!({ "spec": { "deprecated": { "message": "too old", "replacement": "news" } } }));
    let findings = Findings::accepted(accepted(), registered(), &plugin, used());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(status.state, Some(State::Deprecated));
    let ready = condition::find(&status.conditions, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Deprecated"));
    assert_eq!(ready.message, "deprecated: too old; use plugin news instead");
}

#[test]
fn a_release_that_breaks_rules_is_invalid_and_not_registered() {
    let outcome = Outcome::Blocked(Reason::ManifestInvalid, "spec.id: no".into());
    let findings = Findings::refused(outcome, &plugin(&json!({})), Uses::default());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(
        told(&status),
        [
            "Ready=False ManifestInvalid",
            "Stalled=True ManifestInvalid",
            "Accepted=False ManifestInvalid",
            "Registered=False ManifestInvalid"
        ]
    );
    assert_eq!((status.state, status.accepted_digest), (Some(State::Invalid), None));
}

#[test]
fn a_release_that_was_changed_keeps_its_row_and_the_digest_of_what_was_accepted() {
    let good = Findings::accepted(accepted(), registered(), &plugin(&json!({})), Uses::default());
    let before = at(&PluginStatus::default(), &good, 10);
    let changed = Outcome::Blocked(Reason::ReleaseChanged, "changed".into());
    let status = at(
        &before,
        &Findings::refused(changed, &plugin(&json!({})), Uses::default()),
        20,
    );
    assert!(
        told(&status).contains(&"Registered=True Registered".to_owned()),
        "{status:?}"
    );
    assert_eq!(
        (status.state, status.accepted_digest.as_deref()),
        (Some(State::Invalid), Some("d1"))
    );
}

#[test]
fn a_registry_that_does_not_answer_is_waited_for_with_the_time_of_the_next_try() {
    let down = Outcome::Waiting(Reason::RegistryUnavailable, "registry pool main: down".into());
    let findings = Findings::accepted(accepted(), down, &plugin(&json!({})), Uses::default());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(
        told(&status)[..2],
        [
            "Ready=False RegistryUnavailable",
            "Reconciling=True RegistryUnavailable"
        ]
    );
    assert!(status.conditions[0].message.ends_with("tried again at 00:00:10Z"));
    assert_eq!(status.state, Some(State::Available));
}

#[test]
fn a_deletion_that_waits_names_the_users_and_is_no_reason_to_try_again() {
    let plugin = plugin(&json!({ "metadata": { "deletionTimestamp": "2026-11-21T00:00:00Z" } }));
    let findings = Findings::accepted(accepted(), registered(), &plugin, used());
    let status = at(&PluginStatus::default(), &findings, 10);
    let blocked = condition::find(&status.conditions, "DeletionBlocked").unwrap();
    assert_eq!(blocked.status, "True");
    assert!(
        blocked.message.starts_with("used by tenant-acme/notes: "),
        "{}",
        blocked.message
    );
    // What runs needs the release for as long as it does.
    assert!(told(&status).contains(&"Accepted=True ManifestValid".to_owned()));
    assert_eq!(told(&status)[..2], ["Ready=False InUse", "Reconciling=True InUse"]);
    assert!(findings.worst().is_none());
}

#[test]
fn what_was_copied_is_recorded_with_the_digest() {
    let script = |migration: &str| AcceptedScript {
        migration: migration.to_owned(),
        sha256: "s".to_owned(),
    };
    let accepted = Accepted {
        scripts: vec![script("0001_notes")],
        ..accepted()
    };
    let findings = Findings::accepted(accepted, registered(), &plugin(&json!({})), Uses::default());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(status.accepted_scripts, [script("0001_notes")]);
}

#[test]
fn what_became_of_a_config_map_is_told_and_changes_nothing() {
    let accepted = Accepted {
        notices: vec!["key k of ConfigMap m is not what was accepted".into()],
        ..accepted()
    };
    let findings = Findings::accepted(accepted, registered(), &plugin(&json!({})), Uses::default());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(status.state, Some(State::Available));
    let said = condition::find(&status.conditions, "Accepted").unwrap();
    assert_eq!(
        (said.status.as_str(), said.message.as_str()),
        (
            "True",
            "the manifest keeps all rules; key k of ConfigMap m is not what was accepted"
        )
    );
}

#[test]
fn a_release_that_breaks_a_newer_rule_stays_accepted_and_is_not_ready() {
    let accepted = Accepted {
        broken: Some("spec.translations.en: no".into()),
        ..accepted()
    };
    let after = |uses: Uses| {
        let findings = Findings::accepted(accepted.clone(), registered(), &plugin(&json!({})), uses);
        at(&PluginStatus::default(), &findings, 10)
    };
    let status = after(Uses::default());
    assert_eq!(
        told(&status),
        [
            "Ready=False ManifestInvalid",
            "Stalled=True ManifestInvalid",
            "Accepted=True ManifestValid",
            "Registered=True Registered"
        ]
    );
    assert!(status.conditions[0].message.contains("spec.translations.en: no"));
    assert_eq!(status.state, Some(State::Invalid));
    assert_eq!(after(used()).state, Some(State::Installed));
}

#[test]
fn a_release_that_is_not_accepted_is_invalid_whatever_the_reason() {
    let before = PluginStatus {
        state: Some(State::Available),
        ..PluginStatus::default()
    };
    for outcome in [
        Outcome::Waiting(Reason::ApiUnavailable, "no answer".into()),
        Outcome::Waiting(Reason::MigrationSourceMissing, "not there".into()),
        Outcome::Blocked(Reason::ApiRefused, "no".into()),
    ] {
        let findings = Findings::refused(outcome, &plugin(&json!({})), Uses::default());
        assert_eq!(at(&before, &findings, 10).state, Some(State::Invalid));
    }
}

#[test]
fn a_registry_that_does_not_take_an_accepted_release_is_told_in_ready() {
    let refused = Outcome::Blocked(
        Reason::RegistryRefused,
        "core.plugins does not take the manifest".into(),
    );
    let findings = Findings::accepted(accepted(), refused, &plugin(&json!({})), Uses::default());
    let status = at(&PluginStatus::default(), &findings, 10);
    assert_eq!(
        told(&status)[..2],
        ["Ready=False RegistryRefused", "Stalled=True RegistryRefused"]
    );
}
