//! Server-side apply that is silent when nothing would change.
//!
//! An apply is a PATCH even if it changes nothing; a converged object must cause no write. So the live
//! object is read first and compared: everything that we declare must be there, what others added is theirs.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use plexica_crds::quantity;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use strum::AsRefStr;

use super::{
    age::{Age, get},
    client::{ApiError, within},
};

/// Who writes what: one field manager a concern, so that server-side apply never fights itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, AsRefStr)]
pub enum FieldManager {
    /// Objects that the operator declares.
    #[strum(serialize = "plexica-operator")]
    Objects,
    /// The status of our resources.
    #[strum(serialize = "plexica-operator-status")]
    Status,
    /// Finalizers of our resources.
    #[strum(serialize = "plexica-operator-finalizer")]
    Finalizer,
}

/// What an apply did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was as declared.
    Unchanged,
    /// It was missing and was made.
    Created,
    /// It differed and was set right.
    Updated,
}

/// Makes the object as declared, unless it is so already.
///
/// # Errors
/// What the API server answers to the read or to the apply.
pub async fn apply<K>(api: &Api<K>, name: &str, declared: &K) -> Result<Applied, ApiError>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let live = read(api, name, declared).await?;
    apply_to(api, name, live.as_ref(), declared).await
}

/// Reads an object that is to be as declared. If the API server's cache shows it so, that will do: it was so some moments ago, and
/// whoever changes it is told of by a watch, or found by a later pass. By what a cache shows nothing is written: if it shows
/// anything else, the object is read anew.
///
/// # Errors
/// What the API server answers.
pub async fn read<K>(api: &Api<K>, name: &str, declared: &K) -> Result<Option<K>, ApiError>
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let known = get(api, name, Age::Any).await?;
    match known.filter(|known| is_as_declared(known, declared)) {
        Some(known) => Ok(Some(known)),
        None => get(api, name, Age::Newest).await,
    }
}

/// As [`apply`], for an object that has been read already.
///
/// # Errors
/// What the API server answers to the apply.
pub async fn apply_to<K>(api: &Api<K>, name: &str, live: Option<&K>, declared: &K) -> Result<Applied, ApiError>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    if live.is_some_and(|live| is_as_declared(live, declared)) {
        return Ok(Applied::Unchanged);
    }
    put(api, name, declared).await?;
    Ok(if live.is_some() {
        Applied::Updated
    } else {
        Applied::Created
    })
}

/// Writes an object as declared, and gives it as it is then.
///
/// # Errors
/// What the API server answers.
pub async fn put<K>(api: &Api<K>, name: &str, declared: &K) -> Result<K, ApiError>
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    // Forced: the operator is the sole owner of the fields that it declares.
    let params = PatchParams::apply(FieldManager::Objects.as_ref()).force();
    within(api.patch(name, &params, &Patch::Apply(declared))).await
}

/// Whether everything that is declared of an object is there.
pub fn is_as_declared<K: Serialize>(live: &K, declared: &K) -> bool {
    let json = |object: &K| serde_json::to_value(object).unwrap_or_default();
    holds(&json(live), &json(declared))
}

/// Whether everything that is wanted is there. Objects may hold more; lists are compared whole; quantities by
/// value, since the API server may write `1000m` as `1`.
pub fn holds(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, value)| {
            value.is_null()
                || live
                    .get(key)
                    .map_or_else(|| is_empty(value), |found| holds(found, value))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| holds(live, wanted))
        }
        (Value::String(live), Value::String(wanted)) => {
            live == wanted || {
                let value = |text: &String| quantity::millis(&Quantity(text.clone()));
                value(live).is_some() && value(live) == value(wanted)
            }
        }
        _ => live == wanted,
    }
}

/// The API server leaves out empty objects and lists, and flags that are off (`omitempty`). An empty text is something: a
/// label may have one.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().all(is_empty),
        Value::Array(list) => list.is_empty(),
        Value::Bool(flag) => !flag,
        Value::String(_) | Value::Number(_) => false,
        Value::Null => true,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;

    fn map(value: &str) -> ConfigMap {
        serde_json::from_value(json!({ "metadata": { "name": "x" }, "data": { "key": value } })).unwrap()
    }

    /// What is read of an object that is to have `wanted`, and of whom: the cache, or etcd.
    async fn read_of(cached: Option<&str>, live: Option<&str>) -> (Option<ConfigMap>, Vec<&'static str>) {
        let [cached, live] = [cached, live].map(|value| value.map(map));
        let asked = Arc::new(Mutex::new(vec![]));
        let seen = Arc::clone(&asked);
        let answers = tower::service_fn(move |request: http::Request<Body>| {
            let is_cached = request.uri().query().unwrap_or_default().contains("resourceVersion=0");
            seen.lock().unwrap().push(if is_cached { "cache" } else { "etcd" });
            let found = if is_cached { &cached } else { &live };
            let (status, body) = match found {
                Some(found) => (200, serde_json::to_value(found).unwrap()),
                None => (
                    404,
                    json!({ "status": "Failure", "reason": "NotFound", "code": 404, "message": "" }),
                ),
            };
            let answer = http::Response::builder().status(status);
            let answer = answer.body(Body::from(body.to_string().into_bytes())).unwrap();
            std::future::ready(Ok::<_, tower::BoxError>(answer))
        });
        let api = Api::namespaced(Client::new(answers, "default"), "default");
        let found = read(&api, "x", &map("wanted")).await.unwrap();
        let asked = asked.lock().unwrap().clone();
        (found, asked)
    }

    #[tokio::test]
    async fn a_cache_may_say_that_nothing_is_to_be_written_and_nothing_else() {
        let twice = vec!["cache", "etcd"];
        assert_eq!(
            read_of(Some("wanted"), Some("other")).await,
            (Some(map("wanted")), vec!["cache"])
        );
        assert_eq!(
            read_of(Some("other"), Some("wanted")).await,
            (Some(map("wanted")), twice.clone())
        );
        assert_eq!(
            read_of(None, Some("foreign")).await,
            (Some(map("foreign")), twice.clone())
        );
        assert_eq!(read_of(Some("other"), None).await, (None, twice));
    }

    #[test]
    fn what_others_add_is_no_difference() {
        let live =
            json!({"metadata": {"name": "x", "uid": "1", "labels": {"a": "1", "theirs": "2"}}, "spec": {"n": 1}});
        assert!(holds(
            &live,
            &json!({"metadata": {"name": "x", "labels": {"a": "1"}}, "spec": {"n": 1, "m": {}}})
        ));
        assert!(!holds(&live, &json!({"metadata": {"labels": {"a": "2"}}})));
        assert!(!holds(&live, &json!({"metadata": {"labels": {"b": "1"}}})));
        assert!(holds(&live, &json!({"spec": {"readOnly": false}})));
        assert!(!holds(&live, &json!({"metadata": {"labels": {"empty": ""}}})));
        assert!(!holds(&live, &json!({"spec": {"readOnly": true}})));
    }

    #[test]
    fn quantities_are_equal_by_value_and_lists_as_a_whole() {
        assert!(holds(&json!({"cpu": "1"}), &json!({"cpu": "1000m"})));
        assert!(!holds(&json!({"cpu": "1"}), &json!({"cpu": "2"})));
        assert!(!holds(&json!(["a", "b"]), &json!(["a"])));
    }
}
