//! Keeps the Secret, the configuration and the server in step, by looking again and again.
//!
//! The configuration is read before the Secret: so what is published is never older than what another replica has
//! published in between.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Secret},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use plexica_operator::runtime::{
    client::{ApiError, within},
    server::{Gate, Readiness},
};
use rustls::ServerConfig;
use serde_json::json;
use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use super::{
    pair::{Pair, PairError},
    rotation::{Lifetimes, Step, View, next},
    state::State,
};

/// Field manager of what is written to the configuration.
const FIELD_MANAGER: &str = "plexica-webhooks";
/// Steps of one look: make, publish, and once more for another replica's write in between.
const STEPS: usize = 4;

/// Where the certificate belongs.
#[derive(Clone, Debug)]
pub struct Place {
    /// Namespace of Service and Secret.
    pub namespace: String,
    /// The Service.
    pub service: String,
    /// The Secret.
    pub secret: String,
    /// The ValidatingWebhookConfiguration.
    pub configuration: String,
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("cannot read the ValidatingWebhookConfiguration: {0}")]
    ReadConfiguration(#[source] ApiError),
    #[error("cannot write the ValidatingWebhookConfiguration: {0}")]
    WriteConfiguration(#[source] ApiError),
    #[error("cannot read the Secret: {0}")]
    ReadSecret(#[source] ApiError),
    #[error("cannot write the Secret: {0}")]
    WriteSecret(#[source] ApiError),
    #[error(transparent)]
    Pair(#[from] PairError),
    #[error("others write at the same time")]
    Busy,
}

/// Keeps a certificate.
pub struct Keeper {
    secrets: Api<Secret>,
    configurations: Api<ValidatingWebhookConfiguration>,
    place: Place,
    /// The name by which the API server calls the Service.
    name: String,
    lifetimes: Lifetimes,
    readiness: Readiness,
}

/// What one look at the cluster finds.
struct Found {
    secret: Secret,
    state: Option<State>,
    configuration: ValidatingWebhookConfiguration,
}

impl Found {
    /// Whether every webhook of the configuration trusts exactly the state's authorities.
    fn is_published(&self) -> bool {
        let Some(bundle) = self.state.as_ref().map(|state| ByteString(state.bundle().into_bytes())) else {
            return false;
        };
        let mut webhooks = self.configuration.webhooks.iter().flatten();
        webhooks.all(|webhook| webhook.client_config.ca_bundle.as_ref() == Some(&bundle))
    }
}

impl Keeper {
    /// One that has not looked yet.
    pub fn new(client: Client, place: Place, lifetimes: Lifetimes, readiness: Readiness) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), &place.namespace),
            configurations: Api::all(client),
            name: format!("{}.{}.svc", place.service, place.namespace),
            place,
            lifetimes,
            readiness,
        }
    }

    /// Looks again and again; what is to be served is sent.
    pub async fn run(self, served: watch::Sender<Option<Arc<ServerConfig>>>) {
        let mut serving = None;
        let mut complained = None;
        let mut pause = self.lifetimes.look_every();
        loop {
            match self.look().await {
                Ok((view, pair)) => {
                    complained = None;
                    pause = self.lifetimes.of(view).look_every();
                    if serving.as_ref() != Some(&pair.certificate) {
                        self.serve(&pair, &served);
                        serving = Some(pair.certificate);
                    }
                    self.readiness.open(Gate::Trust);
                }
                Err(KeepError::Busy) => {}
                Err(error) => {
                    // What cannot be helped here is said once, not at every look.
                    let told = error.to_string();
                    if complained.as_ref() != Some(&told) {
                        warn!(%error, "the certificate cannot be kept; tried again");
                    }
                    complained = Some(told);
                }
            }
            sleep(pause).await;
        }
    }

    fn serve(&self, pair: &Pair, served: &watch::Sender<Option<Arc<ServerConfig>>>) {
        match pair.tls() {
            Ok(config) => {
                info!(issued = %pair.issued, expires = %pair.expires, "this certificate is served");
                served.send_replace(Some(config));
                self.readiness.open(Gate::Certificate);
            }
            Err(error) => warn!(%error, "the certificate cannot be served"),
        }
    }

    /// Does what is to be done; answers what is to be served, and what is known of it.
    async fn look(&self) -> Result<(View, Pair), KeepError> {
        for _ in 0..STEPS {
            let found = self.find().await?;
            let now = Timestamp::now();
            let view = found.state.as_ref().map(State::view);
            let step = next(view, found.is_published(), now, self.lifetimes);
            let Some(state) = found.state.clone() else {
                self.write(found.secret, &State::new(self.make(now)?), step).await?;
                continue;
            };
            match step {
                Step::Wait => return Ok((state.view(), state.current().clone())),
                Step::Make => self.write(found.secret, &State::new(self.make(now)?), step).await?,
                Step::Announce => {
                    let next = self.make(now)?;
                    self.write(found.secret, &state.announced(next, now), step).await?;
                }
                Step::Switch => self.write(found.secret, &state.switched(now), step).await?,
                Step::Retire => self.write(found.secret, &state.retired(), step).await?,
                Step::Publish => {
                    // First, so that a crash in between cannot cut the overlap short.
                    let state = state.begun_anew(now);
                    self.write(found.secret, &state, step).await?;
                    self.publish(&found.configuration, &state).await?;
                }
            }
        }
        Err(KeepError::Busy)
    }

    fn make(&self, now: Timestamp) -> Result<Pair, PairError> {
        Pair::make(&self.name, now, self.lifetimes.validity())
    }

    async fn find(&self) -> Result<Found, KeepError> {
        let configuration = within(self.configurations.get(&self.place.configuration))
            .await
            .map_err(KeepError::ReadConfiguration)?;
        let secret = within(self.secrets.get(&self.place.secret))
            .await
            .map_err(KeepError::ReadSecret)?;
        let state = State::read(&secret, &self.name);
        Ok(Found {
            secret,
            state,
            configuration,
        })
    }

    /// Replaces the Secret as it was read; somebody else's write in between ends the look.
    async fn write(&self, read: Secret, state: &State, step: Step) -> Result<(), KeepError> {
        let mut secret = read.clone();
        secret.metadata.managed_fields = None;
        state.write(&mut secret);
        if secret.data == read.data && secret.metadata.annotations == read.metadata.annotations {
            return Ok(());
        }
        let written = within(
            self.secrets
                .replace(&self.place.secret, &PostParams::default(), &secret),
        )
        .await;
        if written.as_ref().is_err_and(is_conflict) {
            return Err(KeepError::Busy);
        }
        written.map_err(KeepError::WriteSecret)?;
        info!(?step, stage = ?state.view().stage, "the certificates' Secret is written");
        Ok(())
    }

    async fn publish(&self, read: &ValidatingWebhookConfiguration, state: &State) -> Result<(), KeepError> {
        let bundle = ByteString(state.bundle().into_bytes());
        let trusting = |name: &str| json!({ "name": name, "clientConfig": { "caBundle": bundle } });
        let webhooks = read.webhooks.iter().flatten();
        let patch = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "resourceVersion": read.metadata.resource_version },
            "webhooks": webhooks.map(|webhook| trusting(&webhook.name)).collect::<Vec<_>>(),
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let patched = within(
            self.configurations
                .patch(&self.place.configuration, &params, &Patch::Apply(patch)),
        )
        .await;
        if patched.as_ref().is_err_and(is_conflict) {
            return Err(KeepError::Busy);
        }
        patched.map_err(KeepError::WriteConfiguration)?;
        info!("the API servers are told whom to trust");
        Ok(())
    }
}

fn is_conflict(error: &ApiError) -> bool {
    error.status().is_some_and(kube::core::Status::is_conflict)
}
