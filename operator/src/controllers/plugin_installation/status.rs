//! From how the steps of an installation fare to its status. Pure; takes `now`.

mod slots;

use std::time::Duration;

use jiff::Timestamp;
use plexica_crds::{
    condition::{self, ConditionType as _, Statement, Status},
    names::PluginId,
    outcome::{self, Summary, drop_absent},
    plugin_installation::{
        DatabaseStatus, MigrationsStatus, Phase, PluginInstallationStatus, ResolutionStatus, SlotStatus,
        conditions::{Outcome, Reason, Type},
    },
};
use serde_json::Value;

use super::{
    apply::{Led, Traffic},
    validate::{Facts, Stop, Wanted},
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
    /// Steps were taken as far as they went.
    Applied(Box<Steps>),
}

/// How the steps fare that were reached.
pub struct Steps {
    said: Vec<(Type, Outcome)>,
    /// What was chosen; `None` if nothing could be.
    resolved: Option<ResolutionStatus>,
    /// The plugin.
    id: PluginId,
    stop: Option<Stop>,
    schema: String,
    secret: String,
    /// The configuration for the registry, without secrets; `None` if it was not reached.
    pub configuration: Option<Value>,
    /// How far the migrations are; `None` if they were not reached.
    pub migrations: Option<MigrationsStatus>,
    /// Expand migrations were applied in this pass: what was seen of the pods is older.
    pub has_expanded: bool,
    /// Why Contract migrations that are due are not applied. The plugin works nevertheless.
    pub not_contracted: Option<Outcome>,
    /// What the one slot of a release for all tenants holds once all of it runs.
    pub slot: Option<SlotStatus>,
    /// How traffic is led to the tenant's own slots; `None` if that was not reached.
    pub traffic: Option<Traffic>,
    /// How RED fares; `None` if that was not reached.
    pub red: Option<Led>,
    /// Hash of the wanted revision, once it is frozen.
    pub config_hash: Option<String>,
    /// Where the plugin's API is found, once the Gateway leads there.
    pub url: Option<String>,
    /// When to look at its route again, if that is on its way to lead requests otherwise.
    pub route_wait: Option<Duration>,
    /// Whether no pod runs, on request.
    pub stopped: bool,
    /// Why the registry could not be told; `None` if it was.
    pub registry: Option<Outcome>,
    /// The status that the object was given on the way, if it was.
    pub written: Option<PluginInstallationStatus>,
    /// What is wanted was brought to the traffic light, or to all tenants' pods: what is said of what is live is said of it.
    pub delivered: bool,
    /// Why what runs is not as declared.
    pub not_kept: Option<Outcome>,
    /// Why an installation in deletion is still there.
    pub leaving: Option<Outcome>,
    /// Why nothing was chosen, where that is not said by a step's condition.
    unchosen: Option<Outcome>,
    /// When to look again, though nothing happens.
    pub look_again: Option<Duration>,
}

impl Steps {
    /// A version was chosen, or why none was; nothing else was tried yet.
    pub fn new(facts: &Facts, chosen: Result<&Wanted, &Outcome>, leaving: Option<Outcome>) -> Self {
        let place = &facts.place;
        let resolved = chosen.ok().map(|wanted| ResolutionStatus {
            version: wanted.plugin.spec.version.clone(),
            reason: wanted.reason.clone(),
        });
        let why = match chosen {
            Ok(wanted) => Outcome::Done(Reason::Resolved, wanted.reason.clone()),
            Err(why) => why.clone(),
        };
        let (Outcome::Done(reason, _) | Outcome::Waiting(reason, _) | Outcome::Blocked(reason, _)) = &why;
        let is_said = Type::DependenciesSatisfied.reasons().contains(reason);
        let (said, unchosen) = if is_said {
            (vec![(Type::DependenciesSatisfied, why)], None)
        } else {
            (vec![], Some(why))
        };
        Self {
            said,
            unchosen,
            leaving,
            resolved,
            id: place.id.clone(),
            stop: facts.stop,
            schema: place.slug.plugin_schema(&place.id).to_string(),
            secret: place.id.database_secret().to_string(),
            configuration: None,
            migrations: None,
            has_expanded: false,
            not_contracted: None,
            slot: None,
            traffic: None,
            red: None,
            config_hash: None,
            url: None,
            route_wait: None,
            stopped: false,
            registry: None,
            written: None,
            delivered: false,
            not_kept: None,
            look_again: None,
        }
    }

    /// Says how a step fares; what was said of it before does not count any more.
    pub fn say(&mut self, type_: Type, outcome: Outcome) {
        self.said.retain(|(said, _)| *said != type_);
        self.said.push((type_, outcome));
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        let said = self.said.iter().map(|(_, outcome)| outcome);
        let others = [
            &self.not_contracted,
            &self.registry,
            &self.not_kept,
            &self.unchosen,
            &self.leaving,
        ];
        said.chain(others.into_iter().flatten())
    }

    /// The first that is blocked, else the first that waits.
    pub fn worst(&self) -> Option<&Outcome> {
        self.outcomes()
            .find(|outcome| matches!(outcome, Outcome::Blocked(..)))
            .or_else(|| self.outcomes().find(|outcome| matches!(outcome, Outcome::Waiting(..))))
    }

    /// Whether all that is amiss is about what is to come next, of which nothing that is live knows.
    fn only_the_next_is_amiss(&self) -> bool {
        let is_next = |type_| {
            matches!(
                type_,
                Type::DependenciesSatisfied | Type::ConfigurationValid | Type::MigrationsApplied | Type::Promoted
            )
        };
        let is_fine = |(type_, outcome): &(Type, Outcome)| is_next(*type_) || is_done(outcome);
        let is_nothing_else = [&self.registry, &self.not_kept, &self.leaving]
            .into_iter()
            .all(Option::is_none);
        is_nothing_else && self.said.iter().all(is_fine)
    }

    /// Whether the pods that are live are said to be ready.
    fn is_deployed(&self) -> bool {
        let mut said = self.said.iter();
        said.any(|(type_, outcome)| *type_ == Type::Deployed && is_done(outcome))
    }
}

fn is_done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Done(..))
}

impl Findings {
    /// What explains that the plugin does not work.
    pub fn worst(&self) -> Option<&Outcome> {
        match self {
            Self::Deleting(outcome) | Self::Unresolved(outcome) => Some(outcome),
            Self::Applied(steps) => steps.worst(),
        }
    }
}

impl Findings {
    /// When to look again whatever else waits: something was made that the next look goes on with.
    pub fn look_again(&self) -> Option<Duration> {
        match self {
            Self::Applied(steps) => steps.look_again,
            Self::Deleting(_) | Self::Unresolved(_) => None,
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
        let mut said = explanation.iter().flat_map(|explanation| &explanation.statements);
        let has_a_turn = said.any(|said| said.reason == Reason::AwaitingOthers.as_ref());
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
        Findings::Applied(steps) => applied(status, steps, moment),
    })
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
    if let Some(slot) = &steps.slot {
        slots::shared(status, slot, steps.worst().is_none());
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
        let way_back = "there is no former version";
        statements.push(Type::RollbackAvailable.says(Status::False, Reason::NoFormerVersion, way_back));
        slots::stopped(status);
        Led::Off.write(status, &mut statements);
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
