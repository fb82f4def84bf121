//! Counts the operator's writes about one installation, and kills it at any one of them.
//!
//! It is an admission webhook of the API server, so it sees each write before it is done, by whatever code of the
//! operator it was sent, status and events included. Killed *before* a write, the operator dies and the write is refused.
//! Killed *after* it, the operator is stopped (SIGSTOP), the write is done, and it dies without having seen the answer.

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use axum::{Json, Router, extract::State, routing::post};
use axum_server::tls_rustls::RustlsConfig;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, PostParams},
    core::GroupVersionKind,
};
use nix::sys::signal::Signal;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{audit::OPERATOR, operator};
use crate::suite::env::{Env, eventually};

/// Longest wait for a write that was let through to be done.
const PATIENCE: Duration = Duration::from_secs(5);

/// On which side of a write the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Moment {
    /// The write is never done.
    Before,
    /// The write is done, and its answer never seen.
    After,
}

/// Where the operator is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kills {
    /// Nowhere: writes are counted.
    #[default]
    None,
    /// At one write from now, counted from 1, on one side of it.
    One(usize, Moment),
    /// At every write: before it, and when a successor comes to it, after it.
    Each,
}

/// The gate of one installation.
pub struct WriteGate {
    gate: Arc<Gate>,
}

struct Gate {
    env: Env,
    plan: Mutex<Plan>,
    met: watch::Sender<Option<Value>>,
}

/// What is to be killed, and what came by.
#[derive(Default)]
struct Plan {
    kills: Kills,
    /// At which write the operator was killed how often.
    killed: BTreeMap<String, usize>,
    /// On which side of the write that it was killed at last.
    moment: Option<Moment>,
    /// Writes so far.
    writes: Vec<String>,
}

impl Plan {
    /// Whether the operator dies at the write that came last, and on which side of it. One that is dying already does not
    /// die again: what comes by still is from before its end.
    fn due(&self) -> Option<Moment> {
        let write = self.writes.last()?;
        match self.kills {
            _ if self.moment.is_some() => None,
            Kills::None => None,
            Kills::One(at, moment) => (self.killed.is_empty() && at == self.writes.len()).then_some(moment),
            // A successor may find another write to be due first, so each write has its own turns.
            Kills::Each => {
                let times = self.killed.get(write).copied().unwrap_or_default();
                Some(if times.is_multiple_of(2) {
                    Moment::Before
                } else {
                    Moment::After
                })
            }
        }
    }
}

impl WriteGate {
    /// Sets it up before what is in this namespace, and before cluster-wide objects whose names begin so. It goes with the
    /// test.
    pub async fn before(env: &Env, namespace: &str, prefix: &str) -> Result<Self> {
        let host = env.stack.host();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed([host.to_string()])?;
        let tls = RustlsConfig::from_pem(cert.pem().into_bytes(), signing_key.serialize_pem().into_bytes()).await?;
        let listener = TcpListener::bind(SocketAddr::from((host, 0)))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let gate = Arc::new(Gate {
            env: env.clone(),
            plan: Mutex::default(),
            met: watch::Sender::new(None),
        });
        let router = Router::new().route("/", post(judge)).with_state(Arc::clone(&gate));
        // It ends with the test run's runtime.
        tokio::spawn(axum_server::from_tcp_rustls(listener, tls)?.serve(router.into_make_service()));

        let api: Api<ValidatingWebhookConfiguration> = Api::all(env.client.clone());
        let name = format!("write-gate-{prefix}");
        let (registrations, named) = (api.clone(), name.clone());
        env.afterwards(async move {
            registrations.delete(&named, &DeleteParams::default()).await?;
            // Should the test have ended while it was stopped.
            operator::signal(Signal::SIGCONT).map(drop)
        });
        let configuration = json!({
            "metadata": { "name": name },
            "webhooks": [{
                "name": "write-gate.e2e.plexica.io",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "timeoutSeconds": 10,
                // Should this test die, nobody waits for it.
                "failurePolicy": "Ignore",
                "clientConfig": { "url": format!("https://{address}/"), "caBundle": STANDARD.encode(cert.pem()) },
                "rules": [{
                    "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"],
                    "operations": ["CREATE", "UPDATE", "DELETE"],
                }],
                "matchConditions": [
                    { "name": "operator", "expression": format!("request.userInfo.username == '{OPERATOR}'") },
                    {
                        "name": "installation",
                        "expression": format!(
                            "request.namespace == '{namespace}' || request.name.startsWith('{prefix}')"
                        ),
                    },
                ],
            }],
        });
        api.create(&PostParams::default(), &serde_json::from_value(configuration)?)
            .await?;
        Ok(Self { gate })
    }

    /// From now on the operator is killed so, and writes are counted anew.
    pub fn arm(&self, kills: Kills) {
        *self.gate.plan() = Plan {
            kills,
            ..Plan::default()
        };
        self.gate.met.send_replace(None);
    }

    /// Lets all writes through again. An operator that is dying is replaced.
    pub async fn disarm(&self) -> Result<()> {
        let dying = std::mem::take(&mut *self.gate.plan()).moment;
        if dying.is_some() {
            operator::kill_and_replace(&self.gate.env).await?;
        }
        Ok(())
    }

    /// Whether a write came at which the operator dies, and it is not dead yet.
    pub fn is_dying(&self) -> bool {
        self.gate.plan().moment.is_some()
    }

    /// Writes since the gate was armed.
    pub fn writes(&self) -> Vec<String> {
        self.gate.plan().writes.clone()
    }

    /// Waits until a write came at which the operator dies, lets it die, and makes room for its successor. Does not return
    /// if no such write comes. Answers which one it was.
    pub async fn kill(&self) -> Result<String> {
        let mut met = self.gate.met.subscribe();
        let request = met.wait_for(Option::is_some).await?.clone().context("no write")?;
        let moment = self.gate.plan().moment.context("nobody dies")?;
        if moment == Moment::After {
            self.gate.until_done(&request).await?;
        }
        operator::kill_and_replace(&self.gate.env).await?;
        self.gate.met.send_replace(None);
        let mut plan = self.gate.plan();
        let write = describe(&request);
        plan.moment = None;
        *plan.killed.entry(write.clone()).or_default() += 1;
        Ok(format!("{moment} {write}"))
    }
}

