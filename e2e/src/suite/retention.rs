//! Deleting a tenant without dropping its data: design.md section 5. Retain is the default, and what happens when a
//! deletion was not confirmed.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Event, Namespace};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use plexica_crds::{LABEL_RETAINED, Tenant, names::TenantSlug, tenant::conditions::Type};
use serde_json::{Value, json};

use super::{
    Case,
    clients::{database, identity::Admin, storage},
    env::{Env, condition_of, contains, eventually, unique},
    without_webhook,
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    let mut all = crate::cases![false;
        retained_data_outlives_its_tenant_and_nobody_can_reach_it,
        sessions_of_a_retained_tenant_are_ended,
        a_deletion_that_was_not_confirmed_keeps_the_data_and_says_so,
        a_confirmation_of_another_name_is_none,
    ];
    all.extend(without_webhook(crate::cases![false;
        nobody_inherits_retained_data_by_the_same_name,
    ]));
    all
}

/// What a tenant has that must outlive it, and the credentials that must not.
struct Kept {
    slug: TenantSlug,
    tenant: Tenant,
    database: BTreeMap<String, String>,
    storage: BTreeMap<String, String>,
}

impl Kept {
    /// A tenant with a row and an object of its own.
    async fn make(env: &Env, spec: Value) -> Result<Self> {
        let name = unique("kept");
        env.create_with(&name, spec, false).await?;
        let tenant = env.ready(&name).await?;
        let kept = Self {
            slug: TenantSlug::parse(&name)?,
            tenant,
            database: env.secret(&name, database::SECRET).await?,
            storage: env.secret(&name, storage::SECRET).await?,
        };
        let mut connection = database::login(env, &kept.database).await?;
        database::run(&mut connection, "INSERT INTO teams (name) VALUES ('survivors')").await?;
        let client = storage::login(env, &kept.storage);
        storage::put(&client, kept.slug.bucket().as_str(), "survivor.txt", "alive").await?;
        Ok(kept)
    }

    fn name(&self) -> &str {
        self.slug.as_str()
    }

    fn id(&self) -> String {
        self.tenant.uid().unwrap_or_default()
    }

    /// Everything is there, and nobody gets in.
    async fn is_shut_and_kept(&self, env: &Env) -> Result<()> {
        let refused = database::login_refused(env, &self.database).await?;
        // invalid_authorization_specification: the role may not log in.
        ensure!(refused == "28000", "the login is refused with SQLSTATE {refused}");
        let bucket = self.slug.bucket().to_string();
        let list = storage::login(env, &self.storage)
            .list_objects_v2()
            .bucket(&bucket)
            .send()
            .await;
        storage::refused("the old key", list, &["InvalidAccessKeyId", "AccessDenied"])?;
        let realm = Admin::login(env).await?.get(&format!("/{}", self.slug.realm())).await?;
        ensure!(realm["enabled"] == false, "the realm is enabled");

        let schema = self.slug.schema();
        let row = format!("SELECT FROM {schema}.teams WHERE name = 'survivors'");
        ensure!(database::any(&env.postgres, &row).await?, "the row is lost");
        let object = storage::get(&storage::root(env), &bucket, "survivor.txt").await?;
        ensure!(object == "alive", "the object has become {object}");
        let registered = database::row(env, self.name()).await?;
        ensure!(
            registered["status"] == "PENDING_DELETION" && registered["id"] == json!(self.id()),
            "the registry has {registered}"
        );
        let namespaces: Api<Namespace> = Api::all(env.client.clone());
        let namespace = namespaces.get(self.slug.namespace().as_str()).await?;
        ensure!(
            namespace.metadata.deletion_timestamp.is_none()
                && namespace
                    .labels()
                    .get(LABEL_RETAINED)
                    .is_some_and(|value| value == "true"),
            "the namespace is not kept as retained: {:?}",
            namespace.metadata
        );
        Ok(())
    }
}

async fn retained_data_outlives_its_tenant_and_nobody_can_reach_it(env: &Env) -> Result<()> {
    let kept = Kept::make(env, json!({ "retention": "48h" })).await?;
    env.delete(kept.name()).await?;
    kept.is_shut_and_kept(env).await?;
    let hours: i32 = database::value(
        &env.postgres,
        &format!(
            "SELECT round(extract(epoch FROM purge_at - now()) / 3600)::int FROM core.tenants WHERE slug = '{}'",
            kept.slug
        ),
    )
    .await?;
    ensure!(
        hours == 48,
        "the data may be purged in {hours} h; spec.retention says 48"
    );
    Ok(())
}

/// A session that is open would outlive its role's right to log in.
async fn sessions_of_a_retained_tenant_are_ended(env: &Env) -> Result<()> {
    let kept = Kept::make(env, json!({})).await?;
    let mut open = database::login(env, &kept.database).await?;
    env.delete(kept.name()).await?;
    let answer = database::run(&mut open, "SELECT 1").await;
    ensure!(answer.is_err(), "a session of the deleted tenant still works");
    Ok(())
}

async fn nobody_inherits_retained_data_by_the_same_name(env: &Env) -> Result<()> {
    let kept = Kept::make(env, json!({})).await?;
    env.delete(kept.name()).await?;
    env.create_with(kept.name(), json!({}), false).await?;
    let told = env.reason(kept.name(), Type::Stalled, "RetainedDataExists").await?;
    contains(&told.message, &kept.id())?;
    contains(&told.message, "nobody inherits it by accident")?;
    let heir = env.tenants().get(kept.name()).await?;
    let ready = condition_of(&heir, Type::Ready).map(|ready| ready.status.as_str());
    ensure!(ready == Some("False"), "the heir is Ready: {ready:?}");
    kept.is_shut_and_kept(env).await?;

    // Not even by a deletion that drops data: the data is not the heir's.
    let drop = json!({
        "metadata": { "annotations": { "plexica.io/confirm-delete": kept.name() } },
        "spec": { "deletionPolicy": "Delete" },
    });
    env.patch(kept.name(), drop).await?;
    env.delete(kept.name()).await?;
    kept.is_shut_and_kept(env).await
}

async fn a_deletion_that_was_not_confirmed_keeps_the_data_and_says_so(env: &Env) -> Result<()> {
    let kept = Kept::make(env, json!({ "deletionPolicy": "Delete" })).await?;
    deleted_without_confirmation(env, &kept).await
}

async fn a_confirmation_of_another_name_is_none(env: &Env) -> Result<()> {
    let kept = Kept::make(env, json!({ "deletionPolicy": "Delete" })).await?;
    let yes = json!({ "metadata": { "annotations": { "plexica.io/confirm-delete": "true" } } });
    env.patch(kept.name(), yes).await?;
    deleted_without_confirmation(env, &kept).await
}

async fn deleted_without_confirmation(env: &Env, kept: &Kept) -> Result<()> {
    env.tenants().delete(kept.name(), &DeleteParams::default()).await?;
    env.gone(&kept.tenant).await?;
    kept.is_shut_and_kept(env).await?;
    // Events of cluster-scoped objects are in namespace default.
    let events: Api<Event> = Api::namespaced(env.client.clone(), "default");
    let of_tenant = ListParams::default().fields(&format!("involvedObject.uid={}", kept.id()));
    let event = eventually("an event", Duration::from_secs(10), || async {
        let found = events.list(&of_tenant).await?;
        found
            .into_iter()
            .find(|event| event.reason.as_deref() == Some("DeleteNotConfirmed"))
            .context("no event DeleteNotConfirmed")
    })
    .await?;
    contains(
        event.message.as_deref().unwrap_or_default(),
        "plexica.io/confirm-delete",
    )
}
