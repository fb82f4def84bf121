use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, http::StatusCode as Status, routing::post};

use super::{super::representation::tests::spec, *};

/// A server whose first creates of a realm are answered by 500, and how many were asked of it.
async fn failing(times: usize) -> (KeycloakBackend, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let create = async move || {
        if count.fetch_add(1, Ordering::Relaxed) < times {
            Status::INTERNAL_SERVER_ERROR
        } else {
            Status::CREATED
        }
    };
    let token = async || json!({ "access_token": "token", "expires_in": 60 }).to_string();
    let router = Router::new()
        .route("/realms/master/protocol/openid-connect/token", post(token))
        .route("/admin/realms", post(create));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: Url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let backend = KeycloakBackend::connect(KeycloakConfig {
        issuer_url: url.clone(),
        url,
        client_id: "plexica-operator".to_owned(),
        client_secret: SecretString::from("secret"),
    });
    (backend.unwrap(), asked)
}

#[tokio::test]
async fn a_create_that_keycloak_rolled_back_is_repeated_at_once() {
    let (backend, asked) = failing(CREATES_AGAIN).await;
    backend.create(&spec()).await.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1 + CREATES_AGAIN);
}

#[tokio::test]
async fn a_keycloak_that_goes_on_failing_is_unavailable() {
    let (backend, asked) = failing(usize::MAX).await;
    let error = backend.create(&spec()).await.unwrap_err();
    assert!(matches!(error, BackendError::Unavailable(_)), "{error}");
    assert_eq!(asked.load(Ordering::Relaxed), 1 + CREATES_AGAIN);
}
