//! RBAC's rules and the audit log in the same words.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use comfy_table::{Table, presets};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;

use crate::{
    platform::NAMESPACE,
    suite::{env::Env, observe::audit},
    webhook,
};

/// Cluster role that is bound everywhere.
const EVERYWHERE: &str = "plexica-operator";
/// Cluster role that the operator binds in tenants' namespaces.
pub const BOUND_IN_TENANTS: &str = "plexica-operator-tenant-namespace";
/// Role in namespace `default`.
pub const EVENTS: &str = "plexica-operator-events";
/// Role in the operator's own namespace.
pub const MIGRATIONS: &str = "plexica-operator-migrations";

/// Namespace of plugins that run once for all tenants: the chart binds the role of tenants' namespaces there, too.
pub const SHARED: &str = "plexica-shared";

/// Where a role holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
enum Scope {
    #[strum(serialize = "everywhere")]
    Everywhere,
    #[strum(serialize = "namespaces of tenants")]
    Tenants,
    #[strum(serialize = "namespace default")]
    Default,
    #[strum(serialize = "the operator's namespace")]
    Own,
}

impl Scope {
    /// Whether a request in this namespace (empty: in none) is within the scope.
    fn covers(self, namespace: &str) -> bool {
        match self {
            Self::Everywhere => true,
            Self::Tenants => namespace.starts_with("tenant-") || namespace == SHARED,
            Self::Default => namespace == "default",
            Self::Own => namespace == NAMESPACE,
        }
    }
}

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    group: String,
    resource: String,
    verb: String,
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Need {
    permission: Permission,
    namespace: String,
}

/// All that the operator is granted.
pub struct Granted(BTreeSet<(Scope, Permission)>);

impl Granted {
    /// The roles of the chart.
    pub async fn read(env: &Env) -> Result<Self> {
        let cluster_roles: Api<ClusterRole> = Api::all(env.client.clone());
        let roles = |namespace: &str| Api::<Role>::namespaced(env.client.clone(), namespace);
        let everywhere = cluster_roles.get(EVERYWHERE).await?;
        let in_tenants = cluster_roles.get(BOUND_IN_TENANTS).await?;
        let events = roles("default").get(EVENTS).await?;
        let migrations = roles(NAMESPACE).get(MIGRATIONS).await?;
        for role in [&everywhere, &in_tenants] {
            ensure!(role.aggregation_rule.is_none(), "a role of the operator is aggregated");
        }
        let mut granted = BTreeSet::new();
        for (scope, rules) in [
            (Scope::Everywhere, everywhere.rules),
            (Scope::Tenants, in_tenants.rules),
            (Scope::Default, events.rules),
            (Scope::Own, migrations.rules),
        ] {
            for rule in rules.iter().flatten() {
                granted.extend(permissions(rule).into_iter().map(|permission| (scope, permission)));
            }
        }
        Ok(Self(granted))
    }

    /// The roles of the webhook, which are as narrow as names can make them.
    pub async fn read_webhook(env: &Env) -> Result<Self> {
        let everywhere = Api::<ClusterRole>::all(env.client.clone()).get(webhook::NAME).await?;
        let own = Api::<Role>::namespaced(env.client.clone(), NAMESPACE)
            .get(webhook::NAME)
            .await?;
        let mut granted = BTreeSet::new();
        for (scope, rules) in [(Scope::Everywhere, everywhere.rules), (Scope::Own, own.rules)] {
            for rule in rules.iter().flatten() {
                let resources = rule.resources.iter().flatten().map(String::as_str);
                let named = ["secrets", "validatingwebhookconfigurations"];
                ensure!(
                    rule.resource_names.is_some() || !resources.clone().any(|resource| named.contains(&resource)),
                    "it is granted {:?} of any name",
                    resources.collect::<Vec<_>>()
                );
                granted.extend(permissions(rule).into_iter().map(|permission| (scope, permission)));
            }
        }
        Ok(Self(granted))
    }

    /// No wildcard, and nothing about Secrets outside of tenants' namespaces.
    pub fn prove_narrow(&self) -> Result<()> {
        for (scope, permission) in &self.0 {
            let Permission { group, resource, verb } = permission;
            let all = [group, resource, verb];
            ensure!(
                !all.iter().any(|part| part.contains('*')),
                "a wildcard is granted: {permission:?}"
            );
            ensure!(
                resource != "secrets" || *scope == Scope::Tenants,
                "{verb} secrets is granted {scope}"
            );
        }
        Ok(())
    }

