use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::{
    gateway_api::{HTTPRouteSpec, ParentStatus, RouteStatus},
    platform::Scheme,
};

fn gateway() -> Gateway {
    Gateway {
        namespace: "edge".to_owned(),
        name: "front-door".to_owned(),
        section_name: None,
        scheme: Scheme::Https,
        pods_in: "edge".to_owned(),
    }
}

/// A route in its third generation, of which the Gateway `name` says this: type, status, generation.
fn route(name: &str, said: &[(&str, &str, i64)]) -> HTTPRoute {
    let mut route = HTTPRoute::new("crm", HTTPRouteSpec::default());
    route.metadata.generation = Some(3);
    let conditions = said.iter().map(|(type_, status, generation)| Condition {
        type_: (*type_).to_owned(),
        status: (*status).to_owned(),
        reason: "Why".to_owned(),
        message: "because".to_owned(),
        observed_generation: Some(*generation),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
    });
    let parent_ref = ParentRef {
        group: None,
        kind: None,
        name: name.to_owned(),
        ..build::parent(&gateway())
    };
    route.status = Some(RouteStatus {
        parents: vec![ParentStatus {
            parent_ref,
            conditions: conditions.collect(),
        }],
    });
    route
}

fn reason(route: &HTTPRoute) -> Reason {
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) =
        verdict(route, &gateway());
    reason
}

#[test]
fn a_route_is_taken_when_it_is_accepted_and_its_service_was_found() {
    let said = [("Accepted", "True", 3), ("ResolvedRefs", "True", 3)];
    assert_eq!(reason(&route("front-door", &said)), Reason::RouteAccepted);
    assert_eq!(reason(&route("front-door", &said[..1])), Reason::RoutePending);
}

#[test]
fn what_was_said_of_an_earlier_generation_or_by_another_gateway_does_not_count() {
    let early = [("Accepted", "True", 2), ("ResolvedRefs", "True", 3)];
    assert_eq!(reason(&route("front-door", &early)), Reason::RoutePending);
    let refused_early = [("Accepted", "False", 2), ("ResolvedRefs", "True", 3)];
    assert_eq!(reason(&route("front-door", &refused_early)), Reason::RoutePending);
    let said = [("Accepted", "True", 3), ("ResolvedRefs", "True", 3)];
    assert_eq!(reason(&route("back-door", &said)), Reason::RoutePending);
    let silent = HTTPRoute::new("crm", HTTPRouteSpec::default());
    assert_eq!(reason(&silent), Reason::RoutePending);
}

#[test]
fn a_refusal_is_told_in_the_gateways_words() {
    let said = [("Accepted", "True", 3), ("ResolvedRefs", "False", 3)];
    let Outcome::Blocked(Reason::RouteRefused, message) = verdict(&route("front-door", &said), &gateway()) else {
        panic!("not refused");
    };
    assert_eq!(message, "Gateway edge/front-door says ResolvedRefs=False, Why: because");
}
