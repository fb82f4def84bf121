//! Tenants: a name whose former tenant's data is kept.
//!
//! The registry of that data is in PostgreSQL, to which the webhook has no way. The namespace that was kept with it says
//! the same (label `plexica.io/retained`); where it is gone as well, the operator refuses in a pass.

use kube::{
    ResourceExt,
    api::ObjectMeta,
    core::admission::{AdmissionRequest, Operation},
};
use plexica_crds::{
    ANNOTATION_RESTORE, LABEL_RETAINED, LABEL_TENANT, LABEL_TENANT_ID, Tenant, names::TenantSlug,
    tenant::conditions::Outcome,
};
use plexica_operator::{controllers::tenant::retained_data, runtime::controller::Root};

use super::{Decided, Verdict};
use crate::cluster::{Cluster, Unread};

impl Decided for Tenant {
    async fn decide(request: &AdmissionRequest<Root<Tenant>>, cluster: &Cluster) -> Result<Verdict, Unread> {
        // A name that breaks rules is the schema's to refuse.
        let Ok(slug) = TenantSlug::parse(&request.name) else {
            return Ok(Verdict::Allowed);
        };
        if request.operation != Operation::Create {
            return Ok(Verdict::Allowed);
        }
        let restore = request
            .object
            .as_ref()
            .and_then(|tenant| tenant.annotations().get(ANNOTATION_RESTORE));
        let namespace = cluster.namespace(slug.namespace().as_str()).await?;
        Ok(
            match namespace.and_then(|meta| taken(&slug, &meta, restore.map(String::as_str))) {
                Some(outcome) => Verdict::refused(outcome),
                None => Verdict::Allowed,
            },
        )
    }
}

/// Whether the name's namespace was kept with the data of an earlier tenant, which is not named to be restored.
fn taken(slug: &TenantSlug, namespace: &ObjectMeta, restore: Option<&str>) -> Option<Outcome> {
    let label = |key: &str| namespace.labels.as_ref()?.get(key).map(String::as_str);
    let id = label(LABEL_TENANT_ID)?;
    let kept = label(LABEL_RETAINED) == Some("true") && label(LABEL_TENANT) == Some(slug.as_str());
    (kept && restore != Some(id)).then(|| retained_data(slug, id, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use plexica_crds::tenant::conditions::Reason;
    use serde_json::{Value, json};

    fn said(labels: &Value, restore: Option<&str>) -> Option<Outcome> {
        let namespace = serde_json::from_value(json!({ "name": "tenant-hooli", "labels": labels })).unwrap();
        taken(&TenantSlug::parse("hooli").unwrap(), &namespace, restore)
    }

    #[test]
    fn a_name_is_taken_while_its_namespace_is_kept_with_data() {
        let kept = json!({ LABEL_RETAINED: "true", LABEL_TENANT: "hooli", LABEL_TENANT_ID: "id-1" });
        let Some(Outcome::Blocked(Reason::RetainedDataExists, message)) = said(&kept, None) else {
            panic!("not refused");
        };
        assert!(message.contains("annotation plexica.io/restore: id-1"), "{message}");
        assert!(said(&kept, Some("id-2")).is_some());
        assert_eq!(said(&kept, Some("id-1")), None);
    }

    #[test]
    fn a_namespace_that_is_prepared_or_lives_takes_no_name() {
        for labels in [
            json!({}),
            json!({ LABEL_TENANT: "hooli" }),
            json!({ LABEL_RETAINED: "false", LABEL_TENANT: "hooli", LABEL_TENANT_ID: "id-1" }),
            json!({ LABEL_RETAINED: "true", LABEL_TENANT: "other", LABEL_TENANT_ID: "id-1" }),
        ] {
            assert_eq!(said(&labels, None), None, "{labels}");
        }
    }
}