impl Gate {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the write is let through. One to die after is, once the operator has stopped: else it might see the answer.
    async fn lets_through(&self, request: &Value) -> Result<bool> {
        let moment = {
            let mut plan = self.plan();
            plan.writes.push(describe(request));
            let Some(moment) = plan.due() else {
                // Of one that is killed nothing is done any more.
                return Ok(plan.moment != Some(Moment::Before));
            };
            plan.moment = Some(moment);
            moment
        };
        match moment {
            Moment::Before => drop(operator::signal(Signal::SIGKILL)?),
            Moment::After => operator::stop().await?,
        }
        self.met.send_replace(Some(request.clone()));
        Ok(moment == Moment::After)
    }

    /// Waits until the write that was let through is done.
    async fn until_done(&self, request: &Value) -> Result<()> {
        let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
        let kind = &request["kind"];
        let kind = GroupVersionKind::gvk(&text(kind, "group"), &text(kind, "version"), &text(kind, "kind"));
        let resource = ApiResource::from_gvk_with_plural(&kind, &text(&request["resource"], "resource"));
        let client = self.env.client.clone();
        let api: Api<DynamicObject> = match request["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        let name = text(request, "name");
        let before = request["oldObject"]["metadata"]["resourceVersion"].as_str();
        let is_delete = request["operation"] == "DELETE";
        let what = describe(request);
        eventually(&what, PATIENCE, async || {
            let found = api.get_opt(&name).await?;
            let is_done = match &found {
                None => is_delete,
                Some(found) => found.metadata.resource_version.as_deref() != before,
            };
            ensure!(is_done, "it is not done yet");
            Ok(())
        })
        .await
    }
}

/// `UPDATE plugininstallations/status crm`
fn describe(request: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut resource = text(&request["resource"]["resource"]);
    if let Some(subresource) = request["subResource"].as_str() {
        resource = format!("{resource}/{subresource}");
    }
    format!("{} {resource} {}", text(&request["operation"]), text(&request["name"]))
}

async fn judge(State(gate): State<Arc<Gate>>, Json(review): Json<Value>) -> Json<Value> {
    let request = &review["request"];
    let judged = gate
        .lets_through(request)
        .await
        .map_err(|error| anyhow!("the operator cannot be killed: {error:#}"));
    let message = match &judged {
        Ok(_) => "whoever wrote this is dead".to_owned(),
        Err(error) => error.to_string(),
    };
    Json(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": request["uid"],
            "allowed": judged.unwrap_or_default(),
            "status": { "message": message },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_dies_before_and_after_every_write_whatever_comes_in_between() {
        let mut plan = Plan {
            kills: Kills::Each,
            ..Plan::default()
        };
        let mut dies_at = |write: &str| {
            plan.writes.push(write.to_owned());
            let due = plan.due();
            plan.moment = due;
            assert_eq!(plan.due(), None, "it dies once");
            plan.moment = None;
            *plan.killed.entry(write.to_owned()).or_default() += 1;
            due
        };
        assert_eq!(dies_at("yellow"), Some(Moment::Before));
        assert_eq!(dies_at("green"), Some(Moment::Before));
        assert_eq!(dies_at("green"), Some(Moment::After));
        assert_eq!(dies_at("yellow"), Some(Moment::After));
        assert_eq!(dies_at("yellow"), Some(Moment::Before));
    }

    #[test]
    fn a_write_is_named_by_what_it_is_done_to() {
        let request = json!({
            "operation": "UPDATE", "name": "crm", "subResource": "status",
            "resource": { "group": "plexica.io", "version": "v1alpha1", "resource": "plugininstallations" },
        });
        assert_eq!(describe(&request), "UPDATE plugininstallations/status crm");
    }
}
