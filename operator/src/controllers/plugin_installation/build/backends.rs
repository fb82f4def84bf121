//! Where a plugin's route leads, and how it comes from one place to another: a Gateway that hears of a route before it hears
//! of its Service would answer 503, so what is to be used is named first, with weight 0.

use plexica_crds::{names::Slot, plugin::Sharing};
use strum::IntoEnumIterator as _;

use super::{SERVICE_PORT, shared::Release};
use crate::{
    controllers::plugin_installation::validate::Wanted,
    gateway_api::{BackendRef, HTTPRoute},
    platform::Platform,
};

/// Where requests for GREEN are led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The live Service, whose selector moves.
    LiveService,
    /// The Service of this slot, whose selector never changes.
    Slot(Slot),
}

impl Destination {
    /// The backends. Both slots are named always: only weights move, and a Gateway knows both of them all along.
    pub(super) fn backends(self, wanted: &Wanted, platform: &Platform) -> Vec<BackendRef> {
        match self {
            Self::LiveService => vec![live(wanted, platform)],
            Self::Slot(live) => Slot::iter()
                .map(|slot| BackendRef {
                    weight: i32::from(slot == live),
                    ..backend(None, wanted.id.slot_service(slot).to_string())
                })
                .collect(),
        }
    }
}

/// The Service that reaches GREEN. That of a release which runs once for all tenants is in its own namespace; the tenant's
/// Service is but a name for it (ExternalName), which no Gateway follows.
fn live(wanted: &Wanted, platform: &Platform) -> BackendRef {
    match (wanted.plugin.spec.runtime.sharing, &platform.shared_namespace) {
        (Sharing::Shared, Some(namespace)) => {
            let release = Release::new(namespace, &wanted.plugin);
            backend(Some(namespace.clone()), release.name())
        }
        (Sharing::Dedicated | Sharing::Shared, _) => backend(None, wanted.id.service().to_string()),
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
pub fn slot_led_to(wanted: &Wanted, route: &HTTPRoute) -> Option<Slot> {
    let mut used = used(route);
    let only = used.next().filter(|_| used.next().is_none())?;
    Slot::iter().find(|slot| only.name == wanted.id.slot_service(*slot).as_str())
}

fn used(route: &HTTPRoute) -> impl Iterator<Item = &BackendRef> {
    let backends = route.spec.rules.iter().flat_map(|rule| &rule.backend_refs);
    backends.filter(|backend| backend.weight > 0)
}

/// What the route is to be next on its way to `declared`: that itself, unless it is used in another way yet (by the live
/// Service, or by slots). Then what it will use is named first, and used once the Gateway has taken that.
pub fn on_the_way(wanted: &Wanted, live: Option<&HTTPRoute>, is_taken: bool, declared: HTTPRoute) -> HTTPRoute {
    let mut ours = vec![wanted.id.service()];
    ours.extend(Slot::iter().map(|slot| wanted.id.slot_service(slot)));
    let is_ours =
        |backend: &BackendRef| backend.namespace.is_none() && ours.iter().any(|name| name.as_str() == backend.name);
    let named: Vec<_> = live
        .iter()
        .flat_map(|live| &live.spec.rules)
        .flat_map(|rule| rule.backend_refs.iter().filter(|backend| is_ours(backend)).cloned())
        .collect();
    let is_in = |list: &[BackendRef], backend: &BackendRef| list.iter().any(|other| other.name == backend.name);
    let mut next = declared;
    let Some(rule) = next.spec.rules.first_mut() else {
        return next;
    };
    let goal = &rule.backend_refs;
    let is_used_otherwise = named.iter().any(|backend| backend.weight > 0 && !is_in(goal, backend));
    let missing: Vec<_> = goal.iter().filter(|backend| !is_in(&named, backend)).cloned().collect();
    if is_used_otherwise && goal.iter().all(is_ours) && !(missing.is_empty() && is_taken) {
        let missing = missing.into_iter().map(|backend| BackendRef { weight: 0, ..backend });
        rule.backend_refs = named.into_iter().chain(missing).collect();
    }
    next
}

#[cfg(test)]
mod tests {
    use super::{
        super::route::{
            route,
            tests::{gateway, ledger, platform},
        },
        *,
    };

    fn to(destination: Destination) -> HTTPRoute {
        route(&ledger(), &platform(), &gateway(), destination)
    }

    fn shown(route: &HTTPRoute) -> String {
        let backends = route.spec.rules[0].backend_refs.iter();
        let backends: Vec<_> = backends
            .map(|backend| format!("{} {}", backend.name, backend.weight))
            .collect();
        backends.join(", ")
    }

    fn next(live: &HTTPRoute, is_taken: bool, destination: Destination) -> HTTPRoute {
        on_the_way(&ledger(), Some(live), is_taken, to(destination))
    }

    #[test]
    fn a_switch_moves_weights_at_once() {
        let (a, b) = (to(Destination::Slot(Slot::A)), to(Destination::Slot(Slot::B)));
        assert_eq!(shown(&a), "ledger-slot-a 1, ledger-slot-b 0");
        assert_eq!(shown(&next(&a, false, Destination::Slot(Slot::B))), shown(&b));
        assert_eq!(slot_led_to(&ledger(), &b), Some(Slot::B));
    }

    #[test]
    fn what_is_to_be_used_is_named_first_whichever_way() {
        let (service, slots) = (Destination::LiveService, Destination::Slot(Slot::A));
        let named = next(&to(service), true, slots);
        assert_eq!(shown(&named), "ledger 1, ledger-slot-a 0, ledger-slot-b 0");
        assert_eq!(slot_led_to(&ledger(), &named), None);
        assert_eq!(shown(&next(&named, false, slots)), shown(&named));
        assert_eq!(shown(&next(&named, true, slots)), shown(&to(slots)));
        let back = next(&to(slots), true, service);
        assert_eq!(shown(&back), "ledger-slot-a 1, ledger-slot-b 0, ledger 0");
        assert_eq!(shown(&next(&back, true, service)), shown(&to(service)));
    }

    #[test]
    fn what_somebody_else_put_there_is_gone_at_once() {
        let mut changed = to(Destination::LiveService);
        changed.spec.rules[0].backend_refs = vec![backend(None, "elsewhere".to_owned())];
        let service = Destination::LiveService;
        assert_eq!(shown(&next(&changed, false, service)), "ledger 1");
        let slots = Destination::Slot(Slot::A);
        assert_eq!(shown(&next(&changed, false, slots)), shown(&to(slots)));
        let first = on_the_way(&ledger(), None, false, to(slots));
        assert_eq!(shown(&first), shown(&to(slots)));
    }
}
