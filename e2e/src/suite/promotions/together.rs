//! Plugins of one tenant that go live and come back together: a provider, and a plugin that needs the provider of its own major
//! version.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use plexica_crds::plugin_installation::{Cause, PluginInstallationStatus, Step, TransitionRecord, conditions::Type};
use serde_json::{Value, json};

use super::installed::Installed;
use crate::{
    cases,
    suite::{
        Case,
        env::{Env, unique},
        tenant_plugins::PATIENCE,
    },
};

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        what_goes_live_together_is_prepared_side_by_side_before_the_provider_is_switched,
        a_provider_stays_while_what_is_to_go_live_with_it_does_not_become_ready,
        a_provider_that_is_to_go_back_takes_those_that_need_it_with_it,
        what_goes_back_takes_its_provider_with_it,
    ]
}

/// A provider, and a plugin that needs it; both are live in 1.0.0.
struct Pair<'a> {
    provider: Installed<'a>,
    dependant: Installed<'a>,
}

impl<'a> Pair<'a> {
    async fn new(env: &'a Env, promotion: Value) -> Result<Self> {
        let provider = Installed::new(env, promotion.clone(), 1).await?;
        let dependant = Installed {
            id: unique("tl"),
            ..provider.clone()
        };
        dependant.publish_needing("1.0.0", &provider.id, "^1").await?;
        let spec = json!({ "promotion": promotion, "replicas": 1 });
        provider.plugins.install(&dependant.id, spec).await?;
        provider.plugins.ready(&dependant.id).await?;
        Ok(Self { provider, dependant })
    }

    /// Publishes 2.0.0 of both. What the dependant's declares beside its need is `more`.
    async fn publish(&self, more: Value) -> Result<()> {
        let mut release = json!({ "dependencies": [{ "plugin": self.provider.id, "version": "^2" }] });
        json_patch::merge(&mut release, &more);
        self.dependant.publish_with("2.0.0", release).await?;
        self.provider.publish("2.0.0").await
    }

    /// Both are live in 2.0.0, and 1.0.0 of both stands by.
    async fn upgraded(env: &'a Env) -> Result<Self> {
        let pair = Self::new(env, json!({ "promotionDelay": "1s", "connectionDrain": "1s" })).await?;
        pair.publish(json!({})).await?;
        let standing = |status: &PluginInstallationStatus| {
            let transition = status.transition.as_ref();
            transition.is_some_and(|transition| transition.step == Step::StandingBy)
        };
        for installed in [&pair.provider, &pair.dependant] {
            installed.live("2.0.0").await?;
            installed.until("a standby", standing).await?;
        }
        Ok(pair)
    }

    async fn are_back(&self) -> Result<()> {
        self.dependant.back_in("1.0.0").await?;
        self.provider.back_in("1.0.0").await
    }
}

fn live(status: &PluginInstallationStatus) -> Option<&str> {
    let live = status.slots.get(status.live_slot?)?;
    Some(&live.version)
}

/// What led to 2.0.0, once it is proven.
async fn promoted(installed: &Installed<'_>) -> Result<TransitionRecord> {
    let mut history = installed.status().await?.history.into_iter();
    history
        .find(|ended| ended.to == "2.0.0")
        .context("2.0.0 was not promoted")
}

