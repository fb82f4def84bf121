//! Objects that the operator makes for installations: made only where nothing else has the name, removed by label.

use std::fmt::Debug;

use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Preconditions, PropagationPolicy},
    core::NamespaceResourceScope,
};
use plexica_crds::{
    LABEL_TENANT_ID,
    plugin_installation::conditions::{Outcome, Reason},
};
use serde::de::DeserializeOwned;

use super::{
    Context,
    build::{LABEL_PLUGIN, shared::LABEL_SHARED},
    failure,
    model::Place,
    watched::Made,
};
use crate::runtime::{
    age::{Age, get, labelled},
    apply::{Applied, is_as_declared, put, read},
    client::{ApiError, within},
};

/// Labels that say whose an object is.
const MARKS: [&str; 3] = [LABEL_TENANT_ID, LABEL_PLUGIN, LABEL_SHARED];

/// Makes an object as declared, unless something of its name is there that is not ours. One that is known to be so is not looked at;
/// one that is known is written if it is still the version that is known.
pub async fn make<K: Made>(declared: &K, ctx: &Context) -> Result<Applied, Outcome> {
    if let Some(kept) = K::kept(&ctx.watched) {
        if kept.is_as_declared(declared) {
            return Ok(Applied::Unchanged);
        }
        let known = kept.get(
            declared.namespace().as_deref().unwrap_or_default(),
            &declared.name_any(),
        );
        if let Some(known) = known.filter(|known| is_marked_as(known, declared)) {
            let mut declared = declared.clone();
            declared.meta_mut().resource_version = known.resource_version();
            match put(&api(&declared, ctx), &declared.name_any(), &declared).await {
                Ok(written) => {
                    kept.saw(&written, &declared);
                    return Ok(Applied::Updated);
                }
                // Somebody was faster: it is looked at.
                Err(error) if error.status().is_some_and(|status| matches!(status.code, 404 | 409)) => {}
                Err(error) => return Err(failure::of_api(&error)),
            }
        }
    }
    make_seen(declared, ctx).await.map(|(applied, _)| applied)
}

fn api<K: Made>(declared: &K, ctx: &Context) -> Api<K> {
    let namespace = declared.namespace();
    Api::namespaced(ctx.objects.client.clone(), namespace.as_deref().unwrap_or_default())
}

/// Whether both are of the same installation, or release.
fn is_marked_as<K: Resource>(live: &K, declared: &K) -> bool {
    let same = |mark: &&str| live.labels().get(*mark) == declared.labels().get(*mark);
    MARKS.iter().all(same)
}

/// The same; looks at it in any case, and gives it as it was before.
pub async fn make_seen<K: Made>(declared: &K, ctx: &Context) -> Result<(Applied, Option<K>), Outcome> {
    let (api, name) = (api(declared, ctx), declared.name_any());
    let failed = |error| failure::of_api(&error);
    let live = read(&api, &name, declared).await.map_err(failed)?;
    if live.as_ref().is_some_and(|live| !is_marked_as(live, declared)) {
        return Err(failure::not_owned(
            &format!("{} {name}", K::kind(&())),
            Reason::NotOwned,
        ));
    }
    let applied = match &live {
        Some(live) if is_as_declared(live, declared) => {
            saw(live, declared, ctx);
            Applied::Unchanged
        }
        live => {
            let written = put(&api, &name, declared).await.map_err(failed)?;
            saw(&written, declared, ctx);
            if live.is_some() {
                Applied::Updated
            } else {
                Applied::Created
            }
        }
    };
    Ok((applied, live))
}

/// An object was read, or written, when it was to be as declared: until it changes, it need not be looked at.
pub fn saw<K: Made>(object: &K, declared: &K, ctx: &Context) {
    if let Some(kept) = K::kept(&ctx.watched) {
        kept.saw(object, declared);
    }
}

/// Whether an object is this installation's.
pub fn is_ours(object: &impl ResourceExt, place: &Place) -> bool {
    let bears = |label: &str, value: &str| object.labels().get(label).is_some_and(|is| is == value);
    bears(LABEL_TENANT_ID, &place.owner.tenant_id.to_string()) && bears(LABEL_PLUGIN, place.id.as_str())
}

/// The object of the plugin's that has this name, if it is there. Where it may be of any age, it is as much of it as is kept.
///
/// # Errors
/// Something that is not ours has the name, or the API server does not answer.
pub async fn owned<K: Made>(place: &Place, name: &str, age: Age<'_>, ctx: &Context) -> Result<Option<K>, Outcome> {
    let namespace = place.slug.namespace();
    if let Some(kept) = K::kept(&ctx.watched).filter(|_| age == Age::Any) {
        if kept.lacks(namespace.as_str(), name) {
            return Ok(None);
        }
        let ours = kept.get(namespace.as_str(), name).filter(|found| is_ours(found, place));
        if ours.is_some() {
            return Ok(ours);
        }
    }
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), namespace.as_str());
    let found = get(&api, name, age).await.map_err(|error| failure::of_api(&error))?;
    match found {
        Some(found) if !is_ours(&found, place) => Err(failure::not_owned(
            &format!("{} {name}", K::kind(&())),
            Reason::NotOwned,
        )),
        found => Ok(found),
    }
}

/// Removes everything that bears these labels. What is gone is gone, whoever removed it; `given_up` says that the namespace
/// may be gone, and the grants in it with it.
pub async fn remove<K>(namespace: &str, selector: &str, given_up: bool, ctx: &Context) -> Result<(), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    remove_listed::<K>(namespace, labelled(selector, Age::Newest), given_up, |_| false, ctx).await
}

/// Removes what bears these labels, but for some, of what was there some moments ago: for what every pass looks at.
pub async fn tidy<K>(
    namespace: &str,
    selector: &str,
    stays: impl Fn(&str) -> bool,
    ctx: &Context,
) -> Result<(), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    remove_listed::<K>(namespace, labelled(selector, Age::Any), false, stays, ctx).await
}

async fn remove_listed<K>(
    namespace: &str,
    listed: ListParams,
    given_up: bool,
    stays: impl Fn(&str) -> bool,
    ctx: &Context,
) -> Result<(), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), namespace);
    let gone = |error: &ApiError| {
        error
            .status()
            .is_some_and(|status| status.is_not_found() || given_up && status.is_forbidden())
    };
    let listed = match within(api.list_metadata(&listed)).await {
        Ok(listed) => listed,
        Err(error) if gone(&error) => return Ok(()),
        Err(error) => return Err(failure::of_api(&error)),
    };
    let going = listed
        .iter()
        .filter(|object| object.meta().deletion_timestamp.is_none() && !stays(&object.name_any()));
    for object in going {
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match within(api.delete(&object.name_any(), &params)).await {
            Ok(_) => {}
            Err(error) if gone(&error) => {}
            Err(error) => return Err(failure::of_api(&error)),
        }
    }
    Ok(())
}
