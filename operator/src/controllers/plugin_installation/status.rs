//! From how the steps of an installation fare to its status. Pure; takes `now`.

mod slots;

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::{
    condition::{self, ConditionType as _, Statement, Status},
    outcome::{self, Summary, drop_absent},
    plugin_installation::{
        DatabaseStatus, Phase, PluginInstallationStatus,
        conditions::{Outcome, Reason, Type},
    },
};

use super::{
    apply::{Led, Steps, Traffic, is_done},
    validate::Stop,
};
use crate::runtime::objects::with_due;

/// How long what waits for its turn waits without being told. Whoever makes room tells those that say that they wait
/// ([`super::neighbours`]); one that was about to say so is not told.
const TURN: Duration = Duration::from_secs(5);

/// What a pass found.
pub enum Findings {
    /// The installation is in deletion, and has to wait.
    Deleting(Outcome),
    /// No version could be chosen, and nothing is live that is led on meanwhile.
    Unresolved(Outcome),
    /// Its tenant is shut, goes or is gone: nothing runs any more.
    Shut(Outcome),
    /// Steps were taken as far as they went.
    Applied(Box<Steps>),
}

impl Findings {
    /// What explains that the plugin does not work.
    pub fn worst(&self) -> Option<&Outcome> {
        match self {
            Self::Deleting(outcome) | Self::Unresolved(outcome) | Self::Shut(outcome) => Some(outcome),
            Self::Applied(steps) => steps.worst(),
        }
    }
}

impl Findings {
    /// Whether nothing is amiss but that migrations run.
    pub fn only_migrates(&self) -> bool {
        let Self::Applied(steps) = self else { return false };
        let mut amiss = steps.outcomes().filter(|outcome| !is_done(outcome));
        amiss.all(|outcome| matches!(outcome, Outcome::Waiting(Reason::Migrating, _)))
    }

    /// When to look again whatever else waits: something was made that the next look goes on with.
    pub fn look_again(&self) -> Option<Duration> {
        match self {
            Self::Applied(steps) => steps.look_again,
            Self::Deleting(_) | Self::Unresolved(_) | Self::Shut(_) => None,
        }
    }

    /// How long until the traffic light or RED may have something to do, though nothing happens.
    pub fn wait(&self) -> Option<Duration> {
        let Self::Applied(steps) = self else { return None };
        let explanation = steps.traffic.as_ref().map(|traffic| &traffic.explanation);
        let due = explanation.and_then(|explanation| explanation.due);
        let due = due
            .into_iter()
            .chain(steps.red.as_ref().and_then(Led::next))
            .map(|due| due.duration_since(Timestamp::now()).unsigned_abs());
        // A candidate that waits for those that go live with it may wait for ever, and is told whenever one of them changes.
        let is_told = explanation.is_some_and(|explanation| explanation.phase == Some(Phase::AwaitingPromotion));
        let mut said = explanation.iter().flat_map(|explanation| &explanation.statements);
        let has_a_turn = !is_told && said.any(|said| said.reason == Reason::AwaitingOthers.as_ref());
        due.chain(has_a_turn.then_some(TURN))
            .chain(steps.route_wait)
            .chain(steps.look_again)
            .min()
    }
}

/// What the status is computed from beside the findings.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Generation of the spec that the pass saw.
    pub generation: i64,
    /// Now.
    pub now: Timestamp,
    /// When it is tried again, if something has to wait.
    pub due: Option<Timestamp>,
}

/// The status after a pass.
pub fn after(before: &PluginInstallationStatus, findings: &Findings, moment: Moment) -> PluginInstallationStatus {
    written(before, moment, |status| match findings {
        Findings::Deleting(outcome) => whole(status, [&with_due(outcome, moment.due)]),
        Findings::Unresolved(outcome) => {
            let outcome = with_due(outcome, moment.due);
            let mut statements = whole(status, [&outcome]);
            let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = &outcome;
            if Type::DependenciesSatisfied.reasons().contains(reason) {
                statements.push(outcome.statement(Type::DependenciesSatisfied));
            }
            statements
        }
        Findings::Shut(why) => {
            let outcome = with_due(why, moment.due);
            let mut statements = whole(status, [&outcome]);
            let (Outcome::Done(reason, said) | Outcome::Waiting(reason, said) | Outcome::Blocked(reason, said)) =
                &outcome;
            let told = [Type::Deployed, Type::Routed, Type::Promoted];
            statements.extend(told.map(|type_| type_.says(Status::False, *reason, said)));
            nothing_runs(status, &mut statements);
            statements
        }
        Findings::Applied(steps) => applied(status, steps, moment),
    })
}

