//! What an installation takes without an operator, as a lower bound: its migrations over one connection that is open
//! already, and a Deployment of the very pod that the operator makes. Login role, Secret and configuration are there
//! before, and the pod is in a namespace of its own: so nothing but these two steps is measured.

use std::{fmt::Write as _, time::Duration};

use anyhow::{Context as _, Result};
use k8s_openapi::{
    ByteString, NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, DeploymentSpec},
        core::v1::{ConfigMap, Namespace, PodSpec, PodTemplateSpec, ResourceRequirements, Secret},
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{wait::await_condition, wait::conditions::is_deleted},
};
use plexica_crds::{names::TenantSlug, plugin::Migration};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Connection as _, PgConnection};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use super::PLUGIN;
use crate::{
    bench::ready::Watch,
    layout::hex,
    parts::postgres::DATABASE,
    suite::{clients::database, env::Env, releases::CONTACTS},
};

/// What the namespace of a run begins with. Its label tells it from a tenant's.
const PREFIX: &str = "bench-by-hand";
/// Label of the namespace, and of the pods with the name of their Deployment.
const LABEL: &str = "plexica.io/bench";
/// What schemas and roles begin with.
const SCHEMAS: &str = "bench_by_hand";
/// Longest wait for the namespace to be gone: pods are given half a minute to end.
const PATIENCE: Duration = Duration::from_mins(3);

/// How long the steps took.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Schema and migrations.
    pub migrations: Duration,
    /// From the POST of the Deployment until its pod was ready.
    pub pod: Duration,
}

impl Times {
    /// Both.
    pub fn whole(&self) -> Duration {
        self.migrations + self.pod
    }
}

/// Somebody who installs by hand.
pub struct ByHand<'a> {
    env: &'a Env,
    connection: Mutex<PgConnection>,
    migrations: Vec<Migration>,
    pod: PodSpec,
    namespace: String,
    /// The Secret of the model by which its pod reaches its schema.
    access: Secret,
    deployments: &'a Watch,
}

impl<'a> ByHand<'a> {
    /// Prepares a namespace with everything that the pod of a tenant's installation, the model, refers to.
    pub async fn prepare(env: &'a Env, deployments: &'a Watch, run: &str, model: &str) -> Result<Self> {
        let release = env.plugins().get(CONTACTS).await?;
        let tenant = TenantSlug::parse(model)?.namespace().to_string();
        let made: Api<Deployment> = Api::namespaced(env.client.clone(), &tenant);
        let made = made.get(&format!("{PLUGIN}-a")).await?;
        let pod = made.spec.and_then(|spec| spec.template.spec).context("no pod")?;
        let namespace = format!("{PREFIX}-{run}");
        let metadata = ObjectMeta {
            name: Some(namespace.clone()),
            labels: Some([(LABEL.to_owned(), "by-hand".to_owned())].into()),
            ..ObjectMeta::default()
        };
        let namespaces: Api<Namespace> = Api::all(env.client.clone());
        let object = Namespace {
            metadata,
            ..Namespace::default()
        };
        namespaces.create(&PostParams::default(), &object).await?;
        let volumes = pod.volumes.iter().flatten();
        for map in volumes.filter_map(|volume| volume.config_map.as_ref()) {
            copy::<ConfigMap>(env, &tenant, &namespace, &map.name).await?;
        }
        let mut secrets: Vec<_> = secrets_of(&pod).map(str::to_owned).collect();
        secrets.sort();
        secrets.dedup();
        let own = format!("{PLUGIN}-database");
        for name in secrets.iter().filter(|name| **name != own) {
            copy::<Secret>(env, &tenant, &namespace, name).await?;
        }
        let secrets: Api<Secret> = Api::namespaced(env.client.clone(), &tenant);
        Ok(Self {
            env,
            connection: Mutex::new(PgConnection::connect(&env.stack.postgres_operator_url(DATABASE)).await?),
            migrations: release.spec.migrations,
            pod,
            access: secrets.get(&own).await?,
            namespace,
            deployments,
        })
    }

