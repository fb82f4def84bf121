use std::time::Duration;

use axum::{Router, http::StatusCode, response::Redirect, routing::get};
use serde_json::json;
use tokio::{net::TcpListener, time::sleep};

use super::*;

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

fn probe(path: &str) -> ProbeSpec {
    serde_json::from_value(json!({ "path": path, "interval": "5s", "timeout": "1s" })).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

async fn asked(probes: &Probes, (pod, port): &(Pod, u16), path: &str, second: i64) -> Result<Timestamp, String> {
    let probe = probe(path);
    let candidate = Candidate {
        installation: "u",
        transition: "1-b",
        pods: vec![pod],
        port: *port,
        probe: &probe,
    };
    probes.ask(&candidate, at(second)).await
}

#[tokio::test]
async fn it_answers_since_the_first_answer_after_the_last_that_was_none() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    assert_eq!(asked(&probes, &pod, "/well", 0).await, Ok(at(0)));
    assert_eq!(asked(&probes, &pod, "/well", 5).await, Ok(at(0)));
    assert!(asked(&probes, &pod, "/ill", 10).await.is_err());
    assert_eq!(asked(&probes, &pod, "/well", 15).await, Ok(at(15)));
}

#[tokio::test]
async fn it_is_asked_once_in_an_interval() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    assert_eq!(asked(&probes, &pod, "/well", 0).await, Ok(at(0)));
    // It would not answer this.
    assert_eq!(asked(&probes, &pod, "/ill", 4).await, Ok(at(0)));
    assert!(asked(&probes, &pod, "/ill", 5).await.is_err());
    // The clock was set back.
    assert_eq!(asked(&probes, &pod, "/well", -60).await, Ok(at(-60)));
}

#[tokio::test]
async fn while_nobody_asks_it_does_not_answer() {
    let (probes, pod) = (Probes::new().unwrap(), pod().await);
    assert_eq!(asked(&probes, &pod, "/well", 0).await, Ok(at(0)));
    assert_eq!(asked(&probes, &pod, "/well", 11).await, Ok(at(0)));
    assert_eq!(asked(&probes, &pod, "/well", 23).await, Ok(at(23)));
    probes.forget("u");
    assert_eq!(asked(&probes, &pod, "/well", 24).await, Ok(at(24)));
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
        let said = asked(&Probes::new().unwrap(), &pod, path, 0).await;
        assert_eq!(said, Err(format!("GET {path} of pod crm-b-1 {what}")));
    }
    let homeless = (Pod::default(), 1);
    assert!(asked(&Probes::new().unwrap(), &homeless, "/well", 0).await.is_err());
}

#[test]
fn what_does_not_answer_is_not_ready_for_long_enough() {
    let ready = Deployed {
        revision: crate::promotion::Revision {
            version: "1.0.0".into(),
            config_hash: "1".into(),
        },
        size: 1,
        ready: 1,
        ready_since: Some(at(0)),
        recycled: None,
        rejected: false,
        is_settled: true,
        pods: 1,
        trouble: None,
        is_unanswered: false,
    };
    let judged = |answers| {
        let mut deployed = ready.clone();
        judge(&mut deployed, answers);
        (deployed.ready_since, deployed.is_unanswered)
    };
    assert_eq!(judged(Ok(at(9))), (Some(at(9)), false));
    assert_eq!(judged(Ok(at(-9))), (Some(at(0)), false));
    assert_eq!(judged(Err("GET".into())), (None, true));
}
