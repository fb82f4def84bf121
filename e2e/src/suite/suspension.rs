//! A tenant that is shut on request: design.md section 5. Nobody gets in, data is kept, and it opens again.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use plexica_crds::{
    names::TenantSlug,
    tenant::{Phase, conditions::Type},
};
use serde_json::json;

use super::{
    Case,
    clients::{database, identity::Admin, storage},
    env::{Env, condition_of, eventually, unique},
};

/// See the file's description.
pub fn cases() -> Vec<Case> {
    crate::cases![false;
        a_suspended_tenant_is_shut_everywhere_and_opens_again_with_its_data,
        a_tenant_that_is_made_suspended_opens_when_it_is_wanted,
        what_somebody_opens_of_a_suspended_tenant_is_shut_again,
    ]
}

/// The credentials that a tenant's services have.
struct Keys {
    slug: TenantSlug,
    database: BTreeMap<String, String>,
    storage: BTreeMap<String, String>,
}

impl Keys {
    async fn of(env: &Env, name: &str) -> Result<Self> {
        Ok(Self {
            slug: TenantSlug::parse(name)?,
            database: env.secret(name, database::SECRET).await?,
            storage: env.secret(name, storage::SECRET).await?,
        })
    }

    async fn are_refused(&self, env: &Env) -> Result<()> {
        let refused = database::login_refused(env, &self.database).await?;
        // invalid_authorization_specification: the role may not log in.
        ensure!(refused == "28000", "the login is refused with SQLSTATE {refused}");
        let bucket = self.slug.bucket().to_string();
        let list = storage::login(env, &self.storage)
            .list_objects_v2()
            .bucket(&bucket)
            .send()
            .await;
        storage::refused("the key", list, &["InvalidAccessKeyId", "AccessDenied"])?;
        let realm = Admin::login(env).await?.get(&format!("/{}", self.slug.realm())).await?;
        ensure!(realm["enabled"] == false, "the realm is enabled");
        Ok(())
    }

    async fn are_accepted(&self, env: &Env) -> Result<()> {
        let mut session = database::login(env, &self.database).await?;
        ensure!(
            database::any(&mut session, "SELECT FROM teams WHERE name = 'survivors'").await?,
            "the row is lost"
        );
        let client = storage::login(env, &self.storage);
        let object = storage::get(&client, self.slug.bucket().as_str(), "survivor.txt").await?;
        ensure!(object == "alive", "the object has become {object}");
        let realm = Admin::login(env).await?.get(&format!("/{}", self.slug.realm())).await?;
        ensure!(realm["enabled"] == true, "the realm is shut");
        Ok(())
    }
}

async fn suspend(env: &Env, name: &str, suspended: bool) -> Result<()> {
    env.patch(name, json!({ "spec": { "suspended": suspended } }))
        .await
        .map(drop)
}

/// Waits until the tenant says that it is shut, and checks what else it says.
async fn says_that_it_is_shut(env: &Env, name: &str) -> Result<()> {
    let tenant = env
        .until(name, "suspended", |tenant| {
            condition_of(tenant, Type::Suspended)
                .is_some_and(|said| said.status == "True" && said.observed_generation == tenant.metadata.generation)
        })
        .await?;
    let status = tenant.status.as_ref().context("no status")?;
    ensure!(
        status.phase == Some(Phase::Suspended),
        "the phase is {:?}",
        status.phase
    );
    for type_ in [
        Type::Ready,
        Type::DatabaseReady,
        Type::IdentityReady,
        Type::StorageReady,
    ] {
        let said = condition_of(&tenant, type_).map(|said| (said.status.as_str(), said.reason.as_str()));
        ensure!(said == Some(("False", "SuspendRequested")), "{type_:?} says {said:?}");
    }
    for type_ in [Type::Reconciling, Type::Stalled] {
        ensure!(
            condition_of(&tenant, type_).is_none(),
            "a tenant that is shut is at rest: {type_:?}"
        );
    }
    Ok(())
}

async fn a_suspended_tenant_is_shut_everywhere_and_opens_again_with_its_data(env: &Env) -> Result<()> {
    let name = unique("shut");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let keys = Keys::of(env, &name).await?;
    let mut open = database::login(env, &keys.database).await?;
    database::run(&mut open, "INSERT INTO teams (name) VALUES ('survivors')").await?;
    let client = storage::login(env, &keys.storage);
    storage::put(&client, keys.slug.bucket().as_str(), "survivor.txt", "alive").await?;

    suspend(env, &name, true).await?;
    says_that_it_is_shut(env, &name).await?;
    keys.are_refused(env).await?;
    let answer = database::run(&mut open, "SELECT 1").await;
    ensure!(answer.is_err(), "a session of the suspended tenant still works");

    suspend(env, &name, false).await?;
    env.ready(&name).await?;
    Keys::of(env, &name).await?.are_accepted(env).await
}

async fn a_tenant_that_is_made_suspended_opens_when_it_is_wanted(env: &Env) -> Result<()> {
    let name = unique("closed");
    env.create(&name, json!({ "suspended": true })).await?;
    says_that_it_is_shut(env, &name).await?;
    suspend(env, &name, false).await?;
    env.ready(&name).await.map(drop)
}

async fn what_somebody_opens_of_a_suspended_tenant_is_shut_again(env: &Env) -> Result<()> {
    let name = unique("opened");
    env.create(&name, json!({})).await?;
    env.ready(&name).await?;
    let keys = Keys::of(env, &name).await?;
    suspend(env, &name, true).await?;
    says_that_it_is_shut(env, &name).await?;

    let [role, _] = keys.slug.login_roles();
    database::run(&env.postgres, &format!("ALTER ROLE {role} LOGIN")).await?;
    env.touch(&name).await?;
    eventually("the role is shut", Duration::from_secs(30), || keys.are_refused(env)).await
}
