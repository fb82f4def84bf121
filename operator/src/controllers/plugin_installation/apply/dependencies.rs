//! Plugins that are installed because another one needs them (`dependencyPolicy: AutoInstall`).

use kube::{Api, api::PostParams};
use plexica_crds::{
    PluginInstallation, PluginInstallationSpec,
    plugin_installation::conditions::{Outcome, Reason},
};
use serde_json::json;

use super::super::{Context, build, failure, model::Place, validate::Wanted};
use crate::runtime::{apply::FieldManager, client::within};

/// Makes the installations that are missing. They are everybody's from then on: nothing takes them away again but a
/// person.
pub async fn add(place: &Place, wanted: &Wanted, ctx: &Context) -> Outcome {
    let namespace = place.slug.namespace();
    let api: Api<PluginInstallation> = Api::namespaced(ctx.objects.client.clone(), namespace.as_str());
    for id in &wanted.added {
        let spec: PluginInstallationSpec = match serde_json::from_value(json!({ "dependencyPolicy": "AutoInstall" })) {
            Ok(spec) => spec,
            Err(error) => return Outcome::Blocked(Reason::InvalidSpec, error.to_string()),
        };
        let mut installation = PluginInstallation::new(id.as_str(), spec);
        installation.metadata.annotations =
            Some([(build::ANNOTATION_NEEDED_BY.to_owned(), place.id.to_string())].into());
        let params = PostParams {
            field_manager: Some(FieldManager::Objects.as_ref().to_owned()),
            ..PostParams::default()
        };
        match within(api.create(&params, &installation)).await {
            Ok(_) => {}
            // Somebody was faster, or the cache does not show it yet.
            Err(error) if error.status().is_some_and(kube::core::Status::is_already_exists) => {}
            Err(error) => return failure::of_api(&error),
        }
    }
    if wanted.added.is_empty() {
        return Outcome::Done(Reason::Resolved, wanted.reason.clone());
    }
    let names: Vec<_> = wanted.added.iter().map(ToString::to_string).collect();
    Outcome::Waiting(
        Reason::DependencyUnfit,
        format!("{} is being installed, since {} needs it", names.join(", "), place.id),
    )
}
