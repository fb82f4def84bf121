use futures::{FutureExt, channel::mpsc};
use kube::{core::DeserializeGuard, runtime::watcher::Event};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::*;
use crate::runtime::{cache::cache, objects::Kind};

/// What a watch tells, and the cache that it fills.
struct Watch<K: Kind>
where
    Root<K>: Resource<DynamicType = ()>,
{
    cache: Cache<K>,
    told: mpsc::UnboundedSender<Result<Event<Root<K>>, watcher::Error>>,
    filled: stream::BoxStream<'static, Result<Event<Root<K>>, watcher::Error>>,
}

impl<K: Kind> Watch<K>
where
    Root<K>: Resource<DynamicType = ()>,
{
    fn of(first: &[&Value]) -> Self {
        let (cache, writer) = cache();
        let (told, events) = mpsc::unbounded();
        let filled = writer.fill(events).boxed();
        let mut watch = Self { cache, told, filled };
        watch.tell(Event::Init);
        for object in first {
            watch.tell(Event::InitApply(guarded(object)));
        }
        watch.tell(Event::InitDone);
        watch
    }

    fn tell(&mut self, event: Event<Root<K>>) {
        self.told.unbounded_send(Ok(event)).unwrap();
        assert!(self.filled.next().now_or_never().is_some());
    }
}

fn guarded<K: DeserializeOwned>(object: &Value) -> Root<K> {
    DeserializeGuard(Ok(serde_json::from_value(object.clone()).unwrap()))
}

fn status(condition: &str, status: &str) -> Value {
    json!({ "conditions": [{
        "type": condition, "status": status, "reason": "x", "message": "", "observedGeneration": 1,
        "lastTransitionTime": "2026-11-21T00:00:00Z",
    }] })
}

fn tenant(ready: &str) -> Value {
    json!({
        "metadata": { "name": "acme", "uid": "acme", "generation": 1 },
        "spec": { "displayName": "Acme" },
        "status": status("Ready", ready),
    })
}

fn release(status: &Value) -> Value {
    json!({
        "metadata": { "name": "notes-1.0.0", "uid": "notes-1.0.0", "generation": 1 },
        "spec": { "id": "notes", "version": "1.0.0", "displayName": "Notes", "runtime": { "image": "x" },
                  "dependencies": [{ "plugin": "contacts", "version": "*" }] },
        "status": status,
    })
}

fn installation(id: &str) -> Value {
    json!({ "metadata": { "name": id, "uid": id, "namespace": "tenant-acme", "generation": 1 }, "spec": {} })
}

/// The installations that are called now.
fn called(triggers: &mut Triggers<PluginInstallation>) -> Vec<String> {
    let mut called = vec![];
    while let Some(Some(of)) = triggers.next().now_or_never() {
        called.push(of.unwrap().name);
    }
    called.sort();
    called
}

struct World {
    tenants: Watch<Tenant>,
    plugins: Watch<Plugin>,
    installations: Watch<PluginInstallation>,
    caches: Caches,
    news: News,
}

impl World {
    /// A tenant that is not ready, a release that nobody has judged, and two installations that wait for them.
    fn new() -> Self {
        let tenants = Watch::of(&[&tenant("False")]);
        let plugins = Watch::of(&[&release(&Value::Null)]);
        let installations = Watch::of(&[&installation("contacts"), &installation("notes")]);
        let news = News {
            tenants: tenants.cache.clone(),
            plugins: plugins.cache.clone(),
            installations: installations.cache.clone(),
        };
        let caches = Caches {
            tenants: (*news.tenants).clone(),
            plugins: (*news.plugins).clone(),
            installations: (*news.installations).clone(),
        };
        Self {
            tenants,
            plugins,
            installations,
            caches,
            news,
        }
    }
}

