//! In what two releases differ: what is live keeps all that it was given, from the moment when the next release is
//! published until the window closes in which one may go back.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PodSpec, Secret},
    networking::v1::NetworkPolicy,
};
use plexica_crds::{
    names::Slot,
    plugin_installation::{PluginInstallationStatus, Step, conditions::Type},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use super::{PROMPT, cells::Cells};
use crate::{
    load::{Load, Mix},
    suite::{
        clients::{
            database,
            gateway::{Entrance, answer},
        },
        env::{Env, eventually, unique},
        promotions::Installed,
    },
};

/// In what 2.0.0 differs from 1.0.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// `api.basePath`.
    BasePath,
    /// `database.tenantTables`: users, then teams.
    TenantTables,
    /// `permissions`: export goes, import comes.
    Permissions,
    /// `dependencies`: a provider is not needed any more.
    Dependencies,
    /// `runtime.resources`.
    Resources,
}

/// When one looks. 1.0.0 is in slot A all along, and 2.0.0 comes to B.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "title_case")]
enum Stage {
    /// 1.0.0 is all there is.
    Alone,
    /// 2.0.0 waits for a person.
    NextWaits,
    /// 2.0.0 was given up.
    NextGivenUp,
    /// 2.0.0 is live, and 1.0.0 stands by.
    StandingBy,
    /// 1.0.0 is live again, by a rollback.
    GoneBack,
    /// 2.0.0 is live, and there is no way back.
    WindowClosed,
}

/// How long what must not change is looked at after the pass that could have changed it.
const STAYS: Duration = Duration::from_secs(3);

/// Walks two releases through all stages, and looks at each.
pub async fn leave_what_is_live_alone(env: &Env, difference: Difference) -> Result<()> {
    let promotion = json!({ "auto": false, "promotionDelay": "1s", "connectionDrain": "1s" });
    let mut installed = Installed::new(env, promotion.clone(), 1).await?;
    // The helper's own plugin is what others may need.
    let provider = std::mem::replace(&mut installed.id, unique("tl"));
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let [first, second] = difference.releases(id, &provider);
    installed.publish_with("1.0.0", first).await?;
    plugins
        .install(id, json!({ "promotion": promotion, "replicas": 1 }))
        .await?;
    plugins.ready(id).await?;
    let walk = Walk {
        pods: pods(&installed, Slot::A).await?,
        entrance: Entrance::of(&plugins.slug)?,
        installed: &installed,
        provider,
        difference,
    };
    if difference == Difference::Permissions {
        walk.grants_export_to_users().await?;
    }
    let mut cells = Cells::default();
    walk.look(&mut cells, Stage::Alone).await;
    let users = (difference == Difference::BasePath).then(|| {
        Load::start(
            &walk.entrance.target(id),
            &Mix {
                new_connections: 1,
                kept: 1,
                http2: 0,
                websocket: 0,
                slow: 0,
                ..Mix::default()
            },
        )
    });

    installed.publish_with("2.0.0", second).await?;
    walk.next_waits().await?;
    walk.look(&mut cells, Stage::NextWaits).await;

    installed.request("rollback").await?;
    walk.is_alone_in(Slot::A).await?;
    walk.look(&mut cells, Stage::NextGivenUp).await;

    walk.next_goes_live().await?;
    walk.look(&mut cells, Stage::StandingBy).await;

    installed.request("rollback").await?;
    installed.back_in("1.0.0").await?;
    walk.is_alone_in(Slot::A).await?;
    walk.look(&mut cells, Stage::GoneBack).await;
    if let Some(users) = users {
        let report = users.stop().await;
        let none_lost = async {
            ensure!(
                report.failed() == 0,
                "{} of {} were lost",
                report.failed(),
                report.requests()
            );
            Ok(())
        };
        cells.tell(&"requests to the old path all along", none_lost.await);
    }

    let soon = json!({ "spec": { "promotion": { "rollbackWindow": "2s" } } });
    plugins.patch(id, soon).await?;
    walk.next_goes_live().await?;
    walk.is_alone_in(Slot::B).await?;
    walk.look(&mut cells, Stage::WindowClosed).await;
    cells.end()
}

impl Difference {
    /// What 1.0.0 declares, and what 2.0.0 declares.
    fn releases(self, id: &str, provider: &str) -> [Value; 2] {
        let permission = |name: &str| json!({ "key": format!("{id}:notes:{name}"), "name": name, "roles": ["admin"] });
        let reads =
            |table: &str| json!({ "database": { "tenantTables": [{ "table": table, "privileges": ["Select"] }] } });
        match self {
            Self::BasePath => [
                json!({}),
                json!({ "api": { "basePath": format!("/api/plugins/{id}/v2") } }),
            ],
            Self::TenantTables => [reads("users"), reads("teams")],
            Self::Permissions => [
                json!({ "permissions": [permission("read"), permission("export")] }),
                json!({ "permissions": [permission("read"), permission("import")] }),
            ],
            Self::Dependencies => [
                json!({ "dependencies": [{ "plugin": provider, "version": "^1" }] }),
                json!({}),
            ],
            Self::Resources => [
                json!({}),
                json!({ "runtime": { "resources": { "requests": { "memory": "24Mi" } } } }),
            ],
        }
    }
}

