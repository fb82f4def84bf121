//! A converged object causes no write at all: design.md, section 5.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use kube::{ResourceExt, api::ListParams};
use plexica_crds::{
    plugin::conditions::Type::Registered, plugin_installation::conditions::Type as Installed, tenant::conditions::Type,
};
use serde_json::json;
use tokio::time::sleep;

use super::{
    Case,
    env::{Env, condition_of, is_ready, unique},
    observe::{Mark, audit, minio, passes::passes, rest},
    releases::VERSION,
    tenant_plugins::TenantPlugins,
};
use crate::{cases, parts::Part, ui};

/// How many tenants there are.
const TENANTS: usize = 20;
/// How long they are watched. It is longer than twice the stack's `resyncInterval`: each is looked at again.
const WINDOW: Duration = Duration::from_mins(3);
/// Longest wait until nothing is written any more: events and defaults of the last tenant's creation.
const PATIENCE: Duration = Duration::from_mins(1);
/// Windows at most: one in which something else happened to the objects proves nothing of the operator.
const WINDOWS: usize = 2;
/// Findings that are shown of each log.
const SHOWN: usize = 5;

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![true; nothing_is_written_for_three_minutes_while_all_objects_are_converged]
}

async fn nothing_is_written_for_three_minutes_while_all_objects_are_converged(env: &Env) -> Result<()> {
    let present = env.tenants().list(&ListParams::default()).await?.items;
    let unready: Vec<_> = present
        .iter()
        .filter(|tenant| !is_ready(tenant))
        .map(ResourceExt::name_any)
        .collect();
    ensure!(
        unready.is_empty(),
        "not Ready, left by another test or by hand: {unready:?}"
    );
    let made: Vec<String> = (present.len()..TENANTS).map(|_| unique("still")).collect();
    try_join_all(made.iter().map(|name| env.create(name, json!({})))).await?;
    try_join_all(made.iter().map(|name| env.ready(name))).await?;
    let tenants = present.iter().map(ResourceExt::name_any).chain(made.iter().cloned());
    let mut names: Vec<String> = tenants.map(|name| format!("Tenant {name}")).collect();
    // One that is shut is at rest, too.
    let shut = unique("shut");
    env.create(&shut, json!({ "suspended": true })).await?;
    env.until(&shut, "suspended", |tenant| {
        condition_of(tenant, Type::Suspended).is_some_and(|said| said.status == "True")
    })
    .await?;
    names.push(format!("Tenant {shut}"));
    let id = unique("still");
    for (version, spec) in [
        (VERSION, json!({})),
        ("1.1.0", json!({ "deprecated": { "message": "use 1.0.0" } })),
    ] {
        let release = env.publish(&id, version, spec).await?;
        env.plugin_says(&release, Registered, "True", "Registered").await?;
        names.push(format!("Plugin {release}"));
    }
    names.extend(install(env, &made).await?);

    let seen = undisturbed_window(env).await?;
    seen.prove_that_all_were_looked_at(&names)?;
    seen.prove_that_nothing_was_written()?;
    try_join_all(made.iter().map(|name| env.delete(name))).await?;
    Ok(())
}

/// What was written down in a window in which nobody else touched an object of a tenant before the operator did.
async fn undisturbed_window(env: &Env) -> Result<Seen> {
    for left in (0..WINDOWS).rev() {
        rest::wait_until_quiet(env, PATIENCE).await?;
        let logs = Logs::begin(env).await?;
        sleep(WINDOW).await;
        let seen = logs.end().await?;
        let disturbed = changes_by_others(&seen.audit)?;
        if disturbed.is_empty() {
            return Ok(seen);
        }
        let first: Vec<_> = disturbed.iter().take(SHOWN).map(String::as_str).collect();
        let told = format!("{} times, such as {}", disturbed.len(), first.join("; "));
        ensure!(left > 0, "no window of {WINDOWS} was undisturbed; the last one {told}");
        ui::print(&format!("        the window was disturbed {told}: another one"));
    }
    bail!("there was no window")
}

