//! What tests have at hand: the stack's clients, tenants made and removed, and waits that end.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::{wait::await_condition, wait::conditions::is_deleted},
};
use plexica_crds::{ANNOTATION_CONFIRM_DELETE, Tenant, condition, tenant::conditions::Type};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::time::{sleep, timeout};

use super::leftovers;
use crate::{stack::Stack, ui};

/// Longest wait for a tenant to become Ready or to be gone.
const PATIENCE: Duration = Duration::from_mins(2);
/// An annotation that means nothing: changing it makes the operator look at the tenant again.
const ANNOTATION_TOUCHED: &str = "example.com/touched";

/// Lines of the operator's log that are shown of a failed test.
const LOG_LINES_SHOWN: usize = 12;

/// What is to be undone at the end of a test, and how long that may take.
type Undo = (Duration, BoxFuture<'static, Result<()>>);

/// The stack, with clients. A clone shares everything, what is to be undone included.
#[derive(Clone)]
pub struct Env {
    /// The stack.
    pub stack: Stack,
    /// Kubernetes, as administrator.
    pub client: Client,
    /// `PostgreSQL`, as superuser, database `plexica`.
    pub postgres: PgPool,
    /// HTTP, which resolves the backends' Service names to the node.
    pub http: reqwest::Client,
    undo: Arc<Mutex<Vec<Undo>>>,
    /// Tenants that this test has made.
    made: Arc<Mutex<Vec<String>>>,
}

impl Env {
    /// Connects to everything.
    pub async fn new(stack: &Stack) -> Result<Self> {
        let node = |port| std::net::SocketAddr::from((stack.node(), port));
        Ok(Self {
            client: stack.kube().await?,
            postgres: PgPool::connect(&stack.postgres_superuser_url("plexica"))
                .await
                .context("PostgreSQL")?,
            http: reqwest::Client::builder()
                .resolve("keycloak.plexica-backends.svc.cluster.local", node(8080))
                .resolve("s3.plexica-backends.svc.cluster.local", node(9000))
                .timeout(Duration::from_secs(30))
                .build()?,
            stack: stack.clone(),
            undo: Arc::default(),
            made: Arc::default(),
        })
    }

    /// The same for one test, which undoes what it did and nothing else.
    #[must_use]
    pub fn for_case(&self) -> Self {
        Self {
            undo: Arc::default(),
            made: Arc::default(),
            ..self.clone()
        }
    }

    /// Remembers what is to be done when the test has ended, however it ends. The last comes first.
    pub fn afterwards(&self, undo: impl Future<Output = Result<()>> + Send + 'static) {
        self.afterwards_within(PATIENCE, undo);
    }

    /// As [`Env::afterwards`], for what takes longer than most.
    pub fn afterwards_within(&self, patience: Duration, undo: impl Future<Output = Result<()>> + Send + 'static) {
        self.undos().push((patience, undo.boxed()));
    }

    /// As [`Env::afterwards`], once everything else was undone.
    pub fn at_the_very_end(&self, undo: impl Future<Output = Result<()>> + Send + 'static) {
        self.undos().insert(0, (PATIENCE, undo.boxed()));
    }

    /// Undoes everything; tries all of it, and tells what could not be undone.
    pub async fn clean_up(&self) -> Result<()> {
        let mut left = vec![];
        loop {
            let Some((patience, undo)) = self.undos().pop() else {
                break;
            };
            match timeout(patience, undo).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => left.push(format!("{error:#}")),
                Err(_) => left.push(format!("no end within {} s", patience.as_secs())),
            }
        }
        ensure!(left.is_empty(), "left behind: {}", left.join("; "));
        Ok(())
    }

    fn undos(&self) -> std::sync::MutexGuard<'_, Vec<Undo>> {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tenants.
    pub fn tenants(&self) -> Api<Tenant> {
        Api::all(self.client.clone())
    }

    /// Makes a tenant; `spec` is completed by a display name. It is dropped with its data when it is deleted, which
    /// is at the end of the test at the latest.
    pub async fn create(&self, name: &str, spec: Value) -> Result<Tenant> {
        self.create_with(name, spec, true).await
    }

    /// Makes a tenant whose data is kept or dropped when it is deleted. At the end of the test both go: what was kept is
    /// removed with the rights of the backends' administrators.
    pub async fn create_with(&self, name: &str, spec: Value, dropped: bool) -> Result<Tenant> {
        Ok(serde_json::from_value(self.create_untyped(name, spec, dropped).await?)?)
    }

    /// The same, with an answer that need not decode as a tenant.
    pub async fn create_untyped(&self, name: &str, mut spec: Value, dropped: bool) -> Result<Value> {
        if spec.get("displayName").is_none() {
            spec["displayName"] = json!(format!("Test {name}"));
        }
        if dropped {
            spec["deletionPolicy"] = json!("Delete");
        }
        let annotations = if dropped {
            json!({ ANNOTATION_CONFIRM_DELETE: name })
        } else {
            json!({})
        };
        let tenant = json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "Tenant",
            "metadata": { "name": name, "annotations": annotations }, "spec": spec,
        });
        // Untyped, so that the API server sees what a user wrote and not what our types make of it.
        let request = http_request("POST", "/apis/plexica.io/v1alpha1/tenants", &tenant)?;
        let made: Value = self.client.request(request).await?;
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name.to_owned());
        let (env, name) = (self.clone(), name.to_owned());
        self.afterwards(async move {
            env.remove(&name).await?;
            if dropped {
                return Ok(());
            }
            leftovers::wipe(&env, &name).await
        });
        Ok(made)
    }

    /// The message by which the API server refuses a tenant.
    pub async fn refusal(&self, name: &str, spec: Value) -> Result<String> {
        match self.create(name, spec).await {
            Ok(_) => bail!("{name} was accepted"),
            Err(error) => Ok(format!("{error:#}")),
        }
    }

    /// Waits until the tenant satisfies a predicate; the error shows its conditions.
    pub async fn until(&self, name: &str, what: &str, holds: impl Fn(&Tenant) -> bool + Clone) -> Result<Tenant> {
        let check = |tenant: Option<&Tenant>| tenant.is_some_and(&holds);
        if let Ok(found) = timeout(PATIENCE, await_condition(self.tenants(), name, check)).await {
            return found?.ok_or_else(|| anyhow!("{name} vanished"));
        }
        let tenant = self.tenants().get_opt(name).await?;
        bail!(
            "{name}: not {what} within {} s: {}",
            PATIENCE.as_secs(),
            tenant.map_or_else(|| "it is gone".to_owned(), |tenant| summary(&tenant))
        )
    }

    /// Waits until the tenant is Ready in its present generation and its isolation was tried: the operator is at rest.
    pub async fn ready(&self, name: &str) -> Result<Tenant> {
        self.until(name, "Ready and verified", |tenant| {
            is_ready(tenant) && is_verified(tenant)
        })
        .await
    }

    /// Waits until a condition gives this reason, and returns it.
    pub async fn reason(&self, name: &str, type_: Type, reason: &'static str) -> Result<Condition> {
        let tenant = self
            .until(name, reason, move |tenant| {
                condition_of(tenant, type_).is_some_and(|found| found.reason == reason)
            })
            .await?;
        condition_of(&tenant, type_)
            .cloned()
            .ok_or_else(|| anyhow!("{name}: no condition {type_:?}"))
    }

    /// Deletes the tenant and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let Some(tenant) = self.tenants().get_opt(name).await? else {
            return Ok(());
        };
        self.tenants().delete(name, &DeleteParams::default()).await?;
        self.gone(&tenant).await
    }

    /// Deletes the tenant with its data, whatever its spec says, and waits until it is gone.
    async fn remove(&self, name: &str) -> Result<()> {
        if self.tenants().get_opt(name).await?.is_none() {
            return Ok(());
        }
        let confirmed = json!({
            "metadata": { "annotations": { ANNOTATION_CONFIRM_DELETE: name } },
            "spec": { "deletionPolicy": "Delete" },
        });
        self.patch(name, confirmed).await?;
        self.delete(name).await
    }

    /// Makes the operator look at the tenant again.
    pub async fn touch(&self, name: &str) -> Result<()> {
        let now = jiff::Timestamp::now().to_string();
        let patch = json!({ "metadata": { "annotations": { ANNOTATION_TOUCHED: now } } });
        self.patch(name, patch).await.map(drop)
    }

    /// Waits until this very object is gone.
    pub async fn gone(&self, tenant: &Tenant) -> Result<()> {
        let name = tenant.name_any();
        let uid = tenant.uid().unwrap_or_default();
        timeout(PATIENCE, await_condition(self.tenants(), &name, is_deleted(&uid)))
            .await
            .map_err(|_| anyhow!("{name} is still there"))??;
        Ok(())
    }

    /// Changes the tenant by a merge patch.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<Tenant> {
        Ok(self
            .tenants()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await?)
    }

    /// A Secret of a tenant, as text.
    pub async fn secret(&self, tenant: &str, name: &str) -> Result<std::collections::BTreeMap<String, String>> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &format!("tenant-{tenant}"));
        let data = api.get(name).await?.data.unwrap_or_default();
        data.into_iter()
            .map(|(key, ByteString(value))| Ok((key, String::from_utf8(value)?)))
            .collect()
    }

    /// What helps to understand a failure: those of the test's tenants that are not Ready, and what the operator last said of
    /// all of them.
    pub async fn diagnostics(&self) -> String {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut lines = vec![];
        if let Ok(list) = self.tenants().list(&ListParams::default()).await {
            lines.extend(
                list.iter()
                    .filter(|tenant| made.contains(&tenant.name_any()) && !is_ready(tenant))
                    .map(summary),
            );
        }
        if let Some(path) = self.stack.operator_log()
            && let Ok(log) = std::fs::read_to_string(path)
        {
            let theirs = log
                .lines()
                .filter(|line| made.iter().any(|name| line.contains(name.as_str())));
            let first = theirs.clone().count().saturating_sub(LOG_LINES_SHOWN);
            lines.extend(theirs.skip(first).map(str::to_owned));
        }
        lines.iter().flat_map(|line| ["        | ", line, "\n"]).collect()
    }
}

