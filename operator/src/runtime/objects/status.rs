//! Writing the status of an object: only what changed, and only to this very object.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
};
use plexica_crds::outcome::Outcome;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Error, Kind, Objects};
use crate::runtime::{
    apply::FieldManager,
    client::{ApiError, within},
};

/// Says in a message when what waits is tried again.
fn due_text(message: &str, due: Timestamp) -> String {
    format!("{message}; tried again at {}", due.strftime("%H:%M:%SZ"))
}

/// An outcome that says when it is tried again, if it has to wait.
pub fn with_due<R: Copy>(outcome: &Outcome<R>, due: Option<Timestamp>) -> Outcome<R> {
    match (outcome, due) {
        (Outcome::Waiting(reason, message), Some(due)) => Outcome::Waiting(*reason, due_text(message, due)),
        _ => outcome.clone(),
    }
}

impl<K: Kind> Objects<K> {
    /// Brings the status from what it was to what it shall be; the same causes no write.
    pub async fn write_status<S: Serialize + PartialEq>(
        &self,
        meta: &ObjectMeta,
        before: &S,
        after: &S,
    ) -> Result<(), Error> {
        if before == after {
            return Ok(());
        }
        let (before, after) = (json!(before), json!(after));
        self.patch_status(meta, json!({ "status": merge_patch(&before, &after) }))
            .await
    }

    /// Patches the status of an object of which perhaps only metadata is known. Its being gone already is success.
    pub async fn patch_status(&self, meta: &ObjectMeta, mut patch: Value) -> Result<(), Error> {
        // The uid keeps the patch from an object that was made anew under the same name.
        patch["metadata"] = json!({ "uid": meta.uid });
        let params = PatchParams {
            field_manager: Some(FieldManager::Status.as_ref().to_owned()),
            ..PatchParams::default()
        };
        let name = meta.name.as_deref().unwrap_or_default();
        // A typed answer would fail on an object that does not decode.
        let request = kube::core::Request::new(K::url_path(&(), meta.namespace.as_deref()))
            .patch_subresource("status", name, &params, &Patch::Merge(patch))
            .map_err(|error| Error::Status(ApiError::Kube(Box::new(kube::Error::BuildRequest(error)))))?;
        match within(self.client.request::<Value>(request)).await {
            Ok(object) => {
                let written = &object["metadata"];
                self.freshness
                    .wrote(written["uid"].as_str(), written["resourceVersion"].as_str());
                Ok(())
            }
            Err(error) if error.status().is_some_and(kube::core::Status::is_not_found) => Ok(()),
            Err(error) => Err(Error::Status(error)),
        }
    }

    /// Where in the object decoding fails: the error that came with it names no field. It is rare, so the object is
    /// read again; `None` if it is gone, or decodes by now.
    ///
    /// # Errors
    /// The API server does not answer, as for a second after a definition has changed: nothing would cause another pass that told
    /// the field.
    pub async fn locate_undecodable(&self, meta: &ObjectMeta) -> Result<Option<String>, Error> {
        let object = self.read_undecodable(meta).await?;
        let decoded = object.map(serde_path_to_error::deserialize::<_, K>);
        let error = decoded.and_then(Result::err);
        Ok(error.map(|error| format!("{}: {}", error.path(), error.inner())))
    }

    /// An object that does not decode, as it is; `None` if it is gone.
    ///
    /// # Errors
    /// What the API server answers.
    pub async fn read_undecodable(&self, meta: &ObjectMeta) -> Result<Option<Value>, Error> {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> = match &meta.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        // By list, which the operator may do anyway.
        let name = meta.name.as_deref().unwrap_or_default();
        let named = ListParams::default().fields(&format!("metadata.name={name}"));
        let object = within(api.list(&named)).await.map_err(Error::Read)?.items.pop();
        Ok(object.map(|object| json!(object)))
    }
}

/// The JSON merge patch (RFC 7396) from one value to another; lists are replaced whole.
fn merge_patch(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return after.clone();
    };
    let changed = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value))
        .map(|(key, value)| {
            let patch = before
                .get(key)
                .map_or_else(|| value.clone(), |old| merge_patch(old, value));
            (key.clone(), patch)
        });
    let removed = before
        .keys()
        .filter(|key| !after.contains_key(*key))
        .map(|key| (key.clone(), Value::Null));
    Value::Object(changed.chain(removed).collect())
}

#[cfg(test)]
mod tests {
    use kube::{Client, client::Body};
    use plexica_crds::Tenant;

    use super::*;
    use crate::runtime::{metrics::Metrics, recorder::BoundedRecorder};

    /// As the API server answers for a second after a definition has changed.
    #[tokio::test]
    async fn the_field_that_does_not_decode_is_looked_for_again_when_it_could_not_be_read() {
        let answers = tower::service_fn(|_: http::Request<Body>| {
            let said = json!({
                "status": "Failure", "reason": "TooManyRequests", "code": 429, "message": "storage is (re)initializing",
            });
            let answer = http::Response::builder().status(429);
            let answer = answer.body(Body::from(said.to_string().into_bytes())).unwrap();
            std::future::ready(Ok::<_, tower::BoxError>(answer))
        });
        let client = Client::new(answers, "default");
        let recorder = BoundedRecorder::new(client.clone(), "test".into());
        let objects = Objects::<Tenant>::new(client, recorder, Metrics::new().0);
        let meta = ObjectMeta {
            name: Some("odd".to_owned()),
            ..ObjectMeta::default()
        };
        assert!(matches!(objects.locate_undecodable(&meta).await, Err(Error::Read(_))));
    }

    #[test]
    fn a_merge_patch_holds_only_what_changed() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "gone": true, "list": [1]});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "list": [1, 2]});
        assert_eq!(
            merge_patch(&before, &after),
            json!({"b": {"d": 3}, "gone": null, "list": [1, 2]})
        );
    }
}
