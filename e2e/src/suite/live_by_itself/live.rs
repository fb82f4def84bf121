//! What is live of an installation, by what Kubernetes, the Gateway and the plugin itself show. Its status decides nothing
//! here, and the installation need not decode.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Secret},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use plexica_crds::{PluginInstallation, names::Slot, plugin_installation::conditions::Type};
use reqwest::StatusCode;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::PROMPT;
use crate::suite::{
    clients::gateway::{Entrance, routes},
    env::{eventually, unique},
    promotions::Installed,
};

/// Annotation of a Secret and of pods: the credential that they hold (design.md, "Names").
pub const CREDENTIAL: &str = "plexica.io/credential-id";

/// A table that the plugin lists at `/names` (e2e/traffic-plugin/src/names.rs).
pub fn names() -> Value {
    json!({ "name": "0001_names", "sql": "
        CREATE TABLE names (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)" })
}

/// A condition that is False, and the reasons of which it gives one.
#[derive(Clone, Copy)]
pub struct Told(pub Type, pub &'static [&'static str]);

/// What is live of an installation.
pub struct Live<'a> {
    pub installed: &'a Installed<'a>,
    /// Whether its database answers.
    pub has_database: bool,
    entrance: Entrance,
}

/// What there was when all was well, for those who come after a cell that failed.
pub struct Kept {
    deployment: Deployment,
    policy: NetworkPolicy,
    budget: PodDisruptionBudget,
    secret: Secret,
    route: DynamicObject,
    version: String,
}

impl<'a> Live<'a> {
    pub fn of(installed: &'a Installed<'a>, has_database: bool) -> Result<Self> {
        Ok(Self {
            entrance: Entrance::of(&installed.plugins.slug)?,
            installed,
            has_database,
        })
    }

    fn id(&self) -> &str {
        &self.installed.id
    }

    fn installations(&self) -> Api<DynamicObject> {
        let kind = ApiResource::erase::<PluginInstallation>(&());
        let namespace = self.installed.plugins.slug.namespace();
        Api::namespaced_with(self.installed.env.client.clone(), namespace.as_str(), &kind)
    }

    fn routes(&self) -> Api<DynamicObject> {
        routes(self.installed.env, &self.installed.plugins.slug)
    }

    /// Changes the installation.
    pub async fn patch(&self, patch: Value) -> Result<()> {
        let params = PatchParams::default();
        self.installations()
            .patch(self.id(), &params, &Patch::Merge(patch))
            .await?;
        Ok(())
    }

    /// Makes the operator look at the installation now, not at its next resync.
    pub async fn touch(&self) -> Result<()> {
        self.patch(json!({ "metadata": { "annotations": { "example.com/touched": unique("now") } } }))
            .await
    }

    /// Waits until the installation says so in its present generation.
    pub async fn says(&self, Told(type_, reasons): Told) -> Result<()> {
        let type_ = type_.as_ref();
        eventually(&format!("{type_}=False {reasons:?}"), PROMPT, async || {
            let object = self.installations().get(self.id()).await?;
            let conditions = object.data["status"]["conditions"].as_array();
            let said = conditions.into_iter().flatten().find(|said| said["type"] == type_);
            let said = said.with_context(|| format!("no condition {type_}"))?;
            let has_reason = reasons.iter().any(|reason| said["reason"] == *reason);
            let is_new = said["observedGeneration"].as_i64() == object.metadata.generation;
            ensure!(has_reason && is_new && said["status"] == "False", "{said}");
            Ok(())
        })
        .await
    }

    /// The slot that the live Service selects.
    pub async fn slot(&self) -> Result<Slot> {
        let selector = self.installed.service().await?.spec.and_then(|spec| spec.selector);
        let slot = selector.unwrap_or_default().remove("plexica.io/slot");
        let slots = [Slot::A, Slot::B].into_iter();
        let mut found = slots.filter(|known| slot.as_deref() == Some(known.as_ref()));
        found.next().with_context(|| format!("it selects {slot:?}"))
    }

    /// The version that answers behind the live Service.
    pub async fn version(&self) -> Result<String> {
        let answer = self.installed.plugins.ask(self.id(), "/version").await?;
        Ok(answer["version"].as_str().unwrap_or_default().to_owned())
    }

    /// The Deployment of a slot.
    pub async fn deployment(&self, slot: Slot) -> Result<Deployment> {
        let name = format!("{}-{}", self.id(), slot.as_ref());
        Ok(self.installed.plugins.objects::<Deployment>().get(&name).await?)
    }

    /// Waits until so many pods of the slot are ready, and no more are wanted.
    pub async fn has_ready(&self, slot: Slot, count: i32) -> Result<()> {
        eventually(&format!("{count} pods of slot {}", slot.as_ref()), PROMPT, async || {
            let found = self.deployment(slot).await?;
            let wanted = found.spec.and_then(|spec| spec.replicas);
            let ready = found.status.and_then(|status| status.ready_replicas);
            ensure!(
                (wanted, ready) == (Some(count), Some(count)),
                "{wanted:?} are wanted, {ready:?} ready"
            );
            Ok(())
        })
        .await
    }

