//! From an AdmissionReview to an answer. Whatever cannot be decided is let through with a warning: the operator decides it
//! in a pass, and says so in a condition.

mod installation;
mod plugin;
mod tenant;
mod verdict;

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    routing::post,
};
use kube::{
    Resource,
    core::{
        DynamicObject,
        admission::{AdmissionRequest, AdmissionResponse, AdmissionReview},
        response::StatusSummary,
    },
};
use plexica_crds::{Plugin, PluginInstallation, Tenant};
use plexica_operator::runtime::controller::Root;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::cluster::{Cluster, Unread};

pub use verdict::{Metrics, Verdict};

/// How long a decision may take: less than the 3 s that the API server waits (chart, `timeoutSeconds`).
const DECISION_TIMEOUT: Duration = Duration::from_millis(2_500);
/// How far the cache may be behind what was written: a refusal is looked at again after it. Seen: milliseconds.
const CACHE_LAG: Duration = Duration::from_millis(250);
/// An object and its predecessor of 1.5 MiB each, the limit of etcd, and what is around them.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// What all requests share.
#[derive(Clone)]
struct Desk {
    cluster: Cluster,
    metrics: Metrics,
}

/// The paths that the ValidatingWebhookConfiguration of the chart names.
pub fn router(cluster: Cluster, metrics: Metrics) -> Router {
    Router::new()
        .route("/plugininstallations", post(review::<PluginInstallation>))
        .route("/plugins", post(review::<Plugin>))
        .route("/tenants", post(review::<Tenant>))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Desk { cluster, metrics })
}

/// A kind whose requests are decided.
trait Decided: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static {
    /// Decides one request.
    fn decide(
        request: &AdmissionRequest<Root<Self>>,
        cluster: &Cluster,
    ) -> impl Future<Output = Result<Verdict, Unread>> + Send;
}

/// Decides, twice where it is a refusal, and says so to the caller, the log and the metrics.
async fn review<K: Decided>(
    State(desk): State<Desk>,
    Json(review): Json<AdmissionReview<Root<K>>>,
) -> Json<AdmissionReview<DynamicObject>> {
    let request: AdmissionRequest<Root<K>> = match review.try_into() {
        Ok(request) => request,
        Err(error) => return Json(AdmissionResponse::invalid(error).into_review()),
    };
    let certain = async {
        match K::decide(&request, &desk.cluster).await? {
            Verdict::Refused { .. } => {
                sleep(CACHE_LAG).await;
                K::decide(&request, &desk.cluster).await
            }
            verdict @ (Verdict::Allowed | Verdict::Warned(_)) => Ok(verdict),
        }
    };
    let verdict = match timeout(DECISION_TIMEOUT, certain).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(unread)) => unchecked(&request, &unread.to_string()),
        Err(_) => unchecked(&request, "the cluster does not answer in time"),
    };
    desk.metrics.count(&request, &verdict);
    Json(respond(&request, verdict).into_review())
}

fn unchecked<K: Resource>(request: &AdmissionRequest<K>, why: &str) -> Verdict {
    warn!(kind = request.kind.kind, object = request.name, why, "not checked");
    Verdict::Warned("not checked by the webhook, but by the operator: see the object's conditions".to_owned())
}

fn respond<K: Resource>(request: &AdmissionRequest<K>, verdict: Verdict) -> AdmissionResponse {
    let mut response = AdmissionResponse::from(request);
    let (kind, object, namespace) = (&request.kind.kind, &request.name, request.namespace.as_deref());
    let (operation, dry_run) = (&request.operation, request.dry_run);
    match verdict {
        Verdict::Allowed => debug!(kind, object, namespace, ?operation, dry_run, "allowed"),
        Verdict::Warned(warning) => {
            info!(
                kind,
                object,
                namespace,
                ?operation,
                dry_run,
                warning,
                "allowed with a warning"
            );
            response.warnings = Some(vec![warning]);
        }
        Verdict::Refused { reason, message } => {
            let user = request.user_info.username.as_deref();
            info!(
                kind,
                object,
                namespace,
                ?operation,
                dry_run,
                user,
                reason,
                message,
                "refused"
            );
            response = response.deny(message);
            response.result.status = Some(StatusSummary::Failure);
            response.result.code = axum::http::StatusCode::FORBIDDEN.as_u16();
            reason.clone_into(&mut response.result.reason);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request() -> AdmissionRequest<DynamicObject> {
        let review: AdmissionReview<DynamicObject> = serde_json::from_value(json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u1", "name": "crm", "namespace": "tenant-umbrella", "operation": "CREATE",
                "kind": { "group": "plexica.io", "version": "v1alpha1", "kind": "PluginInstallation" },
                "resource": { "group": "plexica.io", "version": "v1alpha1", "resource": "plugininstallations" },
                "userInfo": {}, "object": null, "oldObject": null }
        }))
        .unwrap();
        review.try_into().unwrap()
    }

    #[test]
    fn a_refusal_has_the_reason_of_the_condition_and_its_message() {
        let verdict = Verdict::Refused {
            reason: "ConfigurationInvalid",
            message: "/depth: too deep".into(),
        };
        let response = respond(&request(), verdict);
        assert!(!response.allowed && response.uid == "u1");
        let said = json!(response.result);
        assert_eq!(
            said,
            json!({ "status": "Failure", "code": 403, "reason": "ConfigurationInvalid", "message": "/depth: too deep" })
        );
    }

    #[test]
    fn a_doubt_is_a_warning() {
        let response = respond(&request(), Verdict::Warned("not yet".into()));
        assert!(response.allowed);
        assert_eq!(response.warnings, Some(vec!["not yet".to_owned()]));
    }
}
