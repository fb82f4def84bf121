//! Where a plugin's route leads, and how it comes from one place to another: a Gateway that hears of a route before it hears
//! of its Service would answer 503, so what is to be used is named first, with weight 0.

use plexica_crds::names::Slot;
use strum::IntoEnumIterator as _;

use super::SERVICE_PORT;
use crate::{
    controllers::plugin_installation::model::Place,
    gateway_api::{BackendRef, HTTPRoute},
};

/// Where requests for GREEN are led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The live Service, whose selector moves.
    LiveService,
    /// The Service of a release that runs once for all tenants, in its own namespace. The tenant's Service is but a name for it
    /// (ExternalName), which no Gateway follows.
    Shared {
        /// The namespace.
        namespace: String,
        /// The Service.
        service: String,
    },
    /// The Service of this slot, whose selector never changes.
    Slot(Slot),
}

impl Destination {
    /// The backends. Both slots are named always: only weights move, and a Gateway knows both of them all along.
    pub(super) fn backends(&self, place: &Place) -> Vec<BackendRef> {
        match self {
            Self::LiveService => vec![backend(None, place.id.service().to_string())],
            Self::Shared { namespace, service } => vec![backend(Some(namespace.clone()), service.clone())],
            Self::Slot(live) => Slot::iter()
                .map(|slot| BackendRef {
                    weight: i32::from(slot == *live),
                    ..backend(None, place.id.slot_service(slot).to_string())
                })
                .collect(),
        }
    }
}

/// All of a Service's requests.
pub(super) fn backend(namespace: Option<String>, name: String) -> BackendRef {
    BackendRef {
        group: String::new(),
        kind: "Service".to_owned(),
        namespace,
        name,
        port: SERVICE_PORT,
        weight: 1,
    }
}

/// The slot that a route leads to; `None` if it leads anywhere else.
pub fn slot_led_to(place: &Place, route: &HTTPRoute) -> Option<Slot> {
    let mut used = used(route);
    let only = used.next()?;
    let is_only = used.all(|other| (&other.namespace, &other.name) == (&only.namespace, &only.name));
    Slot::iter()
        .filter(|_| is_only)
        .find(|slot| only.name == place.id.slot_service(*slot).as_str())
}

fn used(route: &HTTPRoute) -> impl Iterator<Item = &BackendRef> {
    let backends = route.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    backends.filter(|backend| backend.weight > 0)
}

/// What the route is to be next on its way to `declared`: that itself, unless it names what is used in another way yet (the live
/// Service, or slots). Then what it will use is named first, used once the Gateway has taken that, and only when it has taken that
/// too, what was used before is named no more.
pub fn on_the_way(place: &Place, live: Option<&HTTPRoute>, is_taken: bool, declared: HTTPRoute) -> HTTPRoute {
    let mut next = declared;
    // All paths lead to the same.
    let Some(goal) = next.spec.rules.first().map(|rule| rule.backend_refs.clone()) else {
        return next;
    };
    let mut ours = vec![place.id.service()];
    ours.extend(Slot::iter().map(|slot| place.id.slot_service(slot)));
    let is_ours =
        |backend: &&BackendRef| backend.namespace.is_none() && ours.iter().any(|name| name.as_str() == backend.name);
    let first = live.and_then(|live| live.spec.rules.first());
    let backends = first.iter().flat_map(|rule| &rule.backend_refs);
    let named: Vec<_> = backends.filter(is_ours).cloned().collect();
    let (missing, others) = (lacking(&named, &goal), lacking(&goal, &named));
    let is_used_otherwise = others.iter().any(|backend| backend.weight > 0);
    let is_known = missing.is_empty() && is_taken;
    let leads_to = match (is_used_otherwise, is_known) {
        _ if others.is_empty() || !goal.iter().all(|backend| is_ours(&backend)) => goal,
        (true, false) => [named, unused(missing)].concat(),
        (true, true) | (false, false) => [goal, unused(others)].concat(),
        (false, true) => goal,
    };
    for rule in &mut next.spec.rules {
        rule.backend_refs.clone_from(&leads_to);
    }
    next
}

/// What is in `all` and not in this list, whatever the weights.
fn lacking(list: &[BackendRef], all: &[BackendRef]) -> Vec<BackendRef> {
    let is_in = |backend: &&BackendRef| list.iter().any(|other| other.name == backend.name);
    all.iter().filter(|backend| !is_in(backend)).cloned().collect()
}

fn unused(backends: Vec<BackendRef>) -> Vec<BackendRef> {
    let unused = backends.into_iter().map(|backend| BackendRef { weight: 0, ..backend });
    unused.collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::route::{
            route,
            tests::{gateway, ledger, paths, platform},
        },
        *,
    };

    fn to(destination: &Destination) -> HTTPRoute {
        route(&ledger(), &paths(), &platform(), &gateway(), destination)
    }

    fn shown(route: &HTTPRoute) -> String {
        let backends = route.spec.rules[0].backend_refs.iter();
        let backends: Vec<_> = backends
            .map(|backend| format!("{} {}", backend.name, backend.weight))
            .collect();
        backends.join(", ")
    }

    fn next(live: &HTTPRoute, is_taken: bool, destination: &Destination) -> HTTPRoute {
        on_the_way(&ledger(), Some(live), is_taken, to(destination))
    }

    #[test]
    fn a_switch_moves_weights_at_once() {
        let (a, b) = (to(&Destination::Slot(Slot::A)), to(&Destination::Slot(Slot::B)));
        assert_eq!(shown(&a), "ledger-slot-a 1, ledger-slot-b 0");
        assert_eq!(shown(&next(&a, false, &Destination::Slot(Slot::B))), shown(&b));
        assert_eq!(slot_led_to(&ledger(), &b), Some(Slot::B));
    }

    #[test]
    fn what_is_to_be_used_is_named_before_and_what_was_used_is_named_after_whichever_way() {
        let (service, slots) = (|| Destination::LiveService, || Destination::Slot(Slot::A));
        for (from, to_, steps) in [
            (
                service(),
                slots(),
                [
                    "ledger 1, ledger-slot-a 0, ledger-slot-b 0",
                    "ledger-slot-a 1, ledger-slot-b 0, ledger 0",
                    "ledger-slot-a 1, ledger-slot-b 0",
                ],
            ),
            (
                slots(),
                service(),
                [
                    "ledger-slot-a 1, ledger-slot-b 0, ledger 0",
                    "ledger 1, ledger-slot-a 0, ledger-slot-b 0",
                    "ledger 1",
                ],
            ),
        ] {
            let mut route = to(&from);
            for step in steps {
                let is_first = shown(&route) == shown(&to(&from));
                // Nothing goes on before the Gateway has taken what there is.
                let waits = next(&route, false, &to_);
                assert_eq!(shown(&waits), if is_first { step.to_owned() } else { shown(&route) });
                route = next(&route, true, &to_);
                assert_eq!(shown(&route), step);
            }
            assert_eq!(shown(&next(&route, true, &to_)), shown(&to(&to_)));
        }
    }

    #[test]
    fn what_somebody_else_put_there_is_gone_at_once() {
        let mut changed = to(&Destination::LiveService);
        changed.spec.rules[0].backend_refs = vec![backend(None, "elsewhere".to_owned())];
        let slots = || Destination::Slot(Slot::A);
        assert_eq!(shown(&next(&changed, false, &Destination::LiveService)), "ledger 1");
        assert_eq!(shown(&next(&changed, false, &slots())), shown(&to(&slots())));
        let first = on_the_way(&ledger(), None, false, to(&slots()));
        assert_eq!(shown(&first), shown(&to(&slots())));
    }
}
