//! When Tenants are looked at, and what of them is counted.

use k8s_openapi::{
    api::{
        core::v1::{LimitRange, Namespace, ResourceQuota},
        networking::v1::NetworkPolicy,
        rbac::v1::RoleBinding,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::runtime::reflector::ObjectRef;
use plexica_crds::{LABEL_TENANT, Tenant, tenant::Phase};
use strum::IntoEnumIterator;

use super::{Context, KIND, frontends, pass, plugins};
use crate::runtime::{
    controller::{GATHERED, Passed, Reconciler, Root, Triggers, touched_by_others, when_otherwise},
    objects::{Error, Objects},
};

impl Reconciler for Context {
    type Kind = Tenant;
    const KIND: &'static str = KIND;
    const READS: &'static [&'static str] = &["PluginInstallation", "Plugin"];

    fn phases() -> Vec<&'static str> {
        Phase::iter().map(Into::into).collect()
    }

    fn phase(tenant: &Tenant) -> Option<&'static str> {
        tenant.status.as_ref()?.phase.map(Into::into)
    }

    fn tenant(meta: &ObjectMeta) -> Option<&str> {
        meta.name.as_deref()
    }

    fn objects(&self) -> &Objects<Tenant> {
        &self.objects
    }

    fn triggers(&self) -> Vec<Triggers<Tenant>> {
        let client = &self.objects.client;
        let (counted, live, plugins) = (
            self.installations.clone(),
            self.installations.clone(),
            self.plugins.clone(),
        );
        vec![
            touched_by_others::<Namespace, _>(client, LABEL_TENANT, owner),
            touched_by_others::<RoleBinding, _>(client, LABEL_TENANT, owner),
            touched_by_others::<ResourceQuota, _>(client, LABEL_TENANT, owner),
            touched_by_others::<LimitRange, _>(client, LABEL_TENANT, owner),
            touched_by_others::<NetworkPolicy, _>(client, LABEL_TENANT, owner),
            when_otherwise([counted.changed()], GATHERED, move || plugins::counts(&counted.state())),
            when_otherwise([live.changed(), plugins.changed()], GATHERED, move || {
                frontends::all(&live.state(), &plugins)
            }),
        ]
    }

    async fn pass(&self, tenant: &Root<Tenant>) -> Result<Passed, Error> {
        pass(tenant, self).await
    }
}

fn owner(meta: &ObjectMeta) -> Option<ObjectRef<Root<Tenant>>> {
    let slug = meta.labels.as_ref()?.get(LABEL_TENANT)?;
    Some(ObjectRef::new(slug))
}
