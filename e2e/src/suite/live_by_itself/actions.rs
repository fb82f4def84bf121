//! What is done to what is live, and what has to be seen then, whatever the next release does.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment, core::v1::Secret, networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams},
};
use plexica_crds::names::Slot;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{
    PROMPT,
    cells::Cells,
    live::{CREDENTIAL, Live, Told},
};
use crate::suite::{clients::database, env::eventually};

/// How soon a rollback that is asked for has moved the Service.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "title_case")]
pub enum Action {
    /// By `spec.replicas`, and by `/scale` as an autoscaler does.
    Scale,
    /// Of the live slot.
    DeleteDeployment,
    /// The NetworkPolicy.
    DeletePolicy,
    /// Who drains nodes asks the PodDisruptionBudget: it is deleted.
    Drain,
    /// The Secret with the login.
    DeleteSecret,
    /// To the standby.
    RollBack,
    /// `spec.enabled: false`, and true again.
    Disable,
    /// `spec.suspended` of the Tenant, and back.
    Suspend,
}

impl Action {
    /// All of them: a rollback takes the standby, and pods that were taken away may come back without one.
    pub const ALL: [Self; 8] = [
        Self::Scale,
        Self::DeleteDeployment,
        Self::DeletePolicy,
        Self::Drain,
        Self::DeleteSecret,
        Self::RollBack,
        Self::Disable,
        Self::Suspend,
    ];
    /// Those that switch off.
    pub const OFF: [Self; 2] = [Self::Disable, Self::Suspend];

    /// Does it, and looks.
    async fn is_followed(self, live: &Live<'_>) -> Result<()> {
        let version = live.version().await?;
        match self {
            Self::Scale => scale(live).await,
            Self::DeleteDeployment => {
                let slot = live.slot().await?;
                let name = live.deployment(slot).await?.name_any();
                comes_back::<Deployment>(live, &name).await?;
                live.has_ready(slot, 1).await?;
                ensure!(live.slot().await? == slot, "another slot is live");
                live.serves(&version).await
            }
            Self::DeletePolicy => {
                let name = format!("{}-plugin", live.installed.id);
                comes_back::<NetworkPolicy>(live, &name).await
            }
            Self::Drain => {
                comes_back::<PodDisruptionBudget>(live, &live.installed.id).await?;
                is_guarded(live, live.slot().await?).await
            }
            Self::DeleteSecret => delete_secret(live, &version).await,
            Self::RollBack => roll_back(live, &version).await,
            Self::Disable => {
                live.patch(json!({ "spec": { "enabled": false } })).await?;
                live.is_shut().await?;
                live.patch(json!({ "spec": { "enabled": true } })).await?;
                live.serves(&version).await.context("enabled again")
            }
            Self::Suspend => {
                let (env, tenant) = (live.installed.env, live.installed.plugins.slug.as_str());
                env.patch(tenant, json!({ "spec": { "suspended": true } })).await?;
                live.is_shut().await?;
                env.patch(tenant, json!({ "spec": { "suspended": false } })).await?;
                live.serves(&version).await.context("resumed")
            }
        }
    }
}

/// Tries all of these one after the other, and whether the installation says the same still. What a failed one leaves is put back by hand, so that it does not hide the next.
pub async fn try_all(actions: &[Action], live: &Live<'_>, stuck: Told) -> Cells {
    let mut cells = Cells::default();
    for action in actions {
        let kept = match live.keep().await {
            Ok(kept) => kept,
            Err(error) => {
                cells.tell(action, Err(error.context("what was live is not complete before")));
                continue;
            }
        };
        let followed = async {
            action.is_followed(live).await?;
            live.says(stuck).await.context("the next release is not stuck any more")
        };
        if !cells.tell(action, followed.await)
            && let Err(error) = live.put_back(&kept).await
        {
            cells.add(&format!("and could not be put back by hand: {error:#}"));
        }
    }
    cells
}

