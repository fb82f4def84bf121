//! Delivery of what is wanted next: configuration, migrations, a frozen revision, and then the traffic light. A step that fails
//! leaves the later ones as they are, and what runs is cared for elsewhere (`serve`).

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use plexica_crds::{
    PluginInstallation,
    condition::ConditionType as _,
    plugin_installation::{
        conditions::{Outcome, Reason, Type},
        configuration::Configuration,
    },
};

use super::{
    configuration, dependencies, migrations, next,
    route::{self, Paths},
    serve::{self, Standing},
    shared,
    steps::{Failed, Steps},
    traffic, workload,
};
use crate::{
    backends::Credential,
    controllers::plugin_installation::{
        Context,
        build::{self, Destination, shared::Release},
        model::{Frozen, RunningSet},
        objects::make,
        validate::{Facts, Wanted},
    },
    promotion::Revision,
};

/// Delivers what is wanted as far as that goes now, beside what stands already.
pub async fn deliver(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    standing: &mut Standing,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    let place = &facts.place;
    let outcome = dependencies::add(place, wanted, ctx).await;
    steps.end(Type::DependenciesSatisfied, outcome)?;
    if let Some(why) = &wanted.switched_off {
        // What is live is left running, and what is wanted of it besides is delivered.
        steps.say(Type::DependenciesSatisfied, why.clone());
    }
    let configuration = configuration::read(installation, &place.slug, (&wanted.plugin, &wanted.manifest), ctx).await;
    let configuration = steps.take(Type::ConfigurationValid, configuration)?;
    steps.done(
        Type::ConfigurationValid,
        Reason::ConfigurationAccepted,
        "the plugin's schema admits it",
    );
    steps.configuration = Some(configuration.without_secrets());
    if let Some(batch) = migrations::under_way(installation, ctx) {
        steps.end(Type::MigrationsApplied, batch.outcome())?;
    }
    // What was rejected needs nothing, unless something has changed that makes another revision of it.
    if !next::is_rejected(installation, facts, wanted) {
        let set = next::beside(&standing.set, wanted);
        provide_for(installation, facts, wanted, &set, standing, steps, ctx).await?;
    }
    let Some(access) = &mut standing.access else {
        // It was said why.
        return Err(Failed);
    };
    migrations::expand(installation, facts, wanted, access, steps, ctx).await?;
    migrations::contract(installation, facts, wanted, access, steps, ctx).await;
    let access = access.credential.clone();
    if wanted.is_dedicated() {
        dedicated(
            installation,
            facts,
            wanted,
            &configuration,
            &access,
            standing,
            steps,
            ctx,
        )
        .await
    } else {
        for_all_tenants(installation, facts, wanted, &configuration, &access, steps, ctx).await
    }
}

/// What revisions need together of what they share is there before the first pod of a new one.
async fn provide_for(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    set: &RunningSet,
    standing: &mut Standing,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    let needs = set.needs();
    let is_there = standing.needs.as_ref() == Some(&needs);
    if !is_there && wanted.is_dedicated() {
        let policed = serve::police(installation, facts, &needs, ctx).await;
        steps.take(Type::Promoted, policed)?;
    }
    // Where the database failed a moment ago it is not tried again in this pass.
    let has_failed = standing.needs.is_some() && standing.access.is_none();
    if !is_there && !has_failed {
        let usual = wanted.plugin.spec.runtime.replicas;
        let size = steps.traffic.as_ref().map_or(usual, |traffic| traffic.size);
        let size = installation.spec.replicas.unwrap_or(size);
        let secret = standing.secret.as_ref();
        standing.access = serve::provide(installation, facts, &needs, size, secret, steps, ctx).await;
        standing.needs = Some(needs);
    }
    if standing.access.is_some() { Ok(()) } else { Err(Failed) }
}

/// Freezes what is wanted and brings it to the traffic light.
#[expect(clippy::too_many_arguments, reason = "all of what the earlier steps made")]
async fn dedicated(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    configuration: &Configuration,
    access: &Credential,
    standing: &mut Standing,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    let was_live = steps.traffic.is_some();
    let frozen = freeze(installation, facts, wanted, configuration, access, &standing.set, ctx).await;
    let (revision, frozen) = steps.take(Type::Promoted, frozen)?;
    steps.config_hash = Some(revision.config_hash.clone());
    standing.set = std::mem::take(&mut standing.set).with(&revision, &Arc::new(frozen));
    if traffic::remembered(installation, facts).rejection(&revision).is_none() {
        let set = standing.set.clone();
        provide_for(installation, facts, wanted, &set, standing, steps, ctx).await?;
    }
    let status = installation.status.as_ref();
    let migrations = status.and_then(|status| status.migrations.as_ref());
    let migrations = steps.migrations.as_ref().or(migrations);
    let next = traffic::Next {
        revision: &revision,
        set: &standing.set,
        credential: &access.id,
        contracted: migrations.and_then(|migrations| migrations.contracted.as_deref()),
        is_seen_anew: steps.has_expanded,
    };
    let before = steps.traffic.as_ref();
    let led = traffic::lead(installation, facts, &next, before, &mut steps.written, ctx).await;
    let (traffic, kept) = steps.take(Type::Promoted, led)?;
    steps.traffic = Some(traffic);
    steps.delivered = kept.is_ok();
    steps.take(Type::Promoted, kept)?;
    if !was_live && let Some(traffic) = &steps.traffic {
        let (slot, memory) = (traffic.slot(), traffic.memory.clone());
        let serves = traffic.live_pods_ready();
        if let Some(paths) = Paths::of(&standing.set, &memory).filter(|_| serves) {
            let to = route::destination(installation, slot);
            serve::lead_route(facts, &paths, &to, steps, ctx).await;
        }
        if serves {
            // What ran for all tenants until now serves this one no more.
            let left = shared::leave(&facts.place.slug, &facts.place.id, None, ctx).await;
            steps.take(Type::Promoted, left)?;
        }
    }
    Ok(())
}