/// Installs plugins: one, with a development slot that runs; one that needs it, with a development slot that sleeps; and one
/// that is switched off.
async fn install(env: &Env, tenants: &[String]) -> Result<Vec<String>> {
    let [first, second, ..] = tenants else {
        bail!("no two tenants were made: too many are there already");
    };
    let mut names = vec![];
    for (tenant, id, enabled, red) in [
        (first, "contacts", true, Some(("1h", "Awake"))),
        (first, "crm", true, Some(("1s", "Asleep"))),
        (second, "contacts", false, None),
    ] {
        let plugins = TenantPlugins::of(env, tenant)?;
        let red_spec = red.map(|(idle_after, _)| json!({ "enabled": true, "idleAfter": idle_after }));
        plugins
            .install(id, json!({ "enabled": enabled, "red": red_spec }))
            .await?;
        let (status, reason) = if enabled {
            ("True", "Installed")
        } else {
            ("False", "Disabled")
        };
        plugins.says(id, Installed::Ready, status, reason).await?;
        if let Some((_, reason)) = red {
            let status = if reason == "Awake" { "True" } else { "False" };
            plugins.says(id, Installed::RedAvailable, status, reason).await?;
        }
        names.push(format!("PluginInstallation {tenant}/{id}"));
    }
    Ok(names)
}

/// What all parts are writing down.
struct Logs {
    operator: Mark,
    audit: Mark,
    postgres: Mark,
    keycloak: Mark,
    minio: minio::Trace,
}

impl Logs {
    async fn begin(env: &Env) -> Result<Self> {
        let operator = env.stack.operator_log().context("the operator has no log")?;
        Ok(Self {
            minio: minio::Minio::root(&env.stack)?.trace().await?,
            operator: Mark::at_end(&operator)?,
            audit: Mark::at_end(&env.stack.audit_log())?,
            postgres: Mark::at_end(&env.stack.log(Part::Postgres))?,
            keycloak: Mark::at_end(&env.stack.log(Part::Keycloak))?,
        })
    }

    async fn end(self) -> Result<Seen> {
        Ok(Seen {
            operator: self.operator.lines_since()?,
            audit: self.audit.lines_since()?,
            postgres: self.postgres.lines_since()?,
            keycloak: self.keycloak.lines_since()?,
            minio: self.minio.end().await?,
        })
    }
}

/// What they wrote down in the window.
struct Seen {
    operator: Vec<String>,
    audit: Vec<String>,
    postgres: Vec<String>,
    keycloak: Vec<String>,
    minio: Vec<minio::Request>,
}

impl Seen {
    /// Without this the rest would prove nothing.
    fn prove_that_all_were_looked_at(&self, names: &[String]) -> Result<()> {
        let passes = passes(&self.operator);
        let missed: Vec<_> = names.iter().filter(|name| !passes.contains_key(*name)).collect();
        ensure!(
            missed.is_empty(),
            "not looked at again within {} s (resyncInterval of e2e/stack-values.yaml): {missed:?}",
            WINDOW.as_secs()
        );
        for (name, passes) in &passes {
            let results: Vec<_> = passes.iter().map(|pass| pass.result.as_str()).collect();
            ensure!(
                results.iter().all(|result| *result == "ok"),
                "passes of {name} ended with {results:?}"
            );
        }
        let realms = self.keycloak.iter().filter(|line| is_admin_request(line)).count();
        ensure!(
            realms >= names.len(),
            "only {realms} requests to Keycloak: realms were not looked at"
        );
        let buckets = self.minio.len();
        ensure!(
            buckets >= names.len(),
            "only {buckets} requests to MinIO: buckets were not looked at"
        );
        Ok(())
    }

