//! Copies of statements, at an API server that knows ConfigMaps of one namespace.

use std::sync::{Arc, Mutex as Lock};

use kube::{
    client::Body,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{reflector, watcher},
};
use serde_json::{Value, json};

use super::*;

/// ConfigMaps by name, and whether the API server answers at all.
#[derive(Default)]
struct Cluster {
    maps: BTreeMap<String, Value>,
    is_down: bool,
}

#[derive(Clone, Default)]
struct Fake(Arc<Lock<Cluster>>);

impl Fake {
    fn client(&self) -> Client {
        let cluster = Arc::clone(&self.0);
        let answers = tower::service_fn(move |request: http::Request<Body>| {
            let cluster = Arc::clone(&cluster);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.map_err(tower::BoxError::from)?;
                let name = parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
                let (code, answer) = cluster.lock().unwrap().answer(&parts.method, &name, &body);
                let answer = http::Response::builder()
                    .status(code)
                    .body(Body::from(answer.to_string().into_bytes()))?;
                Ok::<_, tower::BoxError>(answer)
            }
        });
        Client::new(answers, "default")
    }

    fn apply(&self, name: &str, key: &str, text: &str) {
        let map =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: text } });
        self.0.lock().unwrap().maps.insert(name.to_owned(), map);
    }

    fn delete(&self, name: &str) {
        self.0.lock().unwrap().maps.remove(name);
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().maps.keys().cloned().collect()
    }
}

impl Cluster {
    fn answer(&mut self, method: &http::Method, name: &str, body: &[u8]) -> (u16, Value) {
        let failed = |code: u16, reason: &str| (code, json!({ "status": "Failure", "code": code, "reason": reason }));
        if self.is_down {
            return failed(503, "ServiceUnavailable");
        }
        match (method.as_str(), name) {
            ("GET", "configmaps") => {
                let items: Vec<_> = self
                    .maps
                    .values()
                    .filter(|map| map["metadata"]["labels"][LABEL].is_string())
                    .collect();
                (
                    200,
                    json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": items }),
                )
            }
            ("GET", name) => self
                .maps
                .get(name)
                .map_or_else(|| failed(404, "NotFound"), |map| (200, map.clone())),
            ("POST", _) => {
                let mut map: Value = serde_json::from_slice(body).unwrap();
                map["apiVersion"] = json!("v1");
                map["kind"] = json!("ConfigMap");
                let name = map["metadata"]["name"].as_str().unwrap().to_owned();
                if self.maps.contains_key(&name) {
                    return failed(409, "AlreadyExists");
                }
                self.maps.insert(name, map.clone());
                (201, map)
            }
            ("DELETE", name) => match self.maps.remove(name) {
                Some(_) => (
                    200,
                    json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }),
                ),
                None => failed(404, "NotFound"),
            },
            (method, name) => panic!("{method} {name}"),
        }
    }
}

const OWN: &str = "plexica-system";
const TEXT: &str = "CREATE TABLE {{schema}}.notes ()";

/// A release whose one migration is key `0001.sql` of ConfigMap `notes`.
fn release(version: &str, status: &Value) -> Plugin {
    serde_json::from_value(json!({
        "metadata": { "name": format!("notes-{version}"), "uid": format!("uid-of-{version}") },
        "spec": {
            "id": "notes", "version": version, "displayName": "Notes", "runtime": { "image": "registry.example.com/notes:1.0.0" },
            "migrations": [{ "name": "0001_notes", "configMapRef": { "name": "notes", "key": "0001.sql" } }],
        },
        "status": status,
    }))
    .unwrap()
}

fn accepted(version: &str, text: &str) -> Plugin {
    let scripts = json!([{ "migration": "0001_notes", "sha256": sha256_hex(text) }]);
    release(version, &json!({ "acceptedDigest": "d", "acceptedScripts": scripts }))
}

fn script(text: &str) -> Script {
    Script {
        migration: 0,
        text: text.to_owned(),
    }
}

fn copy_of(text: &str) -> String {
    format!("plexica-script-notes-{}", sha256_hex(text))
}

async fn read(plugin: &Plugin, fake: &Fake) -> Result<String, Unreadable> {
    statements(plugin, &plugin.spec.migrations[0], &fake.client(), OWN).await
}

fn cached(plugins: impl IntoIterator<Item = Root<Plugin>>) -> Store<Root<Plugin>> {
    let (store, mut writer) = reflector::store();
    for plugin in plugins {
        writer.apply_watcher_event(&watcher::Event::Apply(plugin));
    }
    store
}

#[tokio::test]
async fn what_was_accepted_is_read_from_the_copy_whatever_became_of_the_original() {
    let fake = Fake::default();
    fake.apply("notes", "0001.sql", TEXT);
    let plugin = accepted("1.0.0", TEXT);
    let copies = Copies::default();
    copies
        .keep(&plugin, &[script(TEXT)], &fake.client(), OWN)
        .await
        .unwrap();
    fake.apply("notes", "0001.sql", "DROP TABLE {{schema}}.notes");
    assert_eq!(read(&plugin, &fake).await.unwrap(), TEXT);
    fake.delete("notes");
    assert_eq!(read(&plugin, &fake).await.unwrap(), TEXT);
}