/// Nothing runs, so there is nowhere to go back to, nor a way to it.
fn nothing_runs(status: &mut PluginInstallationStatus, statements: &mut Vec<Statement>) {
    let way_back = "there is no former version";
    statements.push(Type::RollbackAvailable.says(Status::False, Reason::NoFormerVersion, way_back));
    status.url = None;
    slots::stopped(status);
    Led::Off.write(status, statements);
}

fn written(
    before: &PluginInstallationStatus,
    moment: Moment,
    say: impl FnOnce(&mut PluginInstallationStatus) -> Vec<Statement>,
) -> PluginInstallationStatus {
    let mut status = before.clone();
    status.observed_generation = Some(moment.generation);
    let statements = say(&mut status);
    drop_absent(&mut status.conditions, &statements);
    for statement in statements {
        condition::set(&mut status.conditions, statement, moment.generation, moment.now);
    }
    status
}

fn whole<'a>(status: &mut PluginInstallationStatus, outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<Statement> {
    let (statements, summary) = outcome::summarize::<Type>(outcomes, Reason::Installed, "the plugin works");
    let live = status.live_slot.is_some();
    status.phase = Some(match summary {
        Summary::Done => Phase::Ready,
        Summary::Waiting if live => Phase::Degraded,
        Summary::Waiting => Phase::Pending,
        Summary::Blocked => Phase::Failed,
    });
    statements
}

fn applied(status: &mut PluginInstallationStatus, steps: &Steps, moment: Moment) -> Vec<Statement> {
    let outcomes: Vec<_> = steps.outcomes().map(|outcome| with_due(outcome, moment.due)).collect();
    let mut statements = whole(status, &outcomes);
    if status.phase == Some(Phase::Pending) {
        status.phase = Some(Phase::Installing);
    }
    let only_the_next = steps.only_the_next_is_amiss();
    let is_live = steps
        .traffic
        .as_ref()
        .is_some_and(|traffic| traffic.memory.live.is_some());
    let is_passed_over = !steps.delivered && is_live;
    if is_passed_over && steps.leaving.is_none() {
        let live = steps.traffic.as_ref().and_then(Traffic::live_version);
        let next = steps.resolved.as_ref().map(|resolved| resolved.version.as_str());
        if only_the_next || live != next {
            statements.push(not_begun(steps, live, next));
        }
    }
    if steps.is_deployed() && only_the_next && steps.worst().is_some() {
        works_nevertheless(status, &mut statements);
    }
    if let Some(resolved) = &steps.resolved {
        status.resolved = Some(resolved.clone());
    }
    for (type_, outcome) in &steps.said {
        let done = is_done(outcome);
        match type_ {
            Type::DatabaseReady if done => {
                status.database = Some(DatabaseStatus {
                    schema: steps.schema.clone(),
                    secret_name: steps.secret.clone(),
                });
            }
            Type::Routed => status.url.clone_from(&steps.url),
            _ => {}
        }
        statements.push(statement(*type_, &with_due(outcome, moment.due)));
    }
    if let Some(outcome) = &steps.not_contracted {
        statements.retain(|statement| statement.type_ != <&str>::from(Type::MigrationsApplied));
        statements.push(statement(Type::MigrationsApplied, &with_due(outcome, moment.due)));
    }
    if let Some(migrations) = &steps.migrations {
        status.migrations = Some(migrations.clone());
    }
    if let Some(traffic) = &steps.traffic {
        traffic.write(status);
        if steps.config_hash.is_some() {
            status.config_hash.clone_from(&steps.config_hash);
        }
        if status.live_slot.is_some() {
            let told = traffic.statements(&status.conditions, moment.now).into_iter();
            if is_passed_over {
                statements.extend(told.filter(|told| !speaks_of_the_next(told)));
            } else {
                statements.extend(told);
            }
        }
        if status.phase == Some(Phase::Ready) {
            status.phase = traffic.explanation.phase.or(status.phase);
            statements.extend(traffic.reconciling());
        }
    }
    if let Some(red) = &steps.red {
        red.write(status, &mut statements);
    }
    if let Some((slot, serves)) = &steps.slot {
        slots::shared(status, slot, *serves);
    }
    if steps.stopped {
        let (reason, message) = match steps.stop {
            Some(Stop::Disabled) => (Reason::Disabled, "switched off by spec.enabled; data is kept"),
            Some(Stop::Suspended) | None => (Reason::TenantSuspended, "the tenant is shut; data is kept"),
        };
        status.phase = Some(Phase::Disabled);
        statements.retain(|statement| {
            ![Type::Ready, Type::Reconciling, Type::Stalled]
                .map(Into::into)
                .contains(&statement.type_)
        });
        statements.push(Type::Ready.says(Status::False, reason, message));
        statements.push(Type::Promoted.says(Status::False, reason, message));
        nothing_runs(status, &mut statements);
    }
    slots::scale(status, steps);
    if steps.leaving.is_some() {
        status.phase = Some(Phase::Uninstalling);
    }
    statements
}