    fn prove_that_nothing_was_written(&self) -> Result<()> {
        let statements = self.postgres.iter().filter(|line| is_logged_statement(line)).cloned();
        let realms = self.keycloak.iter().filter(|line| is_admin_write(line)).cloned();
        let objects = self.minio.iter().filter(|request| !is_read(&request.method));
        let objects = objects.map(|request| format!("{request:?}"));
        let found = [
            ("mutating requests to Kubernetes", rest::writes(&self.audit)?),
            ("writing statements in PostgreSQL", statements.collect()),
            ("writing admin requests to Keycloak", realms.collect()),
            ("writing requests to MinIO", objects.collect()),
        ];
        let told: Vec<_> = found
            .iter()
            .filter(|(_, found)| !found.is_empty())
            .map(|(what, found)| {
                let first: Vec<_> = found.iter().take(SHOWN).map(String::as_str).collect();
                format!("{} {what}:\n        {}", found.len(), first.join("\n        "))
            })
            .collect();
        ensure!(told.is_empty(), "{}", told.join("\n        "));
        Ok(())
    }
}

/// Mutating requests of others in namespaces of tenants before the operator wrote anything: a pod became unready, say. What
/// comes after may be by its doing, and excuses nothing.
fn changes_by_others(audit: &[String]) -> Result<Vec<String>> {
    let own = audit::parsed(audit, audit::OPERATOR)?
        .into_iter()
        .filter(audit::is_own_write);
    let first = own.map(|request| request.request_received_timestamp).min();
    let others = audit::parsed(audit, "\"namespace\":\"tenant-")?
        .into_iter()
        .filter(|request| {
            let object = request.object_ref.as_ref();
            let is_tenants = object.is_some_and(|object| object.namespace.starts_with("tenant-"));
            let is_before = first.is_none_or(|first| request.request_received_timestamp < first);
            is_tenants && is_before && request.is_mutating() && request.user.username != audit::OPERATOR
        });
    Ok(others
        .map(|request| format!("{} {} by {}", request.verb, request.uri, request.user.username))
        .collect())
}

/// `log_statement = mod` logs what writes, and nothing else; Keycloak's database logs none (e2e/src/parts/postgres.rs).
fn is_logged_statement(line: &str) -> bool {
    line.contains("LOG:  statement: ") || line.contains("LOG:  execute ")
}

fn is_admin_request(line: &str) -> bool {
    line.contains("[org.keycloak.http.access-log]") && line.contains(" /admin/")
}

fn is_admin_write(line: &str) -> bool {
    // … "GET /admin/realms/tenant-acme HTTP/1.1" 200 4575
    let method = line.split('"').nth(1).and_then(|request| request.split(' ').next());
    is_admin_request(line) && !method.is_some_and(is_read)
}

fn is_read(method: &str) -> bool {
    method == "GET" || method == "HEAD"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_logs_are_told_apart() {
        let keycloak = |request: &str| {
            format!(
                "2026-11-21 10:38:41,820 INFO  [org.keycloak.http.access-log] (executor-thread-12) 198.18.0.5 - - [21/Nov/2026:10:38:41 +0000] \"{request} HTTP/1.1\" 201 -"
            )
        };
        assert!(is_admin_write(&keycloak("POST /admin/realms")));
        assert!(!is_admin_write(&keycloak("GET /admin/realms/tenant-a")));
        assert!(!is_admin_write(&keycloak(
            "POST /realms/tenant-a/protocol/openid-connect/token"
        )));
        let write = "2026-11-21 10:40:18.010 UTC [30236] plexica_operator@plexica plexica-operator LOG:  statement: DROP ROLE x";
        assert!(is_logged_statement(write));
    }

    #[test]
    fn changes_by_others_count_where_tenants_are_and_until_the_operator_writes() {
        let event = |second: u8, user: &str, verb: &str, namespace: &str| {
            json!({ "verb": verb, "user": { "username": user }, "requestURI": format!("/{second}"),
                "objectRef": { "resource": "pods", "subresource": "status", "namespace": namespace },
                "requestReceivedTimestamp": format!("2026-11-21T10:41:0{second}Z") })
            .to_string()
        };
        let node = "system:node:node0";
        let log = [
            event(1, node, "patch", "tenant-a"),
            event(2, node, "get", "tenant-a"),
            event(3, node, "patch", "kube-system"),
            event(5, node, "patch", "tenant-a"),
            event(4, audit::OPERATOR, "patch", "tenant-a"),
        ];
        assert_eq!(changes_by_others(&log).unwrap(), ["patch /1 by system:node:node0"]);
    }
}