#[test]
fn whoever_waits_for_its_tenant_is_called_when_the_cache_shows_it_ready() {
    let mut world = World::new();
    let mut triggers = world.news.of_tenants(world.caches.clone());
    assert_eq!(
        called(&mut triggers),
        [""; 0],
        "all are looked at in the beginning anyway"
    );
    world.tenants.tell(Event::Apply(guarded(&tenant("True"))));
    let found = world.caches.tenants.get(&ObjectRef::new("acme")).unwrap();
    assert_eq!(of_tenant(&found), of_tenant(&guarded(&tenant("True"))));
    assert_eq!(called(&mut triggers), ["contacts", "notes"]);
    world.tenants.tell(Event::Apply(guarded(&tenant("True"))));
    assert_eq!(called(&mut triggers), [""; 0]);
}

#[test]
fn whoever_waits_for_a_release_is_called_when_the_cache_shows_it_judged() {
    let mut world = World::new();
    let mut triggers = world.news.of_releases(world.caches.clone());
    let judged = |judgement: &str| release(&status("Accepted", judgement));
    for judgement in ["False", "True"] {
        world.plugins.tell(Event::Apply(guarded(&judged(judgement))));
        assert_eq!(called(&mut triggers), ["contacts", "notes"], "{judgement}");
    }
    world.plugins.tell(Event::Delete(guarded(&judged("True"))));
    assert_eq!(called(&mut triggers), ["contacts", "notes"], "it is gone");
}

/// What is deleted with a finalizer says the same when it is marked and when it is gone.
#[test]
fn whoever_waits_for_another_to_go_is_called_when_it_is_gone() {
    let mut world = World::new();
    let mut triggers = world.news.of_siblings(world.caches.clone());
    let mut leaving = installation("notes");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    world.installations.tell(Event::Apply(guarded(&leaving)));
    assert_eq!(called(&mut triggers), ["contacts"]);
    world.installations.tell(Event::Delete(guarded(&leaving)));
    assert_eq!(called(&mut triggers), ["contacts"]);
}

#[test]
fn whoever_goes_live_or_back_together_is_called_when_the_other_is_prepared_released_and_live_and_asked_back() {
    let mut world = World::new();
    let mut triggers = world.news.of_siblings(world.caches.clone());
    let mut notes = installation("notes");
    notes["spec"] = json!({ "promotion": { "auto": false } });
    let slot = |version: &str| json!({ "version": version, "configHash": "c", "ready": 1, "desired": 1 });
    notes["status"] = json!({
        "observedGeneration": 1, "liveSlot": "a", "slots": { "a": slot("1.0.0"), "b": slot("2.0.0") },
        "transition": {
            "id": "1-b", "from": "a", "to": "b", "version": "2.0.0", "configHash": "c", "reason": "NewVersion",
            "step": "Soaking", "startedAt": "2026-12-01T00:00:00Z",
        },
    });
    let mut tell = |notes: &Value| {
        world.installations.tell(Event::Apply(guarded(notes)));
        called(&mut triggers)
    };
    assert_eq!(tell(&notes), ["contacts"], "it is on its way");
    notes["status"]["slots"]["b"]["ready"] = json!(0);
    assert_eq!(
        tell(&notes),
        [""; 0],
        "how many pods are ready is nobody else's business"
    );
    notes["status"]["transition"]["step"] = json!("AwaitingPromotion");
    assert_eq!(tell(&notes), ["contacts"], "it is prepared");
    notes["metadata"]["annotations"] = json!({ "plexica.io/promote": "1" });
    assert_eq!(tell(&notes), ["contacts"], "it is released");
    notes["status"]["requests"] = json!({ "promote": "1" });
    notes["status"]["liveSlot"] = json!("b");
    notes["status"]["transition"]["step"] = json!("StandingBy");
    assert_eq!(tell(&notes), ["contacts"], "it is live");
    notes["metadata"]["annotations"] = json!({ "plexica.io/promote": "1", "plexica.io/rollback": "1" });
    assert_eq!(tell(&notes), ["contacts"], "it is asked to go back");
}
