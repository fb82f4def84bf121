//! Everything that exists outside of the tenants' own objects, by name.

use std::{collections::BTreeSet, fmt};

use anyhow::Result;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::ListParams};
use plexica_crds::names::TenantSlug;
use sqlx::PgPool;
use strum::{Display, EnumIter, IntoEnumIterator};

use super::minio::Minio;
use crate::suite::{clients::identity::Admin, env::Env};

/// Kinds of things.
#[derive(Clone, Copy, Debug, Display, EnumIter, PartialEq, Eq, PartialOrd, Ord)]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// Kubernetes namespace.
    Namespace,
    /// PostgreSQL schema.
    Schema,
    /// PostgreSQL role.
    Role,
    /// Row of core.tenants that is not `DELETED`: such a row only remembers that there was a tenant.
    Row,
    /// Keycloak realm.
    Realm,
    /// S3 bucket.
    Bucket,
    /// S3 user.
    User,
    /// S3 policy.
    Policy,
}

/// A thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thing {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// All that exists.
#[derive(Clone, Debug, Default)]
pub struct Inventory(BTreeSet<Thing>);

impl Inventory {
    /// Looks everywhere, as administrator.
    pub async fn take(env: &Env) -> Result<Self> {
        let minio = Minio::root(&env.stack)?;
        let namespaces: Api<Namespace> = Api::all(env.client.clone());
        let list = ListParams::default();
        let postgres = &env.postgres;
        let (namespaces, schemas, roles, rows, realms, buckets, users, policies) = tokio::try_join!(
            async { Ok(namespaces.list(&list).await?) },
            names(postgres.clone(), "SELECT nspname::text FROM pg_namespace"),
            names(postgres.clone(), "SELECT rolname::text FROM pg_roles"),
            names(
                postgres.clone(),
                "SELECT slug FROM core.tenants WHERE status <> 'DELETED'"
            ),
            realms(env),
            minio.buckets(),
            minio.users(),
            minio.policies(),
        )?;
        let things = |kind, names: BTreeSet<String>| names.into_iter().map(move |name| Thing { kind, name });
        let namespaces = namespaces.iter().map(ResourceExt::name_any).collect();
        Ok(Self(
            things(Kind::Namespace, namespaces)
                .chain(things(Kind::Schema, schemas))
                .chain(things(Kind::Role, roles))
                .chain(things(Kind::Row, rows))
                .chain(things(Kind::Realm, realms))
                .chain(things(Kind::Bucket, buckets))
                .chain(things(Kind::User, users))
                .chain(things(Kind::Policy, policies))
                .collect(),
        ))
    }

    /// What is here and not in `other`, and bears this part of a tenant's name.
    pub fn beyond<'a>(&'a self, other: &'a Self, part: &str) -> Vec<&'a Thing> {
        let part = part.replace('_', "-");
        let new = self.0.difference(&other.0);
        new.filter(|thing| thing.name.replace('_', "-").contains(&part))
            .collect()
    }

    /// Names of one kind that begin with this.
    pub fn beginning(&self, kind: Kind, prefix: &str) -> Vec<&str> {
        let own = self
            .0
            .iter()
            .filter(|thing| thing.kind == kind && thing.name.starts_with(prefix));
        own.map(|thing| thing.name.as_str()).collect()
    }

    /// What is not exactly as a provisioned tenant has it: one schema, three roles, one of everything else. Empty
    /// means that all is well. No other tenant's name may begin with this one's.
    pub fn faults(&self, slug: &TenantSlug) -> Vec<String> {
        let [first, second] = slug.login_roles();
        let roles = [slug.owner_role(), first, second];
        let mut faults: Vec<String> = roles
            .iter()
            .map(|role| Thing {
                kind: Kind::Role,
                name: role.to_string(),
            })
            .filter(|role| !self.0.contains(role))
            .map(|role| format!("{role} is missing"))
            .collect();
        for kind in Kind::iter() {
            let (prefix, wanted) = match kind {
                Kind::Schema => (slug.schema().to_string(), 1),
                Kind::Role => (slug.schema().to_string(), 3),
                Kind::Row => (slug.to_string(), 1),
                Kind::Namespace | Kind::Realm | Kind::Bucket | Kind::User | Kind::Policy => {
                    (slug.bucket().to_string(), 1)
                }
            };
            let found = self.beginning(kind, &prefix);
            if found.len() != wanted {
                faults.push(format!(
                    "{slug}: {} of kind {kind} instead of {wanted}: {}",
                    found.len(),
                    found.join(", ")
                ));
            }
        }
        faults
    }
}

async fn names(postgres: PgPool, query: &'static str) -> Result<BTreeSet<String>> {
    let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&postgres).await?;
    Ok(rows.into_iter().collect())
}

async fn realms(env: &Env) -> Result<BTreeSet<String>> {
    let all = Admin::login(env).await?.get("?briefRepresentation=true").await?;
    let all = all.as_array().into_iter().flatten();
    Ok(all
        .filter_map(|realm| realm["realm"].as_str().map(str::to_owned))
        .collect())
}