    /// Removes what interrupted runs have left.
    pub async fn sweep(env: &Env) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(env.client.clone());
        for left in namespaces.list(&ListParams::default().labels(LABEL)).await? {
            remove_namespace(env, &left.name_any()).await?;
        }
        let mut connection = PgConnection::connect(&env.stack.postgres_operator_url(DATABASE)).await?;
        remove_schemas(&mut connection).await
    }

    /// Makes the login role and its Secret: not measured.
    pub async fn lay_out(&self, name: &str) -> Result<()> {
        let (role, password) = (schema(name), hex(&rand::random::<[u8; 20]>()));
        let make = format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT {DATABASE}_tenants TO {role} WITH INHERIT TRUE, SET FALSE"
        );
        database::run(&mut *self.connection.lock().await, &make).await?;
        let of = |key: &str| {
            let value = self.access.data.as_ref().and_then(|data| data.get(key));
            value.map(|ByteString(value)| String::from_utf8_lossy(value).into_owned())
        };
        let address = format!("{}:{}", of("host").context("no host")?, of("port").context("no port")?);
        let url = format!("postgresql://{role}:{password}@{address}/{DATABASE}");
        let secret = Secret {
            metadata: self.named(name),
            string_data: Some([("uri".to_owned(), url)].into()),
            ..Secret::default()
        };
        let secrets: Api<Secret> = Api::namespaced(self.env.client.clone(), &self.namespace);
        secrets.create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    /// Migrates and deploys.
    pub async fn install(&self, name: &str, resources: Option<&ResourceRequirements>) -> Result<Times> {
        let declared = self.deployment(name, resources);
        let deployments: Api<Deployment> = Api::namespaced(self.env.client.clone(), &self.namespace);
        let begun = Instant::now();
        self.migrate(name).await?;
        let migrated = Instant::now();
        deployments.create(&PostParams::default(), &declared).await?;
        let seen = self.deployments.ready(&format!("{}/{name}", self.namespace)).await?;
        Ok(Times {
            migrations: migrated.duration_since(begun),
            pod: seen.ready.duration_since(migrated),
        })
    }

    async fn migrate(&self, name: &str) -> Result<()> {
        let schema = schema(name);
        let mut connection = self.connection.lock().await;
        database::run(&mut *connection, &format!("CREATE SCHEMA {schema}")).await?;
        for migration in &self.migrations {
            let sql = migration.sql.as_deref().context("a migration has no statements")?;
            // Statements that are sent together are one transaction.
            database::run(&mut *connection, &sql.replace("{{schema}}", &schema)).await?;
        }
        let grants = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {schema}; GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {schema}"
        );
        database::run(&mut *connection, &grants).await
    }

    /// The model's pod with another Secret. `search_path` needs no word: the role is named as its schema.
    fn deployment(&self, name: &str, resources: Option<&ResourceRequirements>) -> Deployment {
        let labels = Some([(LABEL.to_owned(), name.to_owned())].into());
        let mut pod = self.pod.clone();
        for container in &mut pod.containers {
            let variables = container.env.iter_mut().flatten();
            let references = variables.filter_map(|variable| variable.value_from.as_mut()?.secret_key_ref.as_mut());
            for reference in references.filter(|reference| Some(&reference.name) == self.access.metadata.name.as_ref())
            {
                name.clone_into(&mut reference.name);
            }
            if let Some(resources) = resources {
                container.resources = Some(resources.clone());
            }
        }
        Deployment {
            metadata: self.named(name),
            spec: Some(DeploymentSpec {
                selector: LabelSelector {
                    match_labels: labels.clone(),
                    ..LabelSelector::default()
                },
                template: PodTemplateSpec {
                    metadata: Some(ObjectMeta {
                        labels,
                        ..ObjectMeta::default()
                    }),
                    spec: Some(pod),
                },
                ..DeploymentSpec::default()
            }),
            ..Deployment::default()
        }
    }

    fn named(&self, name: &str) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ObjectMeta::default()
        }
    }

    /// Removes everything, and waits until the pods are gone.
    pub async fn remove(self) -> Result<()> {
        remove_namespace(self.env, &self.namespace).await?;
        remove_schemas(&mut self.connection.into_inner()).await
    }
}

/// The schema, and its role, of an installation.
fn schema(name: &str) -> String {
    format!("{SCHEMAS}_{}", name.replace('-', "_"))
}

fn secrets_of(pod: &PodSpec) -> impl Iterator<Item = &str> {
    let variables = pod
        .containers
        .iter()
        .flat_map(|container| container.env.iter().flatten());
    variables.filter_map(|variable| Some(variable.value_from.as_ref()?.secret_key_ref.as_ref()?.name.as_str()))
}

/// Copies an object of a namespace to another one.
async fn copy<K>(env: &Env, from: &str, to: &str, name: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api = |namespace| Api::<K>::namespaced(env.client.clone(), namespace);
    let mut object = api(from).get(name).await?;
    *object.meta_mut() = ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    api(to).create(&PostParams::default(), &object).await?;
    Ok(())
}

async fn remove_namespace(env: &Env, name: &str) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(env.client.clone());
    let uid = namespaces.get(name).await?.uid().unwrap_or_default();
    namespaces.delete(name, &DeleteParams::default()).await?;
    timeout(PATIENCE, await_condition(namespaces, name, is_deleted(&uid)))
        .await
        .with_context(|| format!("namespace {name} is still there"))??;
    Ok(())
}

async fn remove_schemas(connection: &mut PgConnection) -> Result<()> {
    let roles = format!("SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, '{SCHEMAS}_')");
    let mut script = String::new();
    for name in database::texts(&mut *connection, &roles).await? {
        write!(
            script,
            "DROP SCHEMA IF EXISTS {name} CASCADE; DROP OWNED BY {name}; DROP ROLE {name};"
        )?;
    }
    database::run(connection, &script).await
}