/// Whether the tenant's isolation was tried and holds: what the pass after the one that makes says.
fn is_verified(tenant: &Tenant) -> bool {
    condition_of(tenant, Type::IsolationVerified).is_some_and(|said| said.status == "True")
}

/// Whether the tenant is Ready in its present generation.
pub fn is_ready(tenant: &Tenant) -> bool {
    let conditions = tenant
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice())
        .unwrap_or_default();
    condition::is_true(
        conditions,
        Type::Ready.into(),
        tenant.metadata.generation.unwrap_or_default(),
    )
}

/// A condition of the tenant.
pub fn condition_of(tenant: &Tenant, type_: Type) -> Option<&Condition> {
    condition::find(&tenant.status.as_ref()?.conditions, type_.into())
}

fn summary(tenant: &Tenant) -> String {
    let conditions = tenant.status.iter().flat_map(|status| &status.conditions);
    let told: Vec<_> = conditions
        .map(|c| format!("{}={} {} {}", c.type_, c.status, c.reason, c.message))
        .collect();
    format!("{}: {}", tenant.name_any(), told.join(" | "))
}

/// A request to the API server with a JSON body.
pub fn http_request(method: &str, path: &str, body: &Value) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(serde_json::to_vec(body)?)?)
}

/// A name for a tenant that no other test uses: the prefix and six random characters.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..6])
}

/// The seed of a test's random moments: a new one, or that of environment variable `PLEXICA_SEED`, by which a failure
/// is repeated. It is told.
pub fn seed() -> u64 {
    let given = std::env::var("PLEXICA_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    ui::print(&format!("        the moments of death follow from PLEXICA_SEED={seed}"));
    seed
}

/// Repeats an observation until it yields something or time is up; what it last said becomes the error.
pub async fn eventually<T, F: Future<Output = Result<T>>>(
    what: &str,
    patience: Duration,
    observe: impl Fn() -> F,
) -> Result<T> {
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        match observe().await {
            Ok(value) => return Ok(value),
            Err(error) if tokio::time::Instant::now() > deadline => {
                return Err(error.context(format!("{what}: not within {} s", patience.as_secs())));
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Fails with both sides unless the text holds the part.
pub fn contains(text: &str, part: &str) -> Result<()> {
    if text.contains(part) {
        Ok(())
    } else {
        bail!("`{part}` is missing in: {text}")
    }
}

/// Makes an object by its type, as administrator.
pub async fn post<K>(api: &Api<K>, object: Value) -> Result<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    Ok(api
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?)
}
