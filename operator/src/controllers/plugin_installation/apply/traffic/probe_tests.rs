use std::time::Instant;

use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use futures::FutureExt;
use plexica_crds::{names::Slot, plugin_installation::Cause};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};

use super::*;
use crate::promotion::Revision;

/// A pod on loopback: one path for each way to answer.
async fn pod() -> (Pod, u16) {
    let router = Router::new()
        .route("/well", get(|| async { "well" }))
        .route("/ill", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/elsewhere", get(|| async { Redirect::temporary("/well") }))
        .route("/late", get(|| async { sleep(Duration::from_mins(1)).await }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let pod = json!({ "metadata": { "name": "crm-b-1" }, "status": { "podIP": "127.0.0.1" } });
    (serde_json::from_value(pod).unwrap(), port)
}

fn installation(path: &str) -> PluginInstallation {
    serde_json::from_value(json!({
        "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation",
        "metadata": { "name": "crm", "namespace": "tenant-acme", "uid": "u" },
        "spec": { "promotion": { "promotionDelay": "30s", "probe": { "path": path, "interval": "5s", "timeout": "1s" } } },
    }))
    .unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn soaking() -> Transition {
    Transition {
        id: "1-b".into(),
        from: Some(Slot::A),
        to: Slot::B,
        revision: revision(),
        cause: Cause::NewVersion,
        step: Step::Soaking,
        started_at: at(0),
        deadline: None,
    }
}

fn revision() -> Revision {
    Revision {
        version: "1.0.0".into(),
        config_hash: "1".into(),
    }
}

/// What a pass hears that does not wait.
fn hears(probes: &Probes, (pod, port): &(Pod, u16), path: &str, second: i64) -> Heard {
    let (installation, transition) = (installation(path), soaking());
    let candidate = Candidate {
        installation: &installation,
        transition: &transition,
        ready_since: Some(at(0)),
        pods: vec![pod],
        port: *port,
        probe: installation.spec.promotion.probe.as_ref().unwrap(),
    };
    probes.ask(&candidate, at(second))
}

/// What was answered, when it is.
async fn said(probes: &Probes, pod: &(Pod, u16), path: &str, second: i64) -> Result<Timestamp, String> {
    hears(probes, pod, path, second);
    while probes.lock().of["u"].is_under_way {
        sleep(Duration::from_millis(5)).await;
    }
    hears(probes, pod, path, second).said.unwrap()
}

#[tokio::test]
async fn it_answers_since_the_first_answer_after_the_last_that_was_none() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    assert_eq!(said(&probes, &pod, "/well", 0).await, Ok(at(0)));
    assert_eq!(said(&probes, &pod, "/well", 5).await, Ok(at(0)));
    assert!(said(&probes, &pod, "/ill", 10).await.is_err());
    assert_eq!(said(&probes, &pod, "/well", 15).await, Ok(at(15)));
}

#[tokio::test]
async fn it_is_asked_once_in_an_interval() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    assert_eq!(said(&probes, &pod, "/well", 0).await, Ok(at(0)));
    // It would not answer this.
    assert_eq!(said(&probes, &pod, "/ill", 4).await, Ok(at(0)));
    assert!(said(&probes, &pod, "/ill", 5).await.is_err());
    // The clock was set back.
    assert_eq!(said(&probes, &pod, "/well", -60).await, Ok(at(-60)));
}

#[tokio::test]
async fn while_nobody_asks_it_does_not_answer() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    assert_eq!(said(&probes, &pod, "/well", 0).await, Ok(at(0)));
    assert_eq!(said(&probes, &pod, "/well", 11).await, Ok(at(0)));
    assert_eq!(hears(&probes, &pod, "/well", 23).asked_since, at(23));
    assert_eq!(said(&probes, &pod, "/well", 23).await, Ok(at(23)));
}

#[tokio::test]
async fn a_restart_is_a_break_of_the_operator_s_own_and_the_beginning_is_none() {
    let pod = pod().await;
    assert_eq!(hears(&Probes::new().unwrap(), &pod, "/well", 3).asked_since, at(0));
    assert_eq!(hears(&Probes::new().unwrap(), &pod, "/well", 300).asked_since, at(300));
}

#[tokio::test]
async fn a_pass_does_not_wait_for_an_answer_and_is_called_again_when_it_says_something_else() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    let mut answered = probes.answered();
    let began = Instant::now();
    for second in 0..4 {
        assert_eq!(hears(&probes, &pod, "/late", second).said, None);
    }
    assert!(began.elapsed() < Duration::from_millis(500));
    let called = answered.next().await.unwrap().unwrap();
    assert_eq!(
        (called.name.as_str(), called.namespace.as_deref()),
        ("crm", Some("tenant-acme"))
    );
    assert!(hears(&probes, &pod, "/late", 4).said.unwrap().is_err());
    assert!(said(&probes, &pod, "/late", 5).await.is_err());
    assert!(answered.next().now_or_never().is_none(), "it says the same");
}

