use std::sync::{Mutex, PoisonError};

use plexica_crds::Tenant;

use super::*;

fn entry(manager: &str, subresource: Option<&str>) -> ManagedFieldsEntry {
    ManagedFieldsEntry {
        manager: Some(manager.into()),
        subresource: subresource.map(Into::into),
        ..ManagedFieldsEntry::default()
    }
}

#[test]
fn an_object_is_looked_at_when_what_is_said_of_it_comes_changes_or_goes() {
    let map = |entries: &[(&str, i32)]| entries.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
    let before = map(&[("left", 1), ("same", 1), ("more", 1)]);
    let now = map(&[("same", 1), ("more", 2), ("new", 1)]);
    assert_eq!(differing(&before, &now).collect::<Vec<_>>(), ["left", "more", "new"]);
}

#[tokio::test]
async fn what_is_read_from_two_caches_is_looked_at_when_either_changes_and_first_when_both_are_filled() {
    let (one, other) = (watch::Sender::new(false), watch::Sender::new(false));
    let shown = Arc::new(Mutex::new(BTreeMap::new()));
    let show = |name: &str, value: i32| {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.insert(name.to_owned(), value);
    };
    let seen = Arc::clone(&shown);
    let look = move || seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut requests = when_otherwise::<Tenant, _>([one.subscribe(), other.subscribe()], Duration::ZERO, look);
    let moment = || sleep(Duration::from_millis(20));
    show("acme", 1);
    one.send_replace(true);
    tokio::select! { _ = requests.next() => panic!("the other is not filled"), () = moment() => {} }
    show("acme", 2);
    other.send_replace(true);
    assert_eq!(requests.next().await.unwrap().unwrap().name, "acme");
    for (cache, tenant) in [(&one, "beta"), (&other, "gamma")] {
        tokio::select! { _ = requests.next() => panic!("nothing has changed"), () = moment() => {} }
        show(tenant, 1);
        cache.send_replace(true);
        assert_eq!(requests.next().await.unwrap().unwrap().name, tenant);
    }
}

#[test]
fn only_what_others_wrote_triggers_a_pass() {
    let ours = entry("plexica-operator", None);
    assert!(!is_touched(std::slice::from_ref(&ours)));
    assert!(!is_touched(&[
        ours.clone(),
        entry("kube-controller-manager", Some("status"))
    ]));
    assert!(is_touched(&[ours, entry("kubectl-edit", None)]));
}
