//! A running stack as tests and benchmarks see it: addresses, credentials, logs, and parts that can be stopped.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use secrecy::SecretString;
use strum::IntoEnumIterator;

use crate::credentials::{Credentials, KEYCLOAK_ADMIN, OPERATOR, OPERATOR_ROLE, S3_ROOT};
use crate::failure::Failure;
use crate::host::{network, process};
use crate::layout::Layout;
use crate::parts::{self, Context, Part, keycloak, minio, postgres};
use crate::platform;
use crate::tools::Tools;
use crate::ui::Ui;
use crate::webhook;

/// The running stack.
#[derive(Clone)]
pub struct Stack {
    context: Context,
}

/// A user name, access key or client id, with its password or secret.
#[derive(Clone)]
pub struct Account {
    /// User name, access key or client id.
    pub name: &'static str,
    /// Password or secret.
    pub secret: SecretString,
}

impl Stack {
    /// The stack of this machine.
    ///
    /// # Errors
    /// When it is not up, or a part of it is dead.
    pub fn running() -> Result<Self> {
        use_ring();
        let layout = Layout::locate()?;
        let dead: Vec<_> = Part::iter()
            .filter(|part| process::pid(&layout, *part).is_none())
            .collect();
        if !dead.is_empty() {
            let names: Vec<_> = dead.iter().map(AsRef::as_ref).collect();
            return Err(Failure::new(format!("not running: {}", names.join(", ")), "run `cargo dev up`").into());
        }
        let credentials = Credentials::of(&layout)?;
        let tools = Arc::new(Tools::new(layout.clone(), Ui::quiet()));
        Ok(Self {
            context: Context {
                layout,
                ui: Ui::quiet(),
                tools,
                credentials,
            },
        })
    }

    /// Where the stack keeps its files.
    pub fn layout(&self) -> &Layout {
        &self.context.layout
    }

    /// Address of the node and of every backend, from the host and from pods.
    pub fn node(&self) -> Ipv4Addr {
        network::NODE
    }

    /// The host's address as pods see it: where the Service `proxy` of the backends' namespace leads.
    pub fn host(&self) -> Ipv4Addr {
        network::HOST
    }

    /// A client with the administrator's kubeconfig.
    pub async fn kube(&self) -> Result<kube::Client> {
        kube_client(&self.context.layout).await
    }

    /// Configuration for clients of one's own (another user agent, other timeouts).
    pub async fn kube_config(&self) -> Result<kube::Config> {
        kube_config(&self.context.layout).await
    }

    /// URL by which PostgreSQL's superuser reaches a database (`plexica`, `plexica_small`, `keycloak`).
    pub fn postgres_superuser_url(&self, database: &str) -> String {
        postgres::superuser_url(&self.context.credentials, database)
    }

    /// URL by which the operator's role reaches a database.
    pub fn postgres_operator_url(&self, database: &str) -> String {
        postgres::operator_url(&self.context.credentials, database)
    }

    /// The operator's role in PostgreSQL.
    pub fn postgres_operator(&self) -> Account {
        Account {
            name: OPERATOR_ROLE,
            secret: self.context.credentials.postgres_operator.clone(),
        }
    }

    /// Where Keycloak is reached from the host.
    pub fn keycloak_url(&self) -> String {
        keycloak::url()
    }

    /// Keycloak's administrator, a user of realm `master` (client `admin-cli`).
    pub fn keycloak_admin(&self) -> Account {
        Account {
            name: KEYCLOAK_ADMIN,
            secret: self.context.credentials.keycloak_admin.clone(),
        }
    }

    /// The operator's client of realm `master`.
    pub fn keycloak_operator(&self) -> Account {
        Account {
            name: OPERATOR,
            secret: self.context.credentials.keycloak_operator.clone(),
        }
    }

    /// Where MinIO is reached from the host.
    pub fn s3_url(&self) -> String {
        minio::url()
    }

    /// MinIO's root user.
    pub fn s3_root(&self) -> Account {
        Account {
            name: S3_ROOT,
            secret: self.context.credentials.s3_root.clone(),
        }
    }

    /// The operator's user in MinIO.
    pub fn s3_operator(&self) -> Account {
        Account {
            name: OPERATOR,
            secret: self.context.credentials.s3_operator.clone(),
        }
    }

    /// Audit log of the API server: JSON lines, level Metadata, every request once it is answered.
    pub fn audit_log(&self) -> PathBuf {
        self.context.layout.audit_log()
    }

    /// Log of a part.
    pub fn log(&self, part: Part) -> PathBuf {
        self.context.layout.log(part.as_ref())
    }

    /// Log of the operator's newest pod.
    pub fn operator_log(&self) -> Option<PathBuf> {
        platform::operator_log(&self.context.layout)
    }

    /// Switches the admission webhook off, as the chart's user does.
    pub async fn switch_webhook_off(&self) -> Result<()> {
        webhook::switch_off(&self.context).await
    }

    /// Changes values of the operator's chart that concern the webhook.
    pub async fn reconfigure_webhook(&self, values: &[&str]) -> Result<()> {
        webhook::reconfigure(&self.context, values).await
    }

    /// Undoes both, by the values that it had.
    pub async fn restore_webhook(&self, values: &[&str]) -> Result<()> {
        webhook::restore(&self.context, values).await
    }

    /// Ends a part the friendly way and waits until it is gone.
    pub async fn stop(&self, part: Part) -> Result<()> {
        process::stop(&self.context.layout, part).await
    }

    /// Kills a part at once.
    pub async fn crash(&self, part: Part) -> Result<()> {
        process::crash(&self.context.layout, part).await
    }

    /// Starts a part again, as it was, and waits until it is ready.
    pub async fn start(&self, part: Part) -> Result<()> {
        parts::start(part, &self.context).await
    }
}

/// A client with the administrator's kubeconfig.
pub async fn kube_client(layout: &Layout) -> Result<kube::Client> {
    Ok(kube::Client::try_from(kube_config(layout).await?)?)
}

async fn kube_config(layout: &Layout) -> Result<kube::Config> {
    let kubeconfig = Kubeconfig::read_from(layout.kubeconfig()).context("there is no cluster: run `cargo dev up`")?;
    Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

/// Chooses rustls' cryptography for this process; reqwest is built without a choice of its own.
pub fn use_ring() {
    // An error says that somebody chose before: good as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
