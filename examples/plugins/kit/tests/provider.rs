//! How one plugin asks another.
#![allow(clippy::unwrap_used, reason = "a test is more than its #[test] functions")]

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Json, Router, routing::get};
use plexica_plugin_kit::auth::Caller;
use plexica_plugin_kit::environment::Sharing;
use plexica_plugin_kit::process::Process;
use plexica_plugin_kit::provider::Provider;
use plexica_plugin_kit::serve::drain::Times;
use plexica_plugin_kit::serve::{Routes, router};
use plexica_plugin_kit::testing::{Issuer, TENANT, serve};
use plexica_plugin_kit::{Plugin, Problem};
use serde_json::{Value, json};
use tower::ServiceExt;

/// Plugin contacts: shows what it was sent, or answers with the status that it is asked for.
async fn contacts(Path(id): Path<String>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    if let Ok(status) = id.parse() {
        return Err(StatusCode::from_u16(status).unwrap());
    }
    let [token, tenant] = ["authorization", "x-tenant-slug"].map(|name| headers[name].to_str().unwrap());
    Ok(Json(json!({ "id": id, "token": token, "tenant": tenant })))
}

/// Plugin crm: asks for the contact of that id.
async fn ask(
    State(provider): State<Provider>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Option<Value>>, Problem> {
    provider.get(&caller, &["contacts", &id]).await.map(Json)
}

async fn asked(id: &str) -> (StatusCode, Value, String) {
    asked_of(Router::new().route("/contacts/{id}", get(contacts)), id).await
}

async fn asked_of(provider: Router, id: &str) -> (StatusCode, Value, String) {
    let address = serve(provider).await;
    let issuer = Issuer::start().await;
    let url = format!("http://{address}");
    let environment = issuer.environment("crm", json!({}), &[("PLEXICA_PLUGIN_CONTACTS_URL", &url)]);
    let plugin = Plugin::new(environment, Times::default()).unwrap();
    assert!(Provider::find(&plugin, "billing").is_none());
    let provider = Provider::find(&plugin, "contacts").unwrap();
    let gated = Router::new().route("/ask/{id}", get(ask)).with_state(provider);
    let routes = Routes {
        gated,
        ..Routes::default()
    };
    let token = format!("Bearer {}", issuer.token(&json!({})));
    let request = Request::get(format!("/ask/{id}")).header("authorization", &token);
    let answer = router(&plugin, routes)
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap(), token)
}

#[tokio::test]
async fn a_provider_is_asked_with_the_callers_own_token_and_for_its_tenant() {
    let (status, answer, token) = asked("grace").await;
    assert_eq!(
        (status, answer),
        (
            StatusCode::OK,
            json!({ "id": "grace", "token": token, "tenant": TENANT })
        )
    );
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let (_, answer, _) = asked("..%2Fdeals%3Fx").await;
    assert_eq!(answer["id"], "../deals?x");
}

#[tokio::test]
async fn what_a_provider_refuses_is_told_by_whose_fault_it_is() {
    for (answered, told) in [(401, 403), (403, 403), (500, 503), (503, 503), (302, 503)] {
        let (status, problem, _) = asked(&answered.to_string()).await;
        assert_eq!(status, told, "{answered}: {problem}");
        assert!(
            problem["detail"].as_str().unwrap().contains("plugin contacts"),
            "{problem}"
        );
    }
    let (status, answer, _) = asked("404").await;
    assert_eq!((status, answer), (StatusCode::OK, Value::Null));
}

#[tokio::test]
async fn a_provider_that_does_not_know_the_tenant_is_not_taken_for_one_that_has_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("PLEXICA_PLUGIN", "contacts"),
        ("PLEXICA_VERSION", "1.0.0"),
        ("PLEXICA_SLOT", "a"),
        ("PLEXICA_TENANTS", folder.path().to_str().unwrap()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let nobodys = Sharing::read(&variables.into()).unwrap();
    let contacts = Process::new(nobodys, Times::default(), |_| Ok(Routes::default())).unwrap();
    let (status, problem, _) = asked_of(contacts.router, "grace").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("plugin contacts does not serve this tenant"),
        "{detail}"
    );
}
