//! What the plugin answers to. Every answer says which version and slot gave it, as those of every plugin.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{DefaultBodyLimit, Query};
use axum::routing::{get, post};
use axum::{Json, Router};
use plexica_plugin_kit::Problem;
use plexica_plugin_kit::environment::Release;
use plexica_plugin_kit::serve::drain::{Drain, Phase};
use plexica_plugin_kit::serve::{plain, socket};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::configuration::Configuration;

/// Longest answer of `/slow`: as long as a process waits for its last answers.
const SLOW_MAX: Duration = Duration::from_secs(12);
/// Largest body of `/echo`.
const BODY_MAX: usize = 64 << 10;

/// Everything that a process of this release answers to, from now on; `more` is what needs the tenant's data.
pub fn router(release: &Release, configuration: Configuration, more: Router, drain: &Drain) -> Router {
    let version = Json(json!({
        "version": release.version,
        "slot": release.slot.to_string(),
        // The pod's name; a process by hand may have none.
        "pod": std::env::var("HOSTNAME").unwrap_or_default(),
    }));
    let (began, ending) = (Instant::now(), drain.clone());
    let ready = async move || is_ready(&ending, &configuration, began);
    let (told, prefix) = (drain.clone(), release.version.clone());
    let echo = async move |upgrade: WebSocketUpgrade| socket::answer(upgrade, &told, marked_by(prefix));
    let routes = Router::new()
        .route("/version", get(async || version))
        .route(
            "/echo",
            post(async |body: Bytes| body).layer(DefaultBodyLimit::max(BODY_MAX)),
        )
        .route("/slow", get(slow))
        .route("/ws", get(echo))
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(ready))
        .merge(more);
    plain(routes, release, drain)
}

fn is_ready(drain: &Drain, configuration: &Configuration, began: Instant) -> Result<&'static str, Problem> {
    if drain.phase() > Phase::Serving {
        return Err(Problem::not_ready("the process was told to end"));
    }
    if !configuration.is_ready(began) {
        return Err(Problem::not_ready("the configuration says so"));
    }
    Ok("ok\n")
}

#[derive(Deserialize)]
struct Slow {
    milliseconds: u64,
}

async fn slow(Query(Slow { milliseconds }): Query<Slow>) -> Result<String, Problem> {
    let time = Duration::from_millis(milliseconds);
    if time > SLOW_MAX {
        return Err(Problem::invalid(format!(
            "milliseconds are at most {}",
            SLOW_MAX.as_millis()
        )));
    }
    sleep(time).await;
    Ok(format!("{milliseconds} ms\n"))
}

/// Echoes of texts begin with the version and a space.
fn marked_by(version: String) -> impl FnMut(Message) -> Message {
    move |message| match message {
        Message::Text(text) => Message::Text(format!("{version} {text}").into()),
        Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Close(_) => message,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use plexica_plugin_kit::environment::Slot;
    use plexica_plugin_kit::serve::drain::Times;
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;
    use crate::configuration::Fault;

    fn router(fault: Fault) -> Router {
        let release = Release {
            plugin: "traffic".into(),
            version: "1.2.3".into(),
            slot: Slot::B,
        };
        let configuration = Configuration {
            fault,
            ..Configuration::default()
        };
        super::router(&release, configuration, Router::new(), &Drain::new(Times::default()))
    }

    async fn answer(fault: Fault, request: Request<Body>) -> (u16, String) {
        let response = router(fault).oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-plexica-version"], "1.2.3");
        assert_eq!(response.headers()["x-plexica-slot"], "b");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), BODY_MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    fn get(path: &str) -> Request<Body> {
        Request::get(path).body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn it_says_what_it_is() {
        let (status, version) = answer(Fault::None, get("/version")).await;
        let version: Value = serde_json::from_str(&version).unwrap();
        assert_eq!(status, 200);
        assert_eq!((&version["version"], &version["slot"]), (&json!("1.2.3"), &json!("b")));
    }

    #[tokio::test]
    async fn a_body_comes_back() {
        let request = Request::post("/echo").body(Body::from("hi")).unwrap();
        assert_eq!(answer(Fault::None, request).await, (200, "hi".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_answers_take_their_time() {
        let began = Instant::now();
        assert_eq!(answer(Fault::None, get("/slow?milliseconds=1500")).await.0, 200);
        assert_eq!(began.elapsed().as_millis(), 1500);
        assert_eq!(answer(Fault::None, get("/slow?milliseconds=60000")).await.0, 422);
    }

    #[tokio::test]
    async fn a_fault_is_told_by_readiness_and_not_by_health() {
        assert_eq!(answer(Fault::None, get("/ready")).await.0, 200);
        assert_eq!(answer(Fault::NeverReady, get("/ready")).await.0, 503);
        assert_eq!(answer(Fault::NeverReady, get("/health")).await.0, 200);
    }
}