async fn what_goes_live_together_is_prepared_side_by_side_before_the_provider_is_switched(env: &Env) -> Result<()> {
    /// How long a dependant may be live beside a provider that it excludes: two passes and what they wait for.
    const HAND_OVER: SignedDuration = SignedDuration::from_secs(5);
    let pair = Pair::new(env, json!({ "promotionDelay": "5s", "connectionDrain": "1s" })).await?;
    pair.publish(json!({})).await?;
    let began = Instant::now();
    let mut apart: Option<Timestamp> = None;
    let mut longest = SignedDuration::ZERO;
    loop {
        ensure!(began.elapsed() < PATIENCE, "2.0.0 of both is not live");
        // In this order: a dependant that is seen first may have moved since.
        let (provider, dependant) = (pair.provider.status().await?, pair.dependant.status().await?);
        match (live(&provider), live(&dependant)) {
            (Some("2.0.0"), Some("2.0.0")) => break,
            (Some("2.0.0"), Some("1.0.0")) => {
                let since = *apart.get_or_insert_with(Timestamp::now);
                longest = longest.max(Timestamp::now().duration_since(since));
                ensure!(
                    longest < HAND_OVER,
                    "1.0.0 is live beside a provider 2.0.0 for {longest:#}"
                );
                let transition = dependant.transition.context("the dependant has no candidate")?;
                ensure!(
                    (Step::AwaitingPromotion..=Step::Proving).contains(&transition.step),
                    "the dependant is still at {:?}",
                    transition.step
                );
            }
            (Some("1.0.0"), Some("1.0.0")) => {}
            (_, Some("2.0.0")) => {
                // Both may have moved between the two looks.
                let provider = pair.provider.status().await?;
                ensure!(live(&provider) == Some("2.0.0"), "the dependant went live first");
            }
            versions => bail!("{versions:?} are live beside each other"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for installed in [&pair.provider, &pair.dependant] {
        installed.live("2.0.0").await?;
    }
    let (provider, dependant) = (promoted(&pair.provider).await?, promoted(&pair.dependant).await?);
    ensure!(
        dependant.started_at.0 < provider.finished_at.0,
        "the dependant was begun after the provider had gone live"
    );
    let between = dependant.finished_at.0.duration_since(provider.finished_at.0);
    ensure!(between < HAND_OVER, "the dependant followed {between:#} later");
    Ok(())
}

async fn a_provider_stays_while_what_is_to_go_live_with_it_does_not_become_ready(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "progressDeadline": "15s", "connectionDrain": "1s" });
    let pair = Pair::new(env, promotion).await?;
    let never = json!({ "configuration": { "defaults": { "fault": "never-ready" } } });
    pair.publish(never).await?;
    let (provider, dependant) = (&pair.provider, &pair.dependant);
    let plugins = &provider.plugins;
    let waits = plugins
        .says(&provider.id, Type::Promoted, "False", "AwaitingOthers")
        .await?;
    ensure!(waits.message.contains(&dependant.id), "{}", waits.message);
    plugins
        .says(&dependant.id, Type::VersionRejected, "True", "ProgressDeadlineExceeded")
        .await?;
    provider
        .until("told of the rejection", |status| {
            let transition = status.transition.as_ref();
            let message = transition.and_then(|transition| transition.message.as_deref());
            message.is_some_and(|message| message.contains(&dependant.id) && message.contains("was rejected"))
        })
        .await?;
    for installed in [provider, dependant] {
        let status = installed.status().await?;
        ensure!(live(&status) == Some("1.0.0"), "{:?} is live", live(&status));
        plugins.says(&installed.id, Type::Ready, "True", "Installed").await?;
    }
    // What becomes ready goes live with what has waited for it.
    let mended = json!({ "dependencies": [{ "plugin": provider.id, "version": "^2" }] });
    dependant.publish_with("2.0.1", mended).await?;
    provider.live("2.0.0").await?;
    dependant.live("2.0.1").await
}

async fn a_provider_that_is_to_go_back_takes_those_that_need_it_with_it(env: &Env) -> Result<()> {
    let pair = Pair::upgraded(env).await?;
    let plugins = &pair.provider.plugins;
    let free = plugins
        .says(&pair.provider.id, Type::RollbackAvailable, "True", "StandingBy")
        .await?;
    ensure!(free.message.contains(&pair.dependant.id), "{}", free.message);
    pair.provider.request("rollback").await?;
    pair.are_back().await?;
    plugins
        .says(
            &pair.dependant.id,
            Type::VersionRejected,
            "True",
            "RolledBackWithOthers",
        )
        .await?;
    plugins
        .says(&pair.provider.id, Type::VersionRejected, "True", "RolledBackByRequest")
        .await
        .map(drop)
}

async fn what_goes_back_takes_its_provider_with_it(env: &Env) -> Result<()> {
    let pair = Pair::upgraded(env).await?;
    pair.dependant.request("rollback").await?;
    pair.are_back().await?;
    let ended = pair.provider.status().await?.history.into_iter().next();
    let cause = ended.map(|ended| ended.reason);
    ensure!(cause == Some(Cause::OthersWentBack), "it went back by {cause:?}");
    Ok(())
}
