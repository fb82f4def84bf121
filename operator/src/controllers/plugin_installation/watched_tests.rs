use futures::stream;
use serde_json::json;

use super::*;

fn service(name: &str, slot: &str) -> Service {
    serde_json::from_value(json!({
        "metadata": { "namespace": "tenant-acme", "name": name, "resourceVersion": "7" },
        "spec": { "selector": { "plexica.io/slot": slot }, "ports": [{ "port": 80 }] },
    }))
    .unwrap()
}

/// The slots that the Services `one` and `two` lead to, and whether it is known that they are not there.
async fn after(events: impl IntoIterator<Item = Event<Service>>) -> [(Option<String>, bool); 2] {
    let kept = Kept::default();
    let events = stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>());
    kept.keep(events).for_each(async |_| ()).await;
    ["one", "two"].map(|name| {
        let found = kept
            .get("tenant-acme", name)
            .and_then(|found: Service| found.spec?.selector);
        let slot = found.and_then(|selector| selector.get("plexica.io/slot").cloned());
        (slot, kept.lacks("tenant-acme", name))
    })
}

#[tokio::test]
async fn what_a_watch_begins_with_counts_when_it_is_whole_and_replaces_what_was_known() {
    let begun = vec![Event::Init, Event::InitApply(service("one", "a"))];
    assert_eq!(after(begun.clone()).await, [(None, false), (None, false)]);
    let known = [begun, vec![Event::InitDone]].concat();
    assert_eq!(
        after(known.clone()).await,
        [(Some("a".to_owned()), false), (None, true)]
    );
    let anew = vec![Event::Init, Event::InitApply(service("two", "b"))];
    let failed = [known.clone(), anew.clone()].concat();
    assert_eq!(after(failed).await[0], (Some("a".to_owned()), false));
    let replaced = [known, anew, vec![Event::InitDone]].concat();
    assert_eq!(after(replaced).await, [(None, true), (Some("b".to_owned()), false)]);
}

/// Whoever is called for an object of a list looks before the list is whole.
#[tokio::test]
async fn what_changed_while_nobody_watched_is_kept_as_soon_as_it_is_told() {
    let known = vec![Event::Init, Event::InitApply(service("one", "a")), Event::InitDone];
    let anew = vec![Event::Init, Event::InitApply(service("one", "b"))];
    let found = after([known, anew].concat()).await;
    assert_eq!(found[0], (Some("b".to_owned()), false));
}

#[tokio::test]
async fn what_is_kept_follows_each_change() {
    let known = vec![Event::Init, Event::InitApply(service("one", "a")), Event::InitDone];
    let changed = [
        known,
        vec![Event::Apply(service("one", "b")), Event::Apply(service("two", "a"))],
    ]
    .concat();
    let both = [(Some("b".to_owned()), false), (Some("a".to_owned()), false)];
    assert_eq!(after(changed.clone()).await, both);
    let gone = [changed, vec![Event::Delete(service("one", "b"))]].concat();
    assert_eq!(after(gone).await[0], (None, true));
}

fn budget(version: &str, slot: &str) -> PodDisruptionBudget {
    let metadata = json!({ "namespace": "tenant-acme", "name": "one", "resourceVersion": version });
    let selector = json!({ "matchLabels": { "plexica.io/slot": slot } });
    let budget = json!({ "metadata": metadata, "spec": { "maxUnavailable": 1, "selector": selector } });
    serde_json::from_value(budget).unwrap()
}

fn declared(slot: &str) -> PodDisruptionBudget {
    let mut declared = budget("1", slot);
    declared.metadata.resource_version = None;
    declared
}

async fn told(kept: &Kept<PodDisruptionBudget>, events: impl IntoIterator<Item = Event<PodDisruptionBudget>>) {
    let events = stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>());
    kept.keep(events).for_each(async |_| ()).await;
}

#[tokio::test]
async fn what_was_told_to_be_as_declared_is_known_to_be_so_until_it_changes() {
    let kept = Kept::default();
    assert!(!kept.is_as_declared(&declared("a")));
    told(
        &kept,
        [Event::Init, Event::InitApply(budget("7", "a")), Event::InitDone],
    )
    .await;
    // It is asked twice: what was compared is not kept whole.
    assert!(!kept.is_as_declared(&declared("b")));
    assert!(kept.is_as_declared(&declared("a")) && kept.is_as_declared(&declared("a")));
    assert!(!kept.is_as_declared(&declared("b")));
    told(&kept, [Event::Apply(budget("8", "b"))]).await;
    assert!(!kept.is_as_declared(&declared("a")));
    assert!(kept.is_as_declared(&declared("b")));
    told(&kept, [Event::Delete(budget("9", "b"))]).await;
    assert!(!kept.is_as_declared(&declared("b")));
}

/// The watch tells of what was there before a write, when that is done already.
#[tokio::test]
async fn what_is_told_after_a_write_of_the_time_before_it_changes_nothing() {
    let kept = Kept::default();
    told(
        &kept,
        [Event::Init, Event::InitApply(budget("7", "a")), Event::InitDone],
    )
    .await;
    assert!(kept.is_as_declared(&declared("a")));
    kept.saw(&budget("9", "b"), &declared("b"));
    assert!(!kept.is_as_declared(&declared("a")) && kept.is_as_declared(&declared("b")));
    told(&kept, [Event::Apply(budget("8", "a")), Event::Delete(budget("8", "a"))]).await;
    assert!(kept.is_as_declared(&declared("b")));
    // It tells of the write itself.
    told(&kept, [Event::Apply(budget("9", "b"))]).await;
    assert!(kept.is_as_declared(&declared("b")));
    told(
        &kept,
        [Event::Init, Event::InitApply(budget("9", "b")), Event::InitDone],
    )
    .await;
    assert!(kept.is_as_declared(&declared("b")));
    told(&kept, [Event::Init, Event::InitDone]).await;
    assert!(!kept.is_as_declared(&declared("b")));
}

/// Whoever may write in a tenant's namespace may label objects as he likes.
#[tokio::test]
async fn what_is_too_large_is_known_to_be_there_and_is_not_kept() {
    let mut large = budget("7", "a");
    large.metadata.labels = Some([("x".to_owned(), "x".repeat(LARGEST))].into());
    let kept = Kept::default();
    told(&kept, [Event::Init, Event::InitApply(large), Event::InitDone]).await;
    assert!(!kept.lacks("tenant-acme", "one"));
    assert!(kept.get("tenant-acme", "one").is_none() && !kept.is_as_declared(&declared("a")));
}

#[tokio::test]
async fn what_was_read_before_a_watch_began_anew_and_is_not_in_its_list_is_gone() {
    let kept = Kept::default();
    told(
        &kept,
        [Event::Init, Event::InitApply(budget("7", "a")), Event::InitDone],
    )
    .await;
    told(&kept, [Event::Init]).await;
    kept.saw(&budget("7", "a"), &declared("a"));
    told(&kept, [Event::InitDone]).await;
    assert!(kept.lacks("tenant-acme", "one"));
}
