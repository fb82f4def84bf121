//! The Deployment of a slot: a revision, with what may differ between slots and change in place.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use plexica_crds::names::Slot;

use super::{
    ANNOTATION_CREDENTIAL, ANNOTATION_RECYCLED, ANNOTATION_REJECTED, ANNOTATION_REVISION, meta, pods, slot_labels,
    variables,
};
use crate::{
    controllers::plugin_installation::model::{Frozen, Place},
    promotion::Shape,
};

/// What a slot runs, for this tenant alone.
pub struct InSlot<'a> {
    /// The slot.
    pub slot: Slot,
    /// What its Deployment is to be.
    pub shape: &'a Shape,
    /// The revision that it names.
    pub frozen: &'a Frozen,
    /// The id of the credential that it logs in with, if that is known.
    pub credential: Option<&'a str>,
    /// How long a rollout may make no progress.
    pub progress_deadline: Duration,
}

/// The id of the credential that a Deployment's pods log in with.
pub fn credential_of(deployment: &Deployment) -> Option<&str> {
    let pods = deployment.spec.as_ref()?.template.metadata.as_ref()?;
    pods.annotations
        .as_ref()?
        .get(ANNOTATION_CREDENTIAL)
        .map(String::as_str)
}

/// The Deployment of a slot.
pub fn deployment(place: &Place, inside: &InSlot<'_>) -> Deployment {
    let InSlot {
        slot,
        shape,
        frozen,
        credential,
        progress_deadline,
    } = inside;
    let selected = slot_labels(place, *slot);
    let mut template = frozen.template.clone();
    let pods = template.metadata.get_or_insert_default();
    pods.labels.get_or_insert_default().extend(selected.clone());
    // New pods when what they were started with changes.
    let annotations = pods.annotations.get_or_insert_default();
    annotations.insert(ANNOTATION_REVISION.to_owned(), shape.revision.config_hash.clone());
    annotations.extend(credential.map(|id| (ANNOTATION_CREDENTIAL.to_owned(), id.to_owned())));
    annotations.extend(shape.recycled.clone().map(|id| (ANNOTATION_RECYCLED.to_owned(), id)));
    if let Some(spec) = &mut template.spec {
        for spread in spec.topology_spread_constraints.iter_mut().flatten() {
            spread.label_selector.get_or_insert_default().match_labels = Some(selected.clone());
        }
        for container in &mut spec.containers {
            // First, so that the manifest's own variables may refer to it.
            let slot = pods::env(&variables::slot(slot.as_ref()));
            container.env.get_or_insert_default().insert(0, slot);
        }
    }
    let mut metadata = meta(place, &place.id.deployment(*slot));
    if shape.rejected {
        let rejected = BTreeMap::from([(ANNOTATION_REJECTED.to_owned(), shape.revision.version.clone())]);
        metadata.annotations = Some(rejected);
    }
    pods::deployment(metadata, selected, shape.size, *progress_deadline, template)
}