#[tokio::test]
async fn another_text_than_what_was_accepted_is_never_read() {
    let fake = Fake::default();
    let plugin = accepted("1.0.0", TEXT);
    // Somebody made another copy in the place of ours.
    fake.apply(&copy_of(TEXT), KEY, "SELECT 1");
    fake.apply("notes", "0001.sql", "SELECT 2");
    let Err(Unreadable::Missing(told)) = read(&plugin, &fake).await else {
        panic!("another text was read");
    };
    assert!(
        told.starts_with(
            "migration 0001_notes: the copy of its statements is gone, and key 0001.sql of ConfigMap notes"
        ),
        "{told}"
    );
    fake.apply("notes", "0001.sql", TEXT);
    assert_eq!(read(&plugin, &fake).await.unwrap(), TEXT);
}

#[tokio::test]
async fn a_release_of_an_earlier_operator_is_read_from_the_original_while_that_is_what_was_accepted() {
    let fake = Fake::default();
    fake.apply("notes", "0001.sql", TEXT);
    let digest = super::super::validate::accept(&release("1.0.0", &json!({})), &[script(TEXT)])
        .unwrap()
        .digest;
    let plugin = release("1.0.0", &json!({ "acceptedDigest": digest }));
    assert_eq!(read(&plugin, &fake).await.unwrap(), TEXT);
    fake.apply("notes", "0001.sql", "SELECT 2");
    assert!(matches!(read(&plugin, &fake).await, Err(Unreadable::Missing(_))));
}

#[tokio::test]
async fn copies_are_immutable_and_releases_of_a_plugin_share_them() {
    let fake = Fake::default();
    let copies = Copies::default();
    for version in ["1.0.0", "1.1.0"] {
        let plugin = accepted(version, TEXT);
        copies
            .keep(&plugin, &[script(TEXT)], &fake.client(), OWN)
            .await
            .unwrap();
    }
    assert_eq!(fake.names(), [copy_of(TEXT)]);
    assert_eq!(fake.0.lock().unwrap().maps[&copy_of(TEXT)]["immutable"], json!(true));
}

#[tokio::test]
async fn a_copy_goes_with_the_last_release_that_needs_it() {
    let fake = Fake::default();
    let copies = Copies::default();
    let client = fake.client();
    let (first, second) = (accepted("1.0.0", TEXT), accepted("1.1.0", TEXT));
    for (plugin, text) in [(&first, TEXT), (&second, TEXT), (&first, "SELECT 1")] {
        copies.keep(plugin, &[script(text)], &client, OWN).await.unwrap();
    }
    let guards = || [first.clone(), second.clone()].map(|plugin| DeserializeGuard(Ok(plugin)));
    copies
        .remove(&first.metadata, &cached(guards()), &client, OWN)
        .await
        .unwrap();
    assert_eq!(fake.names(), [copy_of(TEXT)]);
    let [_, left] = guards();
    copies
        .remove(&second.metadata, &cached([left]), &client, OWN)
        .await
        .unwrap();
    assert_eq!(fake.names(), Vec::<String>::new());
}

#[tokio::test]
async fn a_copy_stays_for_a_release_whose_status_is_not_seen_yet_or_does_not_decode() {
    let fake = Fake::default();
    let copies = Copies::default();
    let client = fake.client();
    let (first, second) = (accepted("1.0.0", TEXT), release("1.1.0", &Value::Null));
    for plugin in [&first, &second] {
        copies.keep(plugin, &[script(TEXT)], &client, OWN).await.unwrap();
    }
    let cache = cached([first.clone(), second].map(|plugin| DeserializeGuard(Ok(plugin))));
    copies.remove(&first.metadata, &cache, &client, OWN).await.unwrap();
    assert_eq!(fake.names(), [copy_of(TEXT)]);
    let odd: Root<Plugin> = DeserializeGuard(Err(InvalidObject {
        error: "odd".to_owned(),
        metadata: ObjectMeta {
            name: Some("notes-2.0.0".into()),
            uid: Some("uid-of-2.0.0".into()),
            ..ObjectMeta::default()
        },
    }));
    copies
        .remove(&first.metadata, &cached([odd]), &client, OWN)
        .await
        .unwrap();
    assert_eq!(fake.names(), [copy_of(TEXT)]);
}

#[tokio::test]
async fn a_copy_that_somebody_removed_is_made_anew_and_another_original_is_told() {
    let fake = Fake::default();
    let (copies, client) = (Copies::default(), fake.client());
    let plugin = accepted("1.0.0", TEXT);
    let scripts = plugin.status.clone().unwrap().accepted_scripts;
    let look = async || care(&plugin, &scripts, &copies, &client, OWN).await;
    fake.apply("notes", "0001.sql", TEXT);
    assert_eq!(look().await.unwrap(), Vec::<String>::new());
    assert_eq!(fake.names(), ["notes".to_owned(), copy_of(TEXT)]);
    fake.apply("notes", "0001.sql", "SELECT 2");
    let told = "spec.migrations[0]: key 0001.sql of ConfigMap notes in namespace plexica-system is not what was accepted; what was \
                accepted is applied";
    assert_eq!(look().await.unwrap(), [told]);
    fake.delete("notes");
    assert_eq!(look().await.unwrap(), Vec::<String>::new());
    fake.delete(&copy_of(TEXT));
    assert!(look().await.unwrap()[0].contains("the copy of `0001_notes` is gone"));
    fake.0.lock().unwrap().is_down = true;
    assert!(look().await.is_err());
}
