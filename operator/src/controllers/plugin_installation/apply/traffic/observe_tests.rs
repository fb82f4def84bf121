use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;
use crate::controllers::plugin_installation::build::LABEL_VERSION;

#[test]
fn a_slot_is_named_while_the_gateway_may_lead_there() {
    let named = |leads| {
        let found = with_route(PerSlot::default(), leads);
        (found.a.named, found.b.named)
    };
    assert_eq!(named(RouteLeads::ByService), (0, 0));
    assert_eq!(named(RouteLeads::To(Some(Slot::B))), (0, 1));
    assert_eq!(named(RouteLeads::To(None)), (1, 1));
}

const T0: &str = "2026-11-30T12:00:00Z";

fn at(second: i64) -> Timestamp {
    T0.parse::<Timestamp>().unwrap() + SignedDuration::from_secs(second)
}

/// A pod of slot `b`, made at the beginning.
fn pod(name: &str, status: &Value) -> Value {
    json!({
        "metadata": { "name": name, "uid": name, "creationTimestamp": T0, "labels": { LABEL_SLOT: "b", LABEL_VERSION: "2.0.0" } },
        "status": status,
    })
}

fn ready(is: &str, since: i64) -> Value {
    json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": is, "lastTransitionTime": at(since).to_string() }] })
}

fn seen(size: i32, status: &Value, pods: &[Value]) -> Deployed {
    let deployment = serde_json::from_value(json!({
        "metadata": { "generation": 1 },
        "spec": {
            "replicas": size,
            "selector": {},
            "template": { "metadata": { "labels": { LABEL_VERSION: "2.0.0" } } },
        },
        "status": status,
    }))
    .unwrap();
    let pods: Vec<Pod> = pods
        .iter()
        .map(|pod| serde_json::from_value(pod.clone()).unwrap())
        .collect();
    deployed(&deployment, Slot::B, Some(&pods))
}

#[test]
fn a_pod_that_was_evicted_or_has_completed_is_gone() {
    for phase in ["Failed", "Succeeded"] {
        let ended = json!({ "phase": phase, "reason": "Evicted" });
        assert_eq!(seen(0, &json!({}), &[pod("crm-b-1", &ended)]).pods, 0, "{phase}");
    }
    let ending = json!({ "phase": "Running" });
    assert_eq!(seen(0, &json!({}), &[pod("crm-b-1", &ending)]).pods, 1);
}

#[test]
fn an_endpoint_of_a_pod_that_was_evicted_is_known_to_be_of_its_slot() {
    let evicted = serde_json::from_value(pod("crm-b-1", &json!({ "phase": "Failed" }))).unwrap();
    let slice = json!({
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.0.0.1"], "targetRef": { "kind": "Pod", "uid": "crm-b-1" } }],
    });
    let found = endpoints(&[serde_json::from_value(slice).unwrap()], &[evicted]);
    assert_eq!((found.a.named, found.b.named), (0, 1));
}

#[test]
fn none_is_ready_since_the_last_one_that_was_is_not() {
    let since = |pods: &[Value]| seen(2, &json!({}), pods).unready_since;
    let failed = |name, second| pod(name, &ready("False", second));
    assert_eq!(
        since(&[failed("1", 10), failed("2", 20)]),
        Some(at(21)),
        "times are cut to seconds"
    );
    assert_eq!(since(&[failed("1", 10), pod("2", &ready("True", 5))]), None);
    assert_eq!(since(&[]), None, "nothing is known");
    // One that was made in the place of another one was never ready.
    let mut replaced = pod("3", &json!({ "phase": "Pending" }));
    replaced["metadata"]["creationTimestamp"] = json!(at(40));
    assert_eq!(since(&[failed("1", 10), replaced]), Some(at(41)));
    // Nor does one serve that is being deleted, whatever it says; it is to end 30 s later.
    let mut ending = pod("2", &ready("True", 5));
    ending["metadata"]["deletionTimestamp"] = json!(at(90));
    ending["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    assert_eq!(since(&[failed("1", 10), ending]), Some(at(61)));
    let evicted = pod("2", &json!({ "phase": "Failed" }));
    assert_eq!(since(&[failed("1", 10), evicted]), Some(at(11)));
}

#[test]
fn where_no_pod_can_be_made_none_is_ready_since_that_is_so() {
    let condition = |type_: &str, is: &str, second| json!({ "type": type_, "status": is, "lastTransitionTime": at(second).to_string() });
    let unavailable = condition("Available", "False", 5);
    let forbidden = json!({ "conditions": [unavailable, condition("ReplicaFailure", "True", 9)] });
    assert_eq!(seen(1, &forbidden, &[]).unready_since, Some(at(10)));
    assert_eq!(
        seen(1, &json!({ "conditions": [unavailable] }), &[]).unready_since,
        None
    );
}
