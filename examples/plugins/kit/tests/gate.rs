//! Which requests reach a plugin's handlers.
#![allow(clippy::unwrap_used, reason = "a test is more than its #[test] functions")]

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::{Router, routing::get};
use plexica_plugin_kit::Plugin;
use plexica_plugin_kit::auth::Caller;
use plexica_plugin_kit::serve::drain::Times;
use plexica_plugin_kit::serve::{Routes, router};
use plexica_plugin_kit::testing::{Issuer, TENANT, TENANT_ID};
use serde_json::{Value, json};
use tower::ServiceExt;

struct Scene {
    issuer: Issuer,
    router: Router,
}

impl Scene {
    async fn new() -> Self {
        let issuer = Issuer::start().await;
        let plugin = Plugin::new(issuer.environment("crm", json!({}), &[]), Times::default()).unwrap();
        let who = |caller: Caller| async move { caller.subject };
        let routes = Routes {
            gated: Router::new().route("/who", get(who)),
            ready: "SELECT 1",
            ..Routes::default()
        };
        Self {
            router: router(&plugin, routes),
            issuer,
        }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn with_token(&self, token: &str) -> (StatusCode, String) {
        self.get("/who", &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// The refusal of a token with changed claims.
    async fn refusal(&self, changed: Value) -> String {
        let (status, body) = self.with_token(&self.issuer.token(&changed)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{changed}: {body}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        problem["detail"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_token_of_the_tenants_realm_is_let_in() {
    let scene = Scene::new().await;
    let (status, who) = scene.with_token(&scene.issuer.token(&json!({}))).await;
    assert_eq!((status, who.as_str()), (StatusCode::OK, "ada"));
    let for_services = json!({ "azp": "some-job", "aud": ["account", "plexica-api"] });
    let (status, _) = scene.with_token(&scene.issuer.token(&for_services)).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn without_a_token_nothing_is_answered() {
    let scene = Scene::new().await;
    for headers in [
        &[][..],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "Bearer")],
    ] {
        assert_eq!(scene.get("/who", headers).await.0, StatusCode::UNAUTHORIZED);
    }
    // Nor by saying who one is.
    let forged = [("x-tenant-slug", TENANT), ("x-user-id", "ada")];
    assert_eq!(scene.get("/who", &forged).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_of_another_realm_is_refused() {
    let scene = Scene::new().await;
    let other = Issuer::start().await;
    let (status, body) = scene.with_token(&other.token(&json!({}))).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("another realm"), "{body}");
    // Nor when the other realm claims to be ours: its key has the same id, and is another.
    let (status, body) = scene
        .with_token(&other.token(&json!({ "iss": scene.issuer.name() })))
        .await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("signature is wrong"), "{body}");
    let both = json!({ "iss": [scene.issuer.name(), other.name()] });
    assert!(scene.refusal(both).await.contains("another realm"));
}

#[tokio::test]
async fn each_claim_that_is_not_right_is_named() {
    let scene = Scene::new().await;
    let now = jsonwebtoken::get_current_timestamp();
    for (changed, part) in [
        (json!({ "exp": now - 60 }), "has expired"),
        (json!({ "exp": null }), "lacks a claim"),
        (json!({ "nbf": now + 60 }), "does not count yet"),
        (json!({ "sub": null }), "lacks a claim"),
        (json!({ "iss": null }), "another realm"),
        (json!({ "typ": "ID" }), "no access token"),
        (json!({ "azp": "some-job" }), "audience"),
        (json!({ "azp": "some-job", "aud": "plexica-web" }), "audience"),
    ] {
        let detail = scene.refusal(changed.clone()).await;
        assert!(detail.contains(part), "{changed}: {detail}");
    }
}

#[tokio::test]
async fn only_the_keys_own_algorithm_counts() {
    let scene = Scene::new().await;
    let claims = scene.issuer.claims();
    for header in [
        json!({ "alg": "none", "kid": "one" }),
        json!({ "alg": "HS256", "kid": "one" }),
        json!({ "alg": "RS256", "kid": "one" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": "two" }),
        json!({ "alg": "RSA-OAEP", "kid": "enc" }),
        json!({ "alg": "ES256", "kid": "one", "crit": ["b64"] }),
    ] {
        let (status, body) = scene.with_token(&scene.issuer.sign(&header, &claims)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{header}: {body}");
    }
    // A token without its signature.
    let token = scene.issuer.token(&json!({}));
    let (unsigned, _) = token.rsplit_once('.').unwrap();
    assert_eq!(
        scene.with_token(&format!("{unsigned}.")).await.0,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_header_that_names_another_tenant_is_refused() {
    let scene = Scene::new().await;
    let token = format!("Bearer {}", scene.issuer.token(&json!({})));
    let own = [
        ("authorization", token.as_str()),
        ("x-tenant-slug", TENANT),
        ("x-tenant-id", TENANT_ID),
    ];
    assert_eq!(scene.get("/who", &own).await.0, StatusCode::OK);
    for forged in [
        [("x-tenant-slug", "globex-inc"), ("x-tenant-id", TENANT_ID)],
        [
            ("x-tenant-slug", TENANT),
            ("x-tenant-id", "00000000-0000-0000-0000-000000000008"),
        ],
        [("x-tenant-slug", TENANT), ("x-tenant-slug", "globex-inc")],
    ] {
        let headers = [&[("authorization", token.as_str())], &forged[..]].concat();
        let (status, body) = scene.get("/who", &headers).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_no_fault_of_the_token() {
    let gone = Issuer::start().await;
    let down = [("OIDC_JWKS_URI", "http://127.0.0.1:1/certs")];
    let plugin = Plugin::new(gone.environment("crm", json!({}), &down), Times::default()).unwrap();
    let routes = Routes {
        gated: Router::new().route("/who", get(|| async {})),
        ..Routes::default()
    };
    let scene = Scene {
        router: router(&plugin, routes),
        issuer: gone,
    };
    let (status, body) = scene.with_token(&scene.issuer.token(&json!({}))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("the tenant's realm does not answer"), "{body}");
}

#[tokio::test]
async fn everybody_is_told_health_and_version_and_an_unreachable_database_is_not_ready() {
    let scene = Scene::new().await;
    assert_eq!(scene.get("/health", &[]).await.0, StatusCode::OK);
    let (_, version) = scene.get("/version", &[]).await;
    assert_eq!(
        serde_json::from_str::<Value>(&version).unwrap(),
        json!({ "plugin": "crm", "version": "1.0.0", "slot": "a", "tenant": TENANT })
    );
    let (status, body) = scene.get("/ready", &[]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("the database does not answer"), "{body}");
    assert_eq!(scene.get("/nothing", &[]).await.0, StatusCode::NOT_FOUND);
}
