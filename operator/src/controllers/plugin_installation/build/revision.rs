//! Revisions: what is rendered of a release for one installation, and the object that keeps it.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{ControllerRevision, Deployment},
        core::v1::{PodTemplateSpec, Volume},
    },
    apimachinery::pkg::runtime::RawExtension,
};
use plexica_crds::{Plugin, PluginInstallation, names::PluginId};

use super::{
    ANNOTATION_CONFIG, ANNOTATION_CREDENTIAL, ANNOTATION_RECYCLED, ANNOTATION_REVISION, CONFIG_FOLDER, LABEL_PLUGIN,
    LABEL_REVISION, LABEL_SLOT, LABEL_VERSION, meta,
    pods::{self, Pods},
    variables::{self, SLOT},
};
use crate::{
    backends::postgres::plugin::{PluginPermission, TenantTables},
    controllers::plugin_installation::model::{Frozen, Place, hash_of},
    promotion::Revision,
};

/// What a revision is rendered from.
pub struct Rendered<'a> {
    /// The release.
    pub plugin: &'a Plugin,
    /// The plugins that it is told the addresses of.
    pub providers: &'a [PluginId],
    /// What it may do with the tenant's tables.
    pub tenant_tables: TenantTables,
    /// What it is configured by.
    pub config: Volume,
}

/// Renders a release for an installation: all that its pods are, but for slot, credential and number.
pub fn freeze(installation: &PluginInstallation, place: &Place, from: Rendered<'_>) -> Frozen {
    let Rendered {
        plugin,
        providers,
        tenant_tables,
        config,
    } = from;
    let (runtime, spec) = (&plugin.spec.runtime, &installation.spec);
    let mut variables = variables::of_process(plugin, &place.id);
    variables.extend(variables::of_tenant(place, providers));
    variables.push(variables::connections(plugin.spec.database.connections));
    let template = pods::template(&Pods {
        metadata: meta(place, &place.id),
        selected: BTreeMap::from([(LABEL_PLUGIN.to_owned(), place.id.to_string())]),
        plugin,
        resources: spec.resources.as_ref().unwrap_or(&runtime.resources),
        annotations: BTreeMap::new(),
        variables,
        files: config,
        folder: CONFIG_FOLDER,
        meter: None,
    });
    Frozen {
        version: plugin.spec.version.clone(),
        replicas: runtime.replicas,
        template,
        ..needs(plugin, providers, tenant_tables)
    }
}

/// What a release needs of what revisions share; its pods are not rendered.
pub fn needs(plugin: &Plugin, providers: &[PluginId], tenant_tables: TenantTables) -> Frozen {
    let spec = &plugin.spec;
    let declared = spec.permissions.iter().map(|permission| PluginPermission {
        key: permission.key.clone(),
        name: permission.name.clone(),
        description: Some(permission.description.clone()).filter(|text| !text.is_empty()),
        roles: permission.roles.clone(),
    });
    let mut permissions: Vec<_> = declared.collect();
    permissions.sort_by(|one, other| one.key.cmp(&other.key));
    let mut providers = providers.to_vec();
    providers.sort();
    Frozen {
        version: spec.version.clone(),
        base_path: spec.base_path(),
        replicas: spec.runtime.replicas,
        port: u16::try_from(spec.runtime.port).unwrap_or_default(),
        connections: spec.database.connections,
        providers,
        tenant_tables,
        permissions,
        template: PodTemplateSpec::default(),
    }
}

/// A revision, with what it needs as its release says that.
pub fn as_released(frozen: &Frozen, plugin: &Plugin) -> Frozen {
    let dependencies = &plugin.spec.dependencies;
    let is_declared = |provider: &&PluginId| dependencies.iter().any(|dependency| dependency.plugin == **provider);
    let providers: Vec<_> = frozen.providers.iter().filter(is_declared).cloned().collect();
    let tenant_tables = TenantTables::of(&plugin.spec.database.tenant_tables).unwrap_or_default();
    Frozen {
        replicas: frozen.replicas,
        template: frozen.template.clone(),
        ..needs(plugin, &providers, tenant_tables)
    }
}

/// What a Deployment runs that an earlier operator made, or whose revision somebody deleted.
pub fn adopted(deployment: &Deployment, plugin: &Plugin, providers: &[PluginId]) -> Option<Frozen> {
    let mut template = deployment.spec.as_ref()?.template.clone();
    let metadata = template.metadata.get_or_insert_default();
    if let Some(labels) = &mut metadata.labels {
        labels.remove(LABEL_SLOT);
    }
    if let Some(annotations) = &mut metadata.annotations {
        for added in [
            ANNOTATION_REVISION,
            ANNOTATION_CREDENTIAL,
            ANNOTATION_RECYCLED,
            ANNOTATION_CONFIG,
        ] {
            annotations.remove(added);
        }
    }
    for container in template.spec.iter_mut().flat_map(|spec| &mut spec.containers) {
        if let Some(variables) = &mut container.env {
            variables.retain(|variable| variable.name != SLOT);
        }
    }
    let tenant_tables = TenantTables::of(&plugin.spec.database.tenant_tables).unwrap_or_default();
    Some(Frozen {
        template,
        ..needs(plugin, providers, tenant_tables)
    })
}

/// The revision that pods with these labels and annotations are of.
pub fn revision_named(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Revision {
    let hash = [ANNOTATION_REVISION, ANNOTATION_CONFIG]
        .iter()
        .find_map(|key| annotations.get(*key));
    Revision {
        version: labels.get(LABEL_VERSION).cloned().unwrap_or_default(),
        config_hash: hash.cloned().unwrap_or_default(),
    }
}

/// The revision that a Deployment is told to run.
pub fn revision_of(deployment: &Deployment) -> Revision {
    let template = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let [labels, annotations] = [
        template.and_then(|template| template.labels.clone()),
        template.and_then(|template| template.annotations.clone()),
    ];
    revision_named(&labels.unwrap_or_default(), &annotations.unwrap_or_default())
}

/// Name of the object that keeps the revision of this hash.
pub fn revision_name(id: &PluginId, hash: &str) -> String {
    format!("{id}-{hash}")
}

/// The object that keeps a revision, and how the traffic light names it. Kubernetes lets nobody change its data.
pub fn object(place: &Place, frozen: &Frozen) -> (Revision, ControllerRevision) {
    let data = frozen.to_json();
    let hash = hash_of(&data);
    let mut metadata = meta(place, &revision_name(&place.id, &hash));
    metadata
        .labels
        .get_or_insert_default()
        .insert(LABEL_REVISION.to_owned(), hash.clone());
    let revision = Revision {
        version: frozen.version.clone(),
        config_hash: hash,
    };
    let object = ControllerRevision {
        metadata,
        data: Some(RawExtension(data)),
        // They have no order of their own: which is live is said elsewhere.
        revision: 1,
    };
    (revision, object)
}

/// The revision of this hash that an object keeps; `None` if it keeps anything else.
pub fn kept(object: &ControllerRevision, hash: &str) -> Option<Frozen> {
    Frozen::from_json(&object.data.as_ref()?.0, hash)
}

#[cfg(test)]
#[path = "revision_tests.rs"]
mod tests;