/// What is wanted, rendered and kept, with the configuration that it names.
async fn freeze(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    configuration: &Configuration,
    access: &Credential,
    set: &RunningSet,
    ctx: &Context,
) -> Result<(Revision, Frozen), Outcome> {
    let place = &facts.place;
    let before = if configuration.has_secrets() {
        configurations_of(set, facts, ctx).await?
    } else {
        vec![]
    };
    let config = build::Config::new(place, configuration, access, before);
    match &config {
        build::Config::Secret(secret) => ctx.revisions.made(place, make(secret, ctx).await?),
        build::Config::ConfigMap(map) => ctx.revisions.made(place, make(map, ctx).await?),
    }
    let rendered = build::Rendered {
        plugin: &wanted.plugin,
        providers: &wanted.providers,
        tenant_tables: wanted.tenant_tables.clone(),
        config: config.volume(),
    };
    let frozen = build::freeze(installation, place, rendered);
    let revision = ctx.revisions.keep(place, &frozen, ctx).await?;
    Ok((revision, frozen))
}

/// The secret configurations that revisions were frozen with.
async fn configurations_of(set: &RunningSet, facts: &Facts, ctx: &Context) -> Result<Vec<Secret>, Outcome> {
    let volumes = set.frozen().filter_map(|frozen| frozen.volume(build::CONFIG_VOLUME));
    let names = volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.clone());
    let mut found = vec![];
    for name in names {
        found.extend(workload::secret(&facts.place, &name, ctx).await?);
    }
    Ok(found)
}

/// Brings the tenant into a release that runs once for all of them.
async fn for_all_tenants(
    installation: &PluginInstallation,
    facts: &Facts,
    wanted: &Wanted,
    configuration: &Configuration,
    access: &Credential,
    steps: &mut Steps,
    ctx: &Context,
) -> Result<(), Failed> {
    let place = &facts.place;
    // Its own pods serve until the release knows the tenant.
    let has_own = steps.traffic.is_some();
    let deployed = async {
        let namespace = shared::namespace(&wanted.plugin, ctx)?;
        let deployed = shared::deploy(place, wanted, namespace, configuration, access, ctx).await?;
        let release = Release::new(namespace, &wanted.plugin);
        if shared::is_new_to(installation, wanted) && deployed.is_complete() {
            shared::leave(&place.slug, &place.id, Some(&release), ctx).await?;
        }
        if !has_own {
            // It is written down that the release serves: what was its own before is not needed any more.
            shared::forget_own(place, ctx).await?;
        }
        let to = Destination::Shared {
            namespace: namespace.to_owned(),
            service: release.name(),
        };
        Ok((deployed, to))
    };
    let deployed = deployed.await;
    let step = deployed
        .as_ref()
        .err()
        .map_or(Type::Deployed, |why| step_of(why, has_own));
    let (deployed, to) = steps.take(step, deployed)?;
    // Pods that do not know this tenant yet are ready for others.
    let serves = deployed.is_complete();
    if has_own && !serves {
        let (Outcome::Done(_, said) | Outcome::Waiting(_, said) | Outcome::Blocked(_, said)) = deployed.outcome;
        let message = format!("its own pods serve until those for all tenants know this one: {said}");
        return steps.end(Type::Promoted, Outcome::Waiting(Reason::Switching, message));
    }
    steps.slot = Some((deployed.slot, serves));
    steps.delivered = true;
    let ended = steps.end(Type::Deployed, deployed.outcome);
    if has_own {
        steps.look_again = Some(Duration::ZERO);
    }
    if serves {
        let paths = Paths {
            green: vec![wanted.manifest.base_path.clone()],
            yellow: vec![],
        };
        serve::lead_route(facts, &paths, &to, steps, ctx).await;
    }
    ended
}

/// The condition that says why a release for all tenants could not be made: the first that has such a reason.
fn step_of(why: &Outcome, has_own: bool) -> Type {
    let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = why;
    let last = if has_own { Type::Promoted } else { Type::Deployed };
    let mut steps = [last, Type::DependenciesSatisfied, Type::ConfigurationValid].into_iter();
    steps.find(|type_| type_.reasons().contains(reason)).unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_release_for_all_tenants_fails_of_is_told_by_a_condition_that_may_say_so() {
        let blocked = |reason| Outcome::Blocked(reason, String::new());
        assert_eq!(step_of(&blocked(Reason::NotOwned), true), Type::Promoted);
        assert_eq!(step_of(&blocked(Reason::NotOwned), false), Type::Deployed);
        assert_eq!(
            step_of(&blocked(Reason::PluginInvalid), true),
            Type::DependenciesSatisfied
        );
        assert_eq!(
            step_of(&blocked(Reason::SourceMissing), false),
            Type::ConfigurationValid
        );
    }
}
