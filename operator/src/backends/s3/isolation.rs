//! The isolation self-test: with the tenant's own key, try what must work and what must not.

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
};
use plexica_crds::names::TenantSlug;

use super::client::{Connector, code};
use crate::backends::{BackendError, Breaches};

/// Codes by which a store does not know or accept a key.
const KEY_REFUSED: [&str; 3] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "XMinioInvalidIAMCredentials",
];
const REFUSED: &str = "AccessDenied";

/// Whether the store accepts the `tenant`'s key, whatever it then allows it.
pub(super) async fn accepts(tenant: &Client, connector: &Connector, slug: &TenantSlug) -> Result<bool, BackendError> {
    let own = slug.bucket();
    let listed = tenant.list_objects_v2().bucket(own.as_str()).max_keys(1).send().await;
    match listed {
        Err(error) if code(&error).is_some_and(|code| KEY_REFUSED.contains(&code)) => Ok(false),
        Err(error) if !answered(&error) => Err(connector.error(&error, &format!("a look at bucket {own}"))),
        _ => Ok(true),
    }
}

/// Probes with the `tenant`'s client; the operator's removes what must not have been possible to make.
pub(super) async fn verify(
    tenant: &Client,
    operator: &Client,
    connector: &Connector,
    slug: &TenantSlug,
) -> Result<Breaches, BackendError> {
    let own = slug.bucket();
    // No tenant has buckets of these names, since slugs have no segment `plugin`. That they do not exist plays no part:
    // the policy is looked at first. They begin like tenants' buckets, so that the operator may remove one.
    let neighbour = format!("tenant-plugin-neighbour-of-{slug}");
    let novelty = format!("tenant-plugin-probe-of-{slug}");
    let list_own = tenant.list_objects_v2().bucket(own.as_str()).max_keys(1).send();
    let list_neighbour = tenant.list_objects_v2().bucket(&neighbour).max_keys(1).send();
    let get_neighbour = tenant.get_object().bucket(&neighbour).key("probe").send();
    let create = tenant.create_bucket().bucket(&novelty).send();
    let see = tenant.list_buckets().send();
    let (list_own, list_neighbour, get_neighbour, create, see) =
        futures::join!(list_own, list_neighbour, get_neighbour, create, see);

    let mut breaches = Breaches::new();
    if let Err(error) = list_own {
        match code(&error) {
            Some(code) if KEY_REFUSED.contains(&code) => {
                return Ok(vec![format!("the tenant's key is not accepted ({code})")]);
            }
            Some(code) if answered(&error) => breaches.push(format!("cannot list its own bucket {own} ({code})")),
            _ => return Err(connector.error(&error, &format!("a look at bucket {own}"))),
        }
    }
    judge(connector, list_neighbour, "may list buckets of others", &mut breaches)?;
    judge(connector, get_neighbour, "may read objects of others", &mut breaches)?;
    let created = create.is_ok();
    judge(connector, create, "may make buckets", &mut breaches)?;
    if created {
        let removed = operator.delete_bucket().bucket(&novelty).send().await;
        removed.map_err(|error| connector.error(&error, &format!("the removal of bucket {novelty}")))?;
    }
    match see {
        Ok(answer) => {
            let others = answer
                .buckets()
                .iter()
                .filter_map(|bucket| bucket.name())
                .find(|name| *name != own.as_str());
            breaches.extend(others.map(|name| format!("sees bucket {name}")));
        }
        Err(error) if code(&error) == Some(REFUSED) => {}
        Err(error) => return Err(connector.error(&error, "the list of buckets")),
    }
    Ok(breaches)
}

/// Notes a breach unless the store refused for lack of privilege.
fn judge<T, E>(
    connector: &Connector,
    outcome: Result<T, SdkError<E>>,
    breach: &str,
    breaches: &mut Breaches,
) -> Result<(), BackendError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match outcome {
        Ok(_) => breaches.push(breach.to_owned()),
        Err(error) if code(&error) == Some(REFUSED) => {}
        Err(error) if answered(&error) => {
            let code = code(&error).unwrap_or("no code");
            breaches.push(format!("{breach}: not refused for lack of privilege, but with {code}"));
        }
        Err(error) => return Err(connector.error(&error, "an isolation test")),
    }
    Ok(())
}

/// Whether the store itself answered, and was not merely unwell.
fn answered<E>(error: &SdkError<E>) -> bool {
    error
        .raw_response()
        .is_some_and(|response| response.status().as_u16() < 500)
}
