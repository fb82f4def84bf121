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
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Context,
    build::{LABEL_PLUGIN, shared::LABEL_SHARED},
    model::Place,
    report,
};
use crate::runtime::{
    age::{Age, get, labelled},
    apply::{Applied, apply_to, read},
    client::{ApiError, within},
};

/// Labels that say whose an object is.
const MARKS: [&str; 3] = [LABEL_TENANT_ID, LABEL_PLUGIN, LABEL_SHARED];

/// Makes an object as declared, unless something of its name is there that is not ours. Gives it as it was before.
pub async fn make<K>(declared: &K, ctx: &Context) -> Result<(Applied, Option<K>), Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = declared.name_any();
    let api: Api<K> = Api::namespaced(
        ctx.objects.client.clone(),
        declared.namespace().as_deref().unwrap_or_default(),
    );
    let live = read(&api, &name, declared)
        .await
        .map_err(|error| report::api_outcome(&error))?;
    let ours = |live: &K| {
        let same = |mark: &&str| live.labels().get(*mark) == declared.labels().get(*mark);
        MARKS.iter().all(same)
    };
    if live.as_ref().is_some_and(|live| !ours(live)) {
        return Err(report::not_owned(&format!("{} {name}", K::kind(&())), Reason::NotOwned));
    }
    let applied = apply_to(&api, &name, live.as_ref(), declared)
        .await
        .map_err(|error| report::api_outcome(&error))?;
    Ok((applied, live))
}

/// Whether an object is this installation's.
pub fn is_ours(object: &impl ResourceExt, place: &Place) -> bool {
    let bears = |label: &str, value: &str| object.labels().get(label).is_some_and(|is| is == value);
    bears(LABEL_TENANT_ID, &place.owner.tenant_id.to_string()) && bears(LABEL_PLUGIN, place.id.as_str())
}

/// The object of the plugin's that has this name, if it is there.
///
/// # Errors
/// Something that is not ours has the name, or the API server does not answer.
pub async fn owned<K>(place: &Place, name: &str, age: Age<'_>, ctx: &Context) -> Result<Option<K>, Outcome>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.objects.client.clone(), place.slug.namespace().as_str());
    let found = get(&api, name, age)
        .await
        .map_err(|error| report::api_outcome(&error))?;
    match found {
        Some(found) if !is_ours(&found, place) => {
            Err(report::not_owned(&format!("{} {name}", K::kind(&())), Reason::NotOwned))
        }
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
        Err(error) => return Err(report::api_outcome(&error)),
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
            Err(error) => return Err(report::api_outcome(&error)),
        }
    }
    Ok(())
}