    /// Credentials of the slot's pods that are not on their way out.
    pub async fn credentials_of_pods(&self, slot: Slot) -> Result<Vec<Option<String>>> {
        let labels = format!("plexica.io/plugin={},plexica.io/slot={}", self.id(), slot.as_ref());
        let pods = self.installed.plugins.objects::<Pod>();
        let pods = pods.list(&ListParams::default().labels(&labels)).await?;
        let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none();
        let pods = pods.into_iter().filter(stays);
        Ok(pods.map(|pod| pod.annotations().get(CREDENTIAL).cloned()).collect())
    }

    /// Waits until this version answers, inside the cluster and at the Gateway, with what it keeps in its database.
    pub async fn serves(&self, version: &str) -> Result<()> {
        eventually(&format!("{version} serves"), PROMPT, async || {
            let found = self.version().await?;
            ensure!(found == version, "{found} answers");
            let told = self.entrance.version(self.id()).await?;
            ensure!(told == StatusCode::OK, "the Gateway answers {told}");
            if self.has_database {
                let names = self.installed.plugins.ask(self.id(), "/names").await;
                names.context("it does not reach its database")?;
            }
            Ok(())
        })
        .await
    }

    /// Waits until neither slot has a pod and nobody is led here.
    pub async fn is_shut(&self) -> Result<()> {
        let deployments = self.installed.plugins.objects::<Deployment>();
        eventually("no pods and no route", PROMPT, async || {
            for slot in [Slot::A, Slot::B] {
                let name = format!("{}-{}", self.id(), slot.as_ref());
                let Some(found) = deployments.get_opt(&name).await? else {
                    continue;
                };
                let wanted = found.spec.and_then(|spec| spec.replicas);
                let pods = found.status.and_then(|status| status.replicas).unwrap_or_default();
                ensure!((wanted, pods) == (Some(0), 0), "{name} has {pods} of {wanted:?} pods");
            }
            ensure!(
                self.routes().get_opt(self.id()).await?.is_none(),
                "the HTTPRoute is there"
            );
            let told = self.entrance.version(self.id()).await?;
            ensure!(told == StatusCode::NOT_FOUND, "the Gateway answers {told}");
            Ok(())
        })
        .await
    }

    /// Remembers what is live.
    pub async fn keep(&self) -> Result<Kept> {
        let (plugins, id) = (&self.installed.plugins, self.id());
        let secret = format!("{id}-database");
        Ok(Kept {
            version: self.version().await?,
            deployment: plain(self.deployment(self.slot().await?).await?),
            policy: plain(plugins.objects::<NetworkPolicy>().get(&format!("{id}-plugin")).await?),
            budget: plain(plugins.objects::<PodDisruptionBudget>().get(id).await?),
            secret: plain(plugins.objects::<Secret>().get(&secret).await?),
            route: plain(self.routes().get(id).await?),
        })
    }

    /// Does by hand what the operator did not, so that the next cell begins as this one did.
    pub async fn put_back(&self, kept: &Kept) -> Result<()> {
        let plugins = &self.installed.plugins;
        let open = json!({ "spec": { "suspended": false } });
        self.installed.env.patch(plugins.slug.as_str(), open).await?;
        self.patch(json!({ "spec": { "enabled": true, "replicas": 1 } }))
            .await?;
        make(&plugins.objects(), &kept.policy).await?;
        make(&plugins.objects(), &kept.budget).await?;
        make(&plugins.objects(), &kept.secret).await?;
        make(&plugins.objects(), &kept.deployment).await?;
        make(&self.routes(), &kept.route).await?;
        let secrets = plugins.objects::<Secret>();
        let credential = secrets
            .get(&kept.secret.name_any())
            .await?
            .annotations()
            .get(CREDENTIAL)
            .cloned();
        let pods = BTreeMap::from([(CREDENTIAL, credential)]);
        let as_it_was = json!({
            "spec": { "replicas": 1, "template": { "metadata": { "annotations": pods } } },
        });
        let deployments = plugins.objects::<Deployment>();
        let params = PatchParams::default();
        deployments
            .patch(&kept.deployment.name_any(), &params, &Patch::Merge(as_it_was))
            .await?;
        self.serves(&kept.version).await
    }
}

/// An object without what the API server adds to it.
fn plain<K: Resource>(mut object: K) -> K {
    let meta = object.meta_mut();
    meta.resource_version = None;
    meta.uid = None;
    meta.creation_timestamp = None;
    meta.managed_fields = None;
    object
}

/// Makes an object unless it is there.
async fn make<K>(api: &Api<K>, object: &K) -> Result<()>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Serialize,
{
    match api.create(&PostParams::default(), object).await {
        Err(kube::Error::Api(refused)) if refused.code == 409 => Ok(()),
        made => Ok(made.map(drop)?),
    }
}
