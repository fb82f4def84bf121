//! What may be taken away from an installation's pods by those who empty nodes.

use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use plexica_crds::names::Slot;

use super::{meta, slot_labels};
use crate::controllers::plugin_installation::model::Place;

/// One ready pod of what is live at a time may be evicted. A candidate or standby needs no budget, and a failing one does
/// not use up what is live: the budget is of the live slot alone. Pods that are not ready hold up nobody.
pub fn disruption_budget(place: &Place, live: Slot) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: meta(place, &place.id),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(LabelSelector {
                match_labels: Some(slot_labels(place, live)),
                ..LabelSelector::default()
            }),
            max_unavailable: Some(IntOrString::Int(1)),
            min_available: None,
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
        }),
        status: None,
    }
}