async fn scale(live: &Live<'_>) -> Result<()> {
    let slot = live.slot().await?;
    let (plugins, id) = (&live.installed.plugins, live.installed.id.as_str());
    live.patch(json!({ "spec": { "replicas": 2 } })).await?;
    live.has_ready(slot, 2).await.context("spec.replicas is 2")?;
    eventually("an autoscaler counts 2", PROMPT, async || {
        let counted = plugins.api.get_scale(id).await?.status.map(|status| status.replicas);
        ensure!(counted == Some(2), "{counted:?}");
        Ok(())
    })
    .await?;
    for count in [1, 2] {
        let to = Patch::Merge(json!({ "spec": { "replicas": count } }));
        plugins.api.patch_scale(id, &PatchParams::default(), &to).await?;
        let scaled = live.has_ready(slot, count).await;
        scaled.with_context(|| format!("by /scale to {count}"))?;
    }
    live.patch(json!({ "spec": { "replicas": 1 } })).await?;
    live.has_ready(slot, 1).await.context("spec.replicas is 1 again")
}

/// Deletes an object and waits for its successor.
async fn comes_back<K>(live: &Live<'_>, name: &str) -> Result<()>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = live.installed.plugins.objects();
    let before = api.get(name).await?.uid();
    api.delete(name, &DeleteParams::default()).await?;
    eventually(&format!("{} {name} comes back", K::kind(&())), PROMPT, async || {
        let found = api.get_opt(name).await?.context("it is gone")?;
        ensure!(
            found.uid() != before && found.meta().deletion_timestamp.is_none(),
            "it is the old one"
        );
        Ok(())
    })
    .await
}

/// Waits until the budget is the slot's.
async fn is_guarded(live: &Live<'_>, slot: Slot) -> Result<()> {
    let budgets = live.installed.plugins.objects::<PodDisruptionBudget>();
    let what = format!("the PodDisruptionBudget is of slot {}", slot.as_ref());
    eventually(&what, PROMPT, async || {
        let spec = budgets.get(&live.installed.id).await?.spec;
        let selected = spec.and_then(|spec| spec.selector?.match_labels).unwrap_or_default();
        let is_of_slot = selected.get("plexica.io/slot").is_some_and(|of| of == slot.as_ref());
        ensure!(is_of_slot, "it selects {selected:?}");
        Ok(())
    })
    .await
}

async fn delete_secret(live: &Live<'_>, version: &str) -> Result<()> {
    let (plugins, slot) = (&live.installed.plugins, live.slot().await?);
    let (secrets, name) = (plugins.objects::<Secret>(), format!("{}-database", live.installed.id));
    let credential = |secret: &Secret| secret.annotations().get(CREDENTIAL).cloned();
    let before = credential(&secrets.get(&name).await?);
    secrets.delete(&name, &DeleteParams::default()).await?;
    live.touch().await?;
    let now = eventually("another Secret", PROMPT, async || {
        let found = secrets.get_opt(&name).await?.context("it is gone")?;
        let now = credential(&found).context("it names no credential")?;
        ensure!(Some(&now) != before.as_ref(), "it holds the old one");
        Ok(now)
    })
    .await?;
    let data = live.installed.env.secret(plugins.slug.as_str(), &name).await?;
    drop(database::login(live.installed.env, &data).await?);
    eventually("pods that know it", PROMPT, async || {
        let told = live.credentials_of_pods(slot).await?;
        ensure!(
            !told.is_empty() && told.iter().all(|told| told.as_ref() == Some(&now)),
            "pods hold {told:?}, the Secret {now}"
        );
        Ok(())
    })
    .await?;
    live.serves(version).await
}

async fn roll_back(live: &Live<'_>, version: &str) -> Result<()> {
    let (plugins, to) = (&live.installed.plugins, live.slot().await?.other());
    let yellow = format!("{}-yellow", live.installed.id);
    let standby = plugins.ask(&yellow, "/version").await.context("no standby answers")?;
    let standby = standby["version"].as_str().unwrap_or_default().to_owned();
    ensure!(standby != version, "{standby} is live and stands by");
    live.installed.request("rollback").await?;
    eventually("the way back", AT_ONCE, async || live.installed.leads_to(to).await).await?;
    live.serves(&standby).await?;
    is_guarded(live, to).await
}