/// What is live works, though what is wanted next is not there: that is told by its step, by Reconciling and by Stalled.
fn works_nevertheless(status: &mut PluginInstallationStatus, statements: &mut Vec<Statement>) {
    let ready: &str = Type::Ready.into();
    let said = statements.iter().position(|statement| statement.type_ == ready);
    let Some(said) = said.map(|at| statements.swap_remove(at)) else {
        return;
    };
    let message = format!("what is live works; not done: {}", said.message);
    statements.push(Type::Ready.says(Status::True, Reason::Installed, message));
    if status.phase == Some(Phase::Degraded) {
        status.phase = Some(Phase::Promoting);
    }
}

/// Whether it tells that what is wanted is live, or was rejected. Before the pass came to what is wanted nothing is known of
/// that.
fn speaks_of_the_next(told: &Statement) -> bool {
    let promoted: &str = Type::Promoted.into();
    let rejected: &str = Type::VersionRejected.into();
    told.type_ == promoted && told.status == Status::True || told.type_ == rejected
}

/// What is wanted is not on its way, since an earlier step is not done.
fn not_begun(steps: &Steps, live: Option<&str>, next: Option<&str>) -> Statement {
    let why = match steps.worst() {
        Some(Outcome::Done(_, why) | Outcome::Waiting(_, why) | Outcome::Blocked(_, why)) => why,
        None => "",
    };
    let (live, next) = (live.unwrap_or("nothing"), next.unwrap_or("what comes next"));
    let message = format!("{live} is live; {next} is not on its way as it is wanted: {why}");
    Type::Promoted.says(Status::False, Reason::NotBegun, message)
}

/// The condition of a step. Pods that were taken away on request are not deployed, though nothing is wrong; nor is it
/// where no Gateway is to lead to them.
fn statement(type_: Type, outcome: &Outcome) -> Statement {
    match outcome {
        Outcome::Done(reason @ (Reason::Disabled | Reason::TenantSuspended | Reason::NoGateway), message) => {
            type_.says(Status::False, *reason, message)
        }
        other => other.statement(type_),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_stopped_with_its_tenant_is_told_to_run_nowhere() {
        let before = serde_json::from_value(json!({
            "liveSlot": "a", "url": "http://acme.example/api/plugins/crm", "lights": { "green": "1.0.0 2/2" },
            "slots": { "a": { "version": "1.0.0", "configHash": "c", "ready": 2, "desired": 2 } },
        }))
        .unwrap();
        for reason in [Reason::TenantDeleting, Reason::TenantUnknown, Reason::TenantSuspended] {
            let moment = Moment {
                generation: 1,
                now: Timestamp::UNIX_EPOCH,
                due: None,
            };
            let why = Outcome::Waiting(reason, "the tenant is gone".to_owned());
            let status = after(&before, &Findings::Shut(why), moment);
            assert_eq!(
                (status.url.as_deref(), status.lights.green.as_deref()),
                (None, Some("1.0.0 0/0"))
            );
            for type_ in [Type::Ready, Type::Deployed, Type::Routed, Type::Promoted] {
                let said = condition::find(&status.conditions, type_.into()).unwrap();
                assert_eq!(
                    (said.status.as_str(), said.reason.as_str()),
                    ("False", reason.as_ref()),
                    "{type_:?}"
                );
            }
        }
    }
}
