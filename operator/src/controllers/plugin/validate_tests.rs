//! What is accepted, and what was.

use serde_json::{Value, json};

use super::*;

fn plugin(spec: &Value) -> Plugin {
    let mut all = json!({
        "id": "notes", "version": "1.0.0", "displayName": "Notes", "runtime": { "image": "registry.example.com/notes:1.0.0" },
    });
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({ "metadata": { "name": "notes-1.0.0" }, "spec": all })).unwrap()
}

fn referring() -> Plugin {
    let reference = json!({ "name": "notes", "key": "0001.sql" });
    plugin(&json!({ "migrations": [{ "name": "0001_notes", "configMapRef": reference }] }))
}

fn script(text: &str) -> [Script; 1] {
    [Script {
        migration: 0,
        text: text.to_owned(),
    }]
}

fn again(release: &Plugin, before: &Accepted) -> Result<Accepted, Outcome> {
    confirm(release, &before.digest, before.scripts.clone())
}

fn is_changed(outcome: &Result<Accepted, Outcome>) -> bool {
    matches!(outcome, Err(Outcome::Blocked(Reason::ReleaseChanged, _)))
}

#[test]
fn statements_in_a_config_map_keep_the_same_rules_as_those_in_the_manifest() {
    assert!(accept(&referring(), &script("CREATE TABLE {{schema}}.notes ()")).is_ok());
    for (text, expected) in [
        (
            "COMMIT",
            "spec.migrations[0].configMapRef: `0001_notes`, line 1: it begins or ends",
        ),
        (
            "SELECT '\0'",
            "spec.migrations[0].configMapRef: must not contain U+0000",
        ),
    ] {
        let Err(Outcome::Blocked(Reason::ManifestInvalid, told)) = accept(&referring(), &script(text)) else {
            panic!("{text} was accepted");
        };
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn what_postgresql_cannot_store_is_not_accepted() {
    let release = plugin(&json!({ "translations": { "en": { "title": "Contacts\0" } } }));
    assert_eq!(
        accept(&release, &[]),
        Err(Outcome::Blocked(
            Reason::ManifestInvalid,
            "spec.translations.en.title: must not contain U+0000, which PostgreSQL cannot store".into()
        ))
    );
}

#[test]
fn what_was_accepted_is_accepted_again_and_nothing_else_under_its_version() {
    let mut release = referring();
    let accepted = accept(&release, &script("SELECT 1")).unwrap();
    assert_eq!(accepted.warnings.len(), 1, "the image has no digest");
    assert_eq!(again(&release, &accepted), Ok(accepted.clone()));
    let others = hashed(&release, &script("SELECT 2"));
    assert!(is_changed(&confirm(&release, &accepted.digest, others)));
    release.spec.display_name = "Other".into();
    assert!(is_changed(&again(&release, &accepted)));
}

#[test]
fn the_order_of_what_has_none_is_no_change() {
    let permissions = |keys: [&str; 2]| {
        let list = keys.map(|key| json!({ "key": format!("notes:notes:{key}"), "name": key }));
        plugin(&json!({ "permissions": list }))
    };
    let release = permissions(["read", "write"]);
    let accepted = accept(&release, &[]).unwrap();
    let reordered = again(&permissions(["write", "read"]), &accepted).unwrap();
    assert_eq!(reordered.digest, accepted.digest);
    let env = |names: [&str; 2]| {
        let env = names.map(|name| json!({ "name": name }));
        plugin(&json!({ "runtime": { "image": "registry.example.com/notes:1.0.0", "env": env } }))
    };
    let accepted = accept(&env(["A", "B"]), &[]).unwrap();
    assert!(is_changed(&again(&env(["B", "A"]), &accepted)));
}

#[test]
fn a_release_of_an_earlier_operator_is_what_it_accepted_and_gets_the_digest_of_now() {
    let list = ["notes:b:read", "notes:a:read"].map(|key| json!({ "key": key, "name": key }));
    let mut release = referring();
    release.spec.permissions = serde_json::from_value(json!(list)).unwrap();
    let scripts = hashed(&release, &script("SELECT 1"));
    // As it was made then.
    let mut content = immutability::as_written(&release.spec).unwrap();
    content.extend(["\n", "0", " ", &sha256_hex("SELECT 1")]);
    let earlier = sha256_hex(content);
    let now = accept(&release, &script("SELECT 1")).unwrap();
    assert_ne!(earlier, now.digest);
    assert_eq!(confirm(&release, &earlier, scripts).unwrap().digest, now.digest);
}

#[test]
fn a_rule_that_is_newer_than_its_acceptance_is_told_and_takes_nothing_back() {
    let release = plugin(&json!({ "translations": { "en": "\0" } }));
    let digest = sha256_hex(immutability::released(&release.spec).unwrap());
    let accepted = confirm(&release, &digest, vec![]).unwrap();
    assert!(accepted.broken.unwrap().starts_with("spec.translations.en: must not"));
}

#[test]
fn statements_are_recorded_by_migration_and_only_all_of_them_count() {
    let mut release = referring();
    assert_eq!(recorded(&release), None);
    let scripts = hashed(&release, &script("SELECT 1"));
    release.status = serde_json::from_value(json!({ "acceptedDigest": "d", "acceptedScripts": scripts })).unwrap();
    assert_eq!(recorded(&release), Some(scripts));
    release.spec.migrations[0].name = "0001_other".into();
    assert_eq!(recorded(&release), None);
    assert_eq!(recorded(&plugin(&json!({}))), Some(vec![]));
}
