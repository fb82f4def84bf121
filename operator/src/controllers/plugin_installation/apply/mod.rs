//! Makes everything of an installation, step by step. A step that fails leaves the later ones, and what runs, as it is.

mod configuration;
mod credential;
mod database;
mod dependencies;
pub mod workload;

use plexica_crds::{
    PluginInstallation,
    plugin_installation::conditions::{Outcome, Reason, Type},
};

use super::{
    Context, report,
    status::{Findings, Steps},
    validate::{Running, Wanted},
};
use crate::{
    backends::postgres::registry::{TenantPlugin, TenantPluginStatus},
    pools::Verb,
};

/// Makes or stops everything, and says how each step fares.
pub async fn apply(installation: &PluginInstallation, wanted: &Wanted, ctx: &Context) -> Findings {
    let mut steps = Steps::resolved(wanted);
    match wanted.runs {
        Running::Yes => {
            // The first failure is in the steps; those after it were not reached.
            let _ = run(installation, wanted, &mut steps, ctx).await;
        }
        Running::Disabled | Running::Suspended => stop(wanted, &mut steps, ctx).await,
    }
    if let Err(outcome) = record(installation, wanted, &steps, ctx).await {
        steps.registry = Some(outcome);
    }
    Findings::applied(steps)
}

/// A step failed, and said so.
struct Failed;

async fn run(
    installation: &PluginInstallation,
    wanted: &Wanted,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    let outcome = dependencies::add(wanted, ctx).await;
    steps.end(Type::DependenciesSatisfied, outcome)?;
    let configuration = configuration::read(installation, wanted, ctx).await;
    let configuration = steps.take(Type::ConfigurationValid, configuration)?;
    steps.done(
        Type::ConfigurationValid,
        Reason::ConfigurationAccepted,
        "the plugin's schema admits it",
    );
    steps.configuration = Some(configuration.without_secrets());
    let access = database::provision(wanted, ctx).await;
    let access = steps.take(Type::DatabaseReady, access)?;
    let migrated = database::migrate(wanted, ctx).await;
    steps.migrations = steps.take(Type::MigrationsApplied, migrated)?;
    steps.done(
        Type::MigrationsApplied,
        Reason::Applied,
        &match &steps.migrations.last {
            Some(last) => format!("up to {last}"),
            None => "the version has none".to_owned(),
        },
    );
    let seeded = database::seed(wanted, ctx).await;
    steps.take(Type::DatabaseReady, seeded)?;
    let schema = wanted.slug.plugin_schema(&wanted.id);
    let place = format!(
        "schema {schema} in pool {}, Secret {}",
        wanted.postgres_pool,
        wanted.id.database_secret()
    );
    steps.done(Type::DatabaseReady, Reason::Provisioned, &place);
    let deployed = workload::deploy(installation, wanted, &configuration, &access, ctx).await;
    let deployed = steps.take(Type::Deployed, deployed)?;
    steps.slot = Some(deployed.slot);
    steps.end(Type::Deployed, deployed.outcome)
}

async fn stop(wanted: &Wanted, steps: &mut Steps, ctx: &Context) {
    let outcome = workload::stop(&wanted.slug, &wanted.id, ctx)
        .await
        .map(|()| match wanted.runs {
            Running::Disabled => Outcome::Done(Reason::Disabled, "spec.enabled is false; data is kept".to_owned()),
            Running::Suspended | Running::Yes => Outcome::Done(
                Reason::TenantSuspended,
                format!("tenant {} is shut; data is kept", wanted.slug),
            ),
        });
    steps.stopped = outcome.is_ok();
    // Either way it is told.
    let _ = steps.end(Type::Deployed, outcome.unwrap_or_else(|outcome| outcome));
}

impl Steps {
    /// What a step made, or its failure, which ends the pass.
    fn take<T>(&mut self, type_: Type, result: Result<T, Outcome>) -> Result<T, Failed> {
        result.map_err(|outcome| {
            self.say(type_, outcome);
            Failed
        })
    }

    fn done(&mut self, type_: Type, reason: Reason, message: &str) {
        self.say(type_, Outcome::Done(reason, message.to_owned()));
    }

    /// How a step ended; whatever is not done ends the pass.
    fn end(&mut self, type_: Type, outcome: Outcome) -> Result<(), Failed> {
        let done = matches!(outcome, Outcome::Done(..));
        self.say(type_, outcome);
        if done { Ok(()) } else { Err(Failed) }
    }
}

/// Keeps the registry in step, for services that know no Kubernetes.
async fn record(
    installation: &PluginInstallation,
    wanted: &Wanted,
    steps: &Steps,
    ctx: &Context,
) -> Result<(), Outcome> {
    let Some(configuration) = steps.configuration.clone() else {
        return Ok(());
    };
    let plugin = TenantPlugin {
        plugin: wanted.id.clone(),
        version: wanted.plugin.spec.version.clone(),
        enabled: installation.spec.enabled,
        configuration,
        status: match steps.worst() {
            None => TenantPluginStatus::Installed,
            Some(Outcome::Blocked(..)) => TenantPluginStatus::Failed,
            Some(_) => TenantPluginStatus::InProgress,
        },
        installed_by: None,
    };
    let registry = &ctx.backends.registry;
    let (owner, plugin) = (&wanted.owner, &plugin);
    let recorded = registry
        .call(Verb::Record, |registry| async move {
            registry.record_tenant_plugin(owner, plugin).await
        })
        .await;
    recorded.map(drop).map_err(|error| report::outcome(&error, registry))
}