    /// Fails with a table unless each grant was used, and each use is granted. Uses before `since` are left out.
    pub fn compare(&self, requests: &[audit::Request], since: Timestamp) -> Result<()> {
        let used: BTreeSet<Need> = requests
            .iter()
            .filter(|request| request.request_received_timestamp >= since && (200..300).contains(&request.code()))
            .flat_map(needs)
            .collect();
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["", "VERB", "RESOURCE", "GROUP", "WHERE"]);
        let mut row = |what: &str, permission: &Permission, place: &str| {
            let Permission { group, resource, verb } = permission;
            table.add_row([what, verb, resource, group, place]);
        };
        let mut differences = 0;
        for (scope, permission) in &self.0 {
            // `bind` is asked for inside the making of a binding: its use is shown by the bindings themselves.
            let is_used = |need: &Need| need.permission == *permission && scope.covers(&need.namespace);
            if permission.verb != "bind" && !used.iter().any(is_used) {
                row("granted, never used", permission, &scope.to_string());
                differences += 1;
            }
        }
        for need in &used {
            let covers = |(scope, permission): &(Scope, Permission)| {
                need.permission == *permission && scope.covers(&need.namespace)
            };
            if !self.0.iter().any(covers) {
                row("used, not granted", &need.permission, &need.namespace);
                differences += 1;
            }
        }
        ensure!(differences == 0, "grants and use differ:\n{table}");
        Ok(())
    }
}

fn permissions(rule: &PolicyRule) -> Vec<Permission> {
    let mut found = vec![];
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            for verb in &rule.verbs {
                found.push(Permission {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                });
            }
        }
    }
    // Paths such as /metrics: the operator is granted none; shown as a resource of no group if it ever is.
    for path in rule.non_resource_urls.iter().flatten() {
        found.push(Permission {
            group: String::new(),
            resource: path.clone(),
            verb: rule.verbs.join(","),
        });
    }
    found
}

/// What a request needs; nothing where it was about no resource (discovery and health are everybody's).
fn needs(request: &audit::Request) -> Vec<Need> {
    let Some(object) = &request.object_ref else {
        return vec![];
    };
    let resource = if object.subresource.is_empty() {
        object.resource.clone()
    } else {
        format!("{}/{}", object.resource, object.subresource)
    };
    // Reviews of its own account are everybody's too (ClusterRole system:basic-user).
    if ["authorization.k8s.io", "authentication.k8s.io"].contains(&object.api_group.as_str()) {
        return vec![];
    }
    let mut verbs = vec![request.verb.clone()];
    // An apply that makes the object needs `create` beside `patch`:
    // <https://kubernetes.io/docs/reference/using-api/server-side-apply/#apply-and-update>.
    if request.verb == "patch" && request.code() == 201 {
        verbs.push("create".to_owned());
    }
    let need = |verb| Need {
        permission: Permission {
            group: object.api_group.clone(),
            resource: resource.clone(),
            verb,
        },
        namespace: object.namespace.clone(),
    };
    verbs.into_iter().map(need).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(verb: &str, namespace: &str, resource: &str, code: u16) -> audit::Request {
        audit::Request::parse(
            &json!({ "verb": verb, "user": { "username": audit::OPERATOR }, "requestURI": "/x",
                "objectRef": { "resource": resource, "namespace": namespace },
                "responseStatus": { "code": code }, "requestReceivedTimestamp": "2026-11-21T10:41:08.001541Z" })
            .to_string(),
        )
        .unwrap()
    }

    fn granted(scope: Scope, verbs: &[&str]) -> Granted {
        let rule = PolicyRule {
            api_groups: Some(vec![String::new()]),
            resources: Some(vec!["secrets".into()]),
            verbs: verbs.iter().map(ToString::to_string).collect(),
            ..PolicyRule::default()
        };
        Granted(
            permissions(&rule)
                .into_iter()
                .map(|permission| (scope, permission))
                .collect(),
        )
    }

    #[test]
    fn an_apply_that_makes_something_needs_create_as_well() {
        let tenants = granted(Scope::Tenants, &["create", "patch"]);
        let made = request("patch", "tenant-acme", "secrets", 201);
        assert!(
            tenants
                .compare(std::slice::from_ref(&made), Timestamp::UNIX_EPOCH)
                .is_ok()
        );
        let changed = request("patch", "tenant-acme", "secrets", 200);
        let told = tenants
            .compare(&[changed], Timestamp::UNIX_EPOCH)
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("granted, never used") && told.contains("create"),
            "{told}"
        );
    }

    #[test]
    fn a_refused_request_is_no_use_and_another_namespace_no_grant() {
        let tenants = granted(Scope::Tenants, &["get"]);
        let own = request("get", "tenant-acme", "secrets", 200);
        let refused = request("get", "kube-system", "secrets", 403);
        assert!(tenants.compare(&[own.clone(), refused], Timestamp::UNIX_EPOCH).is_ok());
        let stolen = request("get", "kube-system", "secrets", 200);
        let told = tenants
            .compare(&[own, stolen], Timestamp::UNIX_EPOCH)
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("used, not granted") && told.contains("kube-system"),
            "{told}"
        );
    }

    #[test]
    fn wildcards_and_secrets_everywhere_are_found() {
        assert!(granted(Scope::Everywhere, &["get"]).prove_narrow().is_err());
        assert!(granted(Scope::Tenants, &["*"]).prove_narrow().is_err());
        assert!(granted(Scope::Tenants, &["get"]).prove_narrow().is_ok());
    }
}