/// Two releases on their way.
struct Walk<'a> {
    installed: &'a Installed<'a>,
    difference: Difference,
    entrance: Entrance,
    provider: String,
    /// The pods of 1.0.0 as they were when it was alone.
    pods: PodSpec,
}

impl Walk<'_> {
    async fn next_waits(&self) -> Result<()> {
        let (plugins, id) = (&self.installed.plugins, self.installed.id.as_str());
        plugins
            .says(id, Type::Promoted, "False", "AwaitingPromotion")
            .await
            .map(drop)
    }

    /// After it was rejected.
    async fn next_goes_live(&self) -> Result<()> {
        self.installed.request("retry").await?;
        self.next_waits().await?;
        self.installed.request("promote").await?;
        self.installed.live("2.0.0").await?;
        let proven = |step| step >= Step::StandingBy;
        let stands =
            |status: &PluginInstallationStatus| status.transition.as_ref().is_none_or(|moving| proven(moving.step));
        self.installed.until("a standby", stands).await
    }

    async fn is_alone_in(&self, slot: Slot) -> Result<()> {
        let alone = |status: &PluginInstallationStatus| {
            status.live_slot == Some(slot) && status.slots.get(slot.other()).is_none() && status.transition.is_none()
        };
        self.installed
            .until(&format!("slot {} alone", slot.as_ref()), alone)
            .await
    }

    /// Looks at one stage: what nobody has moved has to be as it was at once; what was moved is awaited.
    async fn look(&self, cells: &mut Cells, stage: Stage) {
        let ended = async {
            if !matches!(stage, Stage::NextWaits | Stage::NextGivenUp) {
                eventually("it follows", PROMPT, || self.is_right(stage)).await?;
            }
            let until = Instant::now() + STAYS;
            while Instant::now() < until {
                self.is_right(stage).await?;
                sleep(Duration::from_millis(200)).await;
            }
            Ok(())
        };
        cells.tell(&stage, ended.await);
    }

    async fn is_right(&self, stage: Stage) -> Result<()> {
        self.pods_are_unchanged(stage).await?;
        match self.difference {
            Difference::BasePath => self.base_path(stage).await,
            Difference::TenantTables => self.tenant_tables(stage).await,
            Difference::Permissions => self.permissions(stage).await,
            Difference::Dependencies => self.dependencies(stage).await,
            Difference::Resources => self.resources(stage).await,
        }
    }

    /// While 1.0.0 is there, its pods are what they were.
    async fn pods_are_unchanged(&self, stage: Stage) -> Result<()> {
        if stage == Stage::WindowClosed {
            return Ok(());
        }
        let now = pods(self.installed, Slot::A).await?;
        ensure!(now == self.pods, "the pods of 1.0.0 are others: {}", json!(now));
        Ok(())
    }

    /// What users are answered at a path below the default one.
    async fn answers(&self, path: &str, version: Option<&str>) -> Result<()> {
        let status = version.map_or(StatusCode::NOT_FOUND, |_| StatusCode::OK);
        let asked = self.entrance.request(Method::GET, &self.installed.id, path);
        let answer = answer(asked, status).await?;
        ensure!(
            version.is_none_or(|version| answer["version"] == version),
            "{path} answers {answer}, not {version:?}"
        );
        Ok(())
    }

    async fn base_path(&self, stage: Stage) -> Result<()> {
        let id = self.installed.id.as_str();
        let (old, new) = (self.entrance.url(id), format!("{}/v2", self.entrance.url(id)));
        let (at_old, at_new, url) = match stage {
            Stage::Alone | Stage::NextWaits | Stage::NextGivenUp | Stage::GoneBack => (Some("1.0.0"), None, old),
            Stage::StandingBy => (Some("2.0.0"), Some("2.0.0"), new),
            Stage::WindowClosed => (None, Some("2.0.0"), new),
        };
        self.answers("/version", at_old).await?;
        self.answers("/v2/version", at_new).await?;
        let told = self.installed.status().await?.url;
        ensure!(told.as_ref() == Some(&url), "status.url is {told:?}, not {url}");
        Ok(())
    }

    async fn may_read(&self, slot: Slot, table: &str) -> Result<()> {
        let role = login(self.installed, slot).await?;
        let schema = self.installed.plugins.slug.schema();
        let may = format!("SELECT has_table_privilege('{role}', '{schema}.{table}', 'SELECT')");
        let may: bool = database::value(&self.installed.env.postgres, &may).await?;
        ensure!(may, "{role} of slot {} may not read {table}", slot.as_ref());
        Ok(())
    }

    async fn tenant_tables(&self, stage: Stage) -> Result<()> {
        if stage != Stage::WindowClosed {
            self.may_read(Slot::A, "users").await?;
        }
        if matches!(stage, Stage::NextWaits | Stage::StandingBy | Stage::WindowClosed) {
            self.may_read(Slot::B, "teams").await?;
        }
        if stage == Stage::WindowClosed {
            let (plugins, id) = (&self.installed.plugins, self.installed.id.as_str());
            let left = format!(
                "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, '{}_') \
                 AND has_table_privilege(oid, '{}.users', 'SELECT')",
                plugins.schema(id)?,
                plugins.slug.schema()
            );
            let left = database::texts(&self.installed.env.postgres, &left).await?;
            ensure!(left.is_empty(), "{left:?} may still read users");
        }
        Ok(())
    }

    fn permission(&self, name: &str) -> String {
        format!("{}:notes:{name}", self.installed.id)
    }

    /// What an administrator of the tenant may do, and no release declares.
    async fn grants_export_to_users(&self) -> Result<()> {
        let schema = self.installed.plugins.slug.schema();
        let grant = format!(
            "INSERT INTO {schema}.role_permissions (role_id, permission_id) SELECT r.id, p.id \
             FROM {schema}.roles AS r, {schema}.permissions AS p WHERE r.name = 'user' AND p.key = '{}'",
            self.permission("export")
        );
        database::run(&self.installed.env.postgres, &grant).await
    }

    async fn permissions(&self, stage: Stage) -> Result<()> {
        let schema = self.installed.plugins.slug.schema();
        let (postgres, id) = (&self.installed.env.postgres, self.installed.id.as_str());
        let keys = format!("SELECT key FROM {schema}.permissions WHERE plugin_id = '{id}' ORDER BY key");
        let keys = database::texts(postgres, &keys).await?;
        let is_there = |name: &str| keys.contains(&self.permission(name));
        ensure!(is_there("read"), "read is not there: {keys:?}");
        if stage == Stage::WindowClosed {
            ensure!(!is_there("export"), "export is left: {keys:?}");
        } else {
            ensure!(is_there("export"), "export is not there: {keys:?}");
            let granted = format!(
                "SELECT FROM {schema}.role_permissions AS g JOIN {schema}.roles AS r ON r.id = g.role_id \
                 JOIN {schema}.permissions AS p ON p.id = g.permission_id WHERE r.name = 'user' AND p.key = '{}'",
                self.permission("export")
            );
            ensure!(database::any(postgres, &granted).await?, "role user has lost export");
        }
        if matches!(stage, Stage::NextWaits | Stage::StandingBy | Stage::WindowClosed) {
            ensure!(is_there("import"), "import is not there: {keys:?}");
        }
        Ok(())
    }

    async fn dependencies(&self, stage: Stage) -> Result<()> {
        let policies = self.installed.plugins.objects::<NetworkPolicy>();
        let policy = policies.get(&format!("{}-plugin", self.installed.id)).await?;
        let egress = policy.spec.and_then(|spec| spec.egress).unwrap_or_default();
        let mut peers = egress.into_iter().flat_map(|rule| rule.to.unwrap_or_default());
        let provider = BTreeMap::from([("plexica.io/plugin".to_owned(), self.provider.clone())]);
        let is_open = peers.any(|peer| {
            let selected = peer.pod_selector.and_then(|selector| selector.match_labels);
            peer.namespace_selector.is_none() && selected.as_ref() == Some(&provider)
        });
        ensure!(
            is_open == (stage != Stage::WindowClosed),
            "the way to its provider is {}",
            if is_open { "open" } else { "closed" }
        );
        Ok(())
    }

    async fn resources(&self, stage: Stage) -> Result<()> {
        if matches!(stage, Stage::NextWaits | Stage::StandingBy | Stage::WindowClosed) {
            let next = json!(pods(self.installed, Slot::B).await?.containers[0].resources);
            ensure!(next["requests"]["memory"] == "24Mi", "2.0.0 has {next}");
        }
        Ok(())
    }
}

/// What the pods of a slot are made of.
pub async fn pods(installed: &Installed<'_>, slot: Slot) -> Result<PodSpec> {
    let name = format!("{}-{}", installed.id, slot.as_ref());
    let deployment = installed.plugins.objects::<Deployment>().get(&name).await?;
    let spec = deployment.spec.and_then(|spec| spec.template.spec);
    spec.context("a Deployment without pods")
}

/// The role that the pods of a slot log in with, by the address that they are given.
pub async fn login(installed: &Installed<'_>, slot: Slot) -> Result<String> {
    let pods = pods(installed, slot).await?;
    let mut variables = pods.containers.into_iter().flat_map(|all| all.env.unwrap_or_default());
    let address = variables.find(|variable| variable.name == "DATABASE_URL");
    let source = address.and_then(|variable| variable.value_from?.secret_key_ref);
    let source = source.context("DATABASE_URL is of no Secret")?;
    let secret = installed.plugins.objects::<Secret>().get(&source.name).await?;
    let address = secret.data.unwrap_or_default().remove(&source.key);
    let address = String::from_utf8(address.context("the Secret has no address")?.0)?;
    Ok(url::Url::parse(&address)?.username().to_owned())
}
