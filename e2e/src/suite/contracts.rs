//! The real adapters keep the contract that the fakes of the unit tests keep: so what is tried with fakes says
//! something about the real systems.

use anyhow::{Result, bail};
use futures::future::join_all;
use plexica_operator::backends::{
    contract::{
        CHECKS, Databases, Identities, REGISTRY_CHECKS, Storages, Subject,
        plugin::{HOSTILE_SCRIPTS, PLUGIN_CHECKS, PluginDatabases},
    },
    keycloak::{KeycloakBackend, KeycloakConfig},
    postgres::{PostgresBackend, PostgresConfig, TlsMode, registry::PostgresRegistry},
    s3::{MinioBackend, MinioConfig},
};

use super::{Case, env::Env};
use crate::{cases, credentials::OPERATOR_ROLE};

/// Hostile scripts at once.
const HOSTILE_AT_ONCE: usize = 4;

/// The cases of this file.
pub fn cases() -> Vec<Case> {
    // Alone: a contract bears no error that goes by, such as the 500 of a Keycloak that makes several realms at once.
    cases![true;
        postgresql_keeps_the_contract_of_databases,
        postgresql_keeps_the_contract_of_databases_of_plugins,
        hostile_scripts_do_no_harm,
        keycloak_keeps_the_contract_of_identities,
        minio_keeps_the_contract_of_storages,
        postgresql_keeps_the_contract_of_the_registry,
    ]
}

async fn postgresql_keeps_the_contract_of_databases(env: &Env) -> Result<()> {
    keeps(&Databases(&PostgresBackend::connect(postgres(env)))).await
}

async fn postgresql_keeps_the_contract_of_databases_of_plugins(env: &Env) -> Result<()> {
    let backend = PostgresBackend::connect(postgres(env));
    let subject = PluginDatabases {
        tenants: &backend,
        plugins: &backend,
    };
    keeps(&subject).await?;
    let mut broken = vec![];
    for check in PLUGIN_CHECKS {
        if let Err(failure) = check.run(&subject).await {
            broken.push(format!("{}: {failure}", check.name));
        }
    }
    verdict(&broken)
}

/// Each with tenants of its own, some at once: those that run for ever wait for limits.
async fn hostile_scripts_do_no_harm(env: &Env) -> Result<()> {
    let config = postgres(env);
    let mut broken = vec![];
    for scripts in HOSTILE_SCRIPTS.chunks(HOSTILE_AT_ONCE) {
        let mut running = vec![];
        for script in scripts {
            running.push(script.run(&config));
        }
        for (script, outcome) in scripts.iter().zip(join_all(running).await) {
            if let Err(failure) = outcome {
                broken.push(format!("{}: {failure}", script.name));
            }
        }
    }
    verdict(&broken)
}

async fn keycloak_keeps_the_contract_of_identities(env: &Env) -> Result<()> {
    let account = env.stack.keycloak_operator();
    let url = env.stack.keycloak_url().parse()?;
    let backend = KeycloakBackend::connect(KeycloakConfig {
        url,
        // Whatever address it is called by, Keycloak says that its issuers are here.
        issuer_url: "http://keycloak.plexica-backends.svc.cluster.local:8080".parse()?,
        client_id: account.name.to_owned(),
        client_secret: account.secret,
    })?;
    keeps(&Identities(&backend)).await
}

async fn minio_keeps_the_contract_of_storages(env: &Env) -> Result<()> {
    let account = env.stack.s3_operator();
    let backend = MinioBackend::connect(MinioConfig {
        endpoint: env.stack.s3_url().parse()?,
        region: "us-east-1".to_owned(),
        access_key_id: account.name.to_owned(),
        secret_access_key: account.secret,
    })?;
    keeps(&Storages(&backend)).await
}

async fn postgresql_keeps_the_contract_of_the_registry(env: &Env) -> Result<()> {
    let registry = PostgresRegistry::connect(postgres(env));
    let mut broken = vec![];
    for check in REGISTRY_CHECKS {
        if let Err(failure) = check.run(&registry).await {
            broken.push(format!("{}: {failure}", check.name));
        }
    }
    verdict(&broken)
}

fn postgres(env: &Env) -> PostgresConfig {
    PostgresConfig {
        host: env.stack.node().to_string(),
        port: 5432,
        database: "plexica".to_owned(),
        username: OPERATOR_ROLE.to_owned(),
        password: env.stack.postgres_operator().secret,
        tls: TlsMode::Disable,
    }
}

async fn keeps(subject: &dyn Subject) -> Result<()> {
    let mut broken = vec![];
    for check in CHECKS.iter().filter(|check| check.applies(subject)) {
        if let Err(failure) = check.run(subject).await {
            broken.push(format!("{}: {failure}", check.name));
        }
    }
    verdict(&broken)
}

fn verdict(broken: &[String]) -> Result<()> {
    if broken.is_empty() {
        return Ok(());
    }
    bail!("{}", broken.join("\n        "))
}
