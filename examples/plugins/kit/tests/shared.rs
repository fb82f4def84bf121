//! One process for many tenants.
#![allow(clippy::unwrap_used, reason = "a test is more than its #[test] functions")]

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Router, routing::get};
use plexica_plugin_kit::auth::Caller;
use plexica_plugin_kit::environment::{Sharing, Variables};
use plexica_plugin_kit::process::Process;
use plexica_plugin_kit::serve::Routes;
use plexica_plugin_kit::serve::drain::{Phase, Times};
use plexica_plugin_kit::testing::{Issuer, TENANT_ID};
use plexica_plugin_kit::{Incomplete, Plugin, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tower::ServiceExt;

const ACME: &str = "acme-corp";
const GLOBEX: &str = "globex-inc";

#[derive(Deserialize)]
struct Configuration {
    currency: String,
}

/// Routes of a plugin that says what it is configured with, and to whom.
fn routes(plugin: &Plugin) -> Result<Routes, Incomplete> {
    let Configuration { currency } = plugin.environment.configuration()?;
    let (tenant, pool) = (plugin.environment.tenant.clone(), plugin.database.clone());
    let (open, database) = (currency.clone(), pool.clone());
    Ok(Routes {
        gated: Router::new()
            .route(
                "/currency",
                get(async move |caller: Caller| format!("{tenant}: {currency} for {}", caller.subject)),
            )
            .route(
                "/pool",
                get(async move || pool.options().get_max_connections().to_string()),
            )
            .route("/rows", get(async move || rows(&database).await)),
        open: Router::new().route("/open/{any}", get(async move || open)),
        ready: "SELECT 1",
    })
}

async fn rows(database: &PgPool) -> Result<String, Problem> {
    let done = sqlx::query("SELECT 1").execute(database).await?;
    Ok(done.rows_affected().to_string())
}

/// A process with a folder of tenants, and the realms of two of them.
struct Scene {
    acme: Issuer,
    globex: Issuer,
    folder: TempDir,
    router: OnceCell<Router>,
}

/// What was answered.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn problem(&self) -> Value {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.body
        );
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Scene {
    /// Two tenants that can be served, though no database answers.
    async fn new() -> Self {
        let scene = Self {
            acme: Issuer::start().await,
            globex: Issuer::start().await,
            folder: tempfile::tempdir().unwrap(),
            router: OnceCell::new(),
        };
        mount(scene.folder.path(), ACME, &scene.acme, "EUR");
        mount(scene.folder.path(), GLOBEX, &scene.globex, "USD");
        scene
    }

    /// A process that reads the folder as it is now.
    fn process(&self, times: Times) -> Process {
        let variables = [
            ("PLEXICA_PLUGIN", "crm"),
            ("PLEXICA_VERSION", "1.0.0"),
            ("PLEXICA_SLOT", "b"),
            ("PLEXICA_TENANTS", self.folder.path().to_str().unwrap()),
        ];
        let variables: Variables = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Process::new(Sharing::read(&variables).unwrap(), times, routes).unwrap()
    }

    /// Asks the process, which reads the folder at the first time.
    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let router = self.router.get_or_init(|| self.process(Times::default()).router);
        ask(router, path, headers).await
    }

    /// Asks for a tenant with a token of a realm.
    async fn as_user(&self, tenant: &str, realm: &Issuer, path: &str) -> Answer {
        let token = format!("Bearer {}", realm.token(&json!({})));
        self.get(path, &[("authorization", &token), ("x-tenant-slug", tenant)])
            .await
    }

    async fn currency(&self, tenant: &str, realm: &Issuer) -> Answer {
        self.as_user(tenant, realm, "/currency").await
    }
}

/// What the platform mounts for a tenant.
fn mount(folder: &Path, tenant: &str, issuer: &Issuer, currency: &str) {
    let env = folder.join(tenant).join("env");
    fs::create_dir_all(&env).unwrap();
    let configuration = json!({ "currency": currency }).to_string();
    fs::write(folder.join(tenant).join("config.json"), configuration).unwrap();
    let of_the_process = ["PLEXICA_TENANT", "PLEXICA_PLUGIN", "PLEXICA_VERSION", "PLEXICA_SLOT"];
    for (name, value) in issuer.variables("crm") {
        if !of_the_process.contains(&name.as_str()) {
            fs::write(env.join(name), value).unwrap();
        }
    }
}