#[tokio::test]
async fn a_soak_does_not_end_while_a_question_is_under_way() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    for second in [0, 5, 10, 15, 20, 25] {
        assert_eq!(said(&probes, &pod, "/well", second).await, Ok(at(0)));
    }
    let mut answered = probes.answered();
    let heard = hears(&probes, &pod, "/well", 30);
    assert_eq!((heard.said, heard.held), (Some(Ok(at(0))), Some(at(1))));
    assert!(answered.next().await.is_some());
    assert_eq!(hears(&probes, &pod, "/well", 30).held, None);
}

#[tokio::test]
async fn what_ends_after_its_candidate_is_forgotten() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    let mut answered = probes.answered();
    hears(&probes, &pod, "/late", 0);
    probes.forget("u");
    sleep(Duration::from_millis(1_200)).await;
    assert!(probes.lock().of.is_empty());
    assert!(answered.next().now_or_never().is_none());
}

#[tokio::test]
async fn only_2xx_in_time_by_every_pod_is_an_answer() {
    let pod = pod().await;
    for (path, what) in [
        ("/ill", "answers 503 Service Unavailable"),
        ("/elsewhere", "answers 307 Temporary Redirect"),
        ("/nowhere", "answers 404 Not Found"),
        ("/late", "has no answer within 1 s"),
    ] {
        let said = said(&Probes::new().unwrap(), &pod, path, 0).await;
        assert_eq!(said, Err(format!("GET {path} of pod crm-b-1 {what}")));
    }
    let homeless = (Pod::default(), 1);
    assert!(said(&Probes::new().unwrap(), &homeless, "/well", 0).await.is_err());
}

#[test]
fn what_does_not_answer_is_not_ready_for_long_enough() {
    let ready = Deployed {
        revision: revision(),
        size: 1,
        ready: 1,
        ready_since: Some(at(0)),
        unready_since: None,
        recycled: None,
        rejected: false,
        is_settled: true,
        pods: 1,
        trouble: None,
        is_unanswered: false,
        asked_since: None,
    };
    let judged = |said, held| {
        let mut deployed = ready.clone();
        let asked_since = at(-20);
        judge(
            &mut deployed,
            Heard {
                asked_since,
                said,
                held,
            },
        );
        assert_eq!(deployed.asked_since, Some(asked_since));
        (deployed.ready_since, deployed.is_unanswered)
    };
    assert_eq!(judged(Some(Ok(at(9))), None), (Some(at(9)), false));
    assert_eq!(judged(Some(Ok(at(-9))), None), (Some(at(0)), false));
    assert_eq!(judged(Some(Ok(at(-9))), Some(at(5))), (Some(at(5)), false));
    assert_eq!(judged(Some(Err("GET".into())), None), (None, true));
    assert_eq!(judged(None, None), (None, false));
}