async fn ask(router: &Router, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    Answer { status, headers, body }
}

#[tokio::test]
async fn two_tenants_in_one_process_are_told_apart() {
    let scene = Scene::new().await;
    let answer = scene.currency(ACME, &scene.acme).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, "acme-corp: EUR for ada")
    );
    let answer = scene.currency(GLOBEX, &scene.globex).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, "globex-inc: USD for ada")
    );
    let open = scene.get("/open/1", &[("x-tenant-slug", GLOBEX)]).await;
    assert_eq!((open.status.as_u16(), open.body.as_str()), (200, "USD"));
}

#[tokio::test]
async fn a_forged_header_is_of_no_use() {
    let scene = Scene::new().await;
    for (tenant, realm) in [(GLOBEX, &scene.acme), (ACME, &scene.globex)] {
        let answer = scene.currency(tenant, realm).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert!(answer.body.contains("another realm"), "{}", answer.body);
    }
    // Nor with the name of the other realm: the keys are the tenant's own.
    let forged = scene.acme.token(&json!({ "iss": scene.globex.name() }));
    let headers = [
        ("authorization", format!("Bearer {forged}")),
        ("x-tenant-slug", GLOBEX.into()),
    ];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    assert_eq!(scene.get("/currency", &headers).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn who_names_no_tenant_that_is_here_is_told_so_before_anything_else() {
    let scene = Scene::new().await;
    for (headers, part) in [
        (&[][..], "must name one"),
        (&[("x-tenant-slug", "initech")], "names no tenant"),
        (&[("x-tenant-slug", "")], "names no tenant"),
        (&[("x-tenant-slug", "..")], "names no tenant"),
        (&[("x-tenant-slug", ACME), ("x-tenant-slug", GLOBEX)], "must name one"),
    ] {
        for path in ["/currency", "/open/1", "/version", "/nothing"] {
            let answer = scene.get(path, headers).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{headers:?}: {}", answer.body);
            let problem = answer.problem();
            assert_eq!(problem["type"], "tag:plexica.io,2026:no-tenant");
            assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
        }
    }
    // What a tenant has not is another kind of nothing.
    let problem = scene.get("/nothing", &[("x-tenant-slug", ACME)]).await.problem();
    assert_eq!(problem["type"], "about:blank");
}

#[tokio::test]
async fn a_header_with_another_tenants_id_is_refused() {
    let scene = Scene::new().await;
    let token = format!("Bearer {}", scene.acme.token(&json!({})));
    for (id, status) in [(TENANT_ID, 200), ("00000000-0000-0000-0000-000000000008", 403)] {
        let headers = [
            ("authorization", token.as_str()),
            ("x-tenant-slug", ACME),
            ("x-tenant-id", id),
        ];
        assert_eq!(scene.get("/currency", &headers).await.status, status);
    }
}

#[tokio::test]
async fn a_tenant_that_lacks_something_does_not_hinder_the_other() {
    for (file, text) in [
        ("env/DATABASE_URL", None),
        ("env/DATABASE_URL", Some("sesame")),
        ("env/OIDC_ISSUER", None),
        // What the plugin itself wants of it.
        ("config.json", Some("{}")),
    ] {
        let scene = Scene::new().await;
        let path = scene.folder.path().join(ACME).join(file);
        match text {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let answer = scene.currency(ACME, &scene.acme).await;
        assert_eq!(
            answer.status,
            StatusCode::SERVICE_UNAVAILABLE,
            "{file}: {}",
            answer.body
        );
        assert!(
            answer.problem()["detail"]
                .as_str()
                .unwrap()
                .contains("cannot be served")
        );
        assert!(!answer.body.contains("sesame"));
        let answer = scene.currency(GLOBEX, &scene.globex).await;
        assert_eq!(answer.status, StatusCode::OK, "{file}: {}", answer.body);
        assert_eq!(scene.get("/health", &[]).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_tenant_whose_database_is_down_keeps_nobody_else_waiting() {
    let scene = Scene::new().await;
    let mut down = pin!(scene.as_user(ACME, &scene.acme, "/rows"));
    tokio::select! {
        biased;
        answer = &mut down => panic!("{}", answer.body),
        answer = scene.as_user(GLOBEX, &scene.globex, "/currency") => assert_eq!(answer.status, StatusCode::OK),
    }
    let answer = down.await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("the database does not answer"), "{}", answer.body);
}

#[tokio::test]
async fn all_tenants_are_told_of_the_end_together() {
    let scene = Scene::new().await;
    let short = Duration::from_millis(200);
    let process = scene.process(Times {
        leaving: short,
        closing: short,
        ending: short,
    });
    let (router, drain) = (process.router.clone(), process.drain.clone());
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = tokio::spawn(process.listen(listener, async {
        let _ = stopped.await;
    }));
    stop.send(()).unwrap();
    drain.reached(Phase::Leaving).await;
    for tenant in [ACME, GLOBEX] {
        let answer = ask(&router, "/open/1", &[("x-tenant-slug", tenant)]).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["connection"], "close");
    }
    let answer = ask(&router, "/ready", &[]).await;
    assert!(answer.body.contains("told to end"), "{}", answer.body);
    running.await.unwrap();
}

#[tokio::test]
async fn health_and_readiness_are_the_processs_and_wait_for_the_first_database() {
    let scene = Scene::new().await;
    for headers in [&[][..], &[("x-tenant-slug", "initech")]] {
        assert_eq!(scene.get("/health", headers).await.status, StatusCode::OK);
        let answer = scene.get("/ready", headers).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            answer.body.contains("no tenant's database has answered yet"),
            "{}",
            answer.body
        );
    }
    for tenant in [ACME, GLOBEX] {
        fs::remove_dir_all(scene.folder.path().join(tenant).join("env")).unwrap();
    }
    let answer = ask(&scene.process(Times::default()).router, "/ready", &[]).await;
    assert!(answer.body.contains("no tenant can be served"), "{}", answer.body);
}

#[tokio::test]
async fn every_answer_says_which_release_gave_it() {
    let scene = Scene::new().await;
    for (path, headers) in [
        ("/health", &[][..]),
        ("/currency", &[]),
        ("/version", &[("x-tenant-slug", ACME)]),
    ] {
        let answer = scene.get(path, headers).await;
        assert_eq!(answer.headers["x-plexica-version"], "1.0.0", "{path}");
        assert_eq!(answer.headers["x-plexica-slot"], "b", "{path}");
    }
    let version = scene.get("/version", &[("x-tenant-slug", GLOBEX)]).await.body;
    assert_eq!(
        serde_json::from_str::<Value>(&version).unwrap(),
        json!({ "plugin": "crm", "version": "1.0.0", "slot": "b", "tenant": GLOBEX })
    );
}

#[tokio::test]
async fn a_tenant_of_many_has_few_connections() {
    let scene = Scene::new().await;
    assert_eq!(scene.as_user(ACME, &scene.acme, "/pool").await.body, "2");
}

#[tokio::test]
async fn a_process_for_one_tenant_wants_no_header() {
    let issuer = Issuer::start().await;
    let environment = issuer.environment("crm", json!({ "currency": "EUR" }), &[]);
    let process = Process::new(Sharing::Dedicated(Box::new(environment)), Times::default(), routes).unwrap();
    let token = format!("Bearer {}", issuer.token(&json!({})));
    let answer = ask(&process.router, "/currency", &[("authorization", &token)]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.body.as_str()),
        (200, "acme-corp: EUR for ada")
    );
    let other = [("authorization", token.as_str()), ("x-tenant-slug", GLOBEX)];
    assert_eq!(
        ask(&process.router, "/currency", &other).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(ask(&process.router, "/version", &[]).await.status, StatusCode::OK);
}
