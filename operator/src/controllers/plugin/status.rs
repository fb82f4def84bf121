//! From what a pass found to the object's status. Pure; takes `now`.

use jiff::Timestamp;
use plexica_crds::{
    Plugin, PluginStatus,
    condition::{self, ConditionType as _, Statement, Status},
    outcome,
    plugin::{
        Deprecation, State,
        conditions::{Outcome, Reason, Type},
    },
};

use super::{uses::Uses, validate::Accepted};
use crate::runtime::objects::with_due;

/// What a pass found.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The manifest: what was accepted, or why it was not.
    accepted: Result<Accepted, Outcome>,
    /// The row in the registry; `None` if it was not tried.
    registered: Option<Outcome>,
    /// Whether it is not to be installed any more.
    deprecated: Option<Deprecation>,
    /// Who uses it.
    uses: Uses,
    /// Whether it is in deletion, which waits for them.
    deleting: bool,
}

impl Findings {
    /// The manifest was not accepted.
    pub fn refused(outcome: Outcome, plugin: &Plugin, uses: Uses) -> Self {
        Self::new(Err(outcome), None, plugin, uses)
    }

    /// The manifest was accepted, and its row was tried to be written.
    pub fn accepted(accepted: Accepted, registered: Outcome, plugin: &Plugin, uses: Uses) -> Self {
        Self::new(Ok(accepted), Some(registered), plugin, uses)
    }

    fn new(accepted: Result<Accepted, Outcome>, registered: Option<Outcome>, plugin: &Plugin, uses: Uses) -> Self {
        Self {
            accepted,
            registered,
            deprecated: plugin.spec.deprecated.clone(),
            uses,
            deleting: plugin.metadata.deletion_timestamp.is_some(),
        }
    }

    /// What is to be tried again. That a deletion waits is not: who uses the release triggers a pass when that changes.
    pub fn worst(&self) -> Option<&Outcome> {
        let failed = |outcome: &&Outcome| !matches!(outcome, Outcome::Done(..));
        let registered = self.registered.as_ref().filter(failed);
        self.accepted.as_ref().err().or(registered)
    }

    fn state(&self) -> State {
        match &self.accepted {
            Err(_) => State::Invalid,
            // Nobody new takes it.
            Ok(accepted) if accepted.broken.is_some() && !self.uses.is_installed() => State::Invalid,
            Ok(_) if self.deprecated.is_some() => State::Deprecated,
            Ok(_) if self.uses.is_installed() => State::Installed,
            Ok(_) => State::Available,
        }
    }

    /// What Ready says when all is well.
    fn done(&self) -> (Reason, String) {
        match &self.deprecated {
            None => (Reason::Registered, "the release can be installed".to_owned()),
            Some(Deprecation { message, replacement }) => {
                let instead = replacement
                    .as_ref()
                    .map_or_else(String::new, |id| format!("; use plugin {id} instead"));
                (Reason::Deprecated, format!("deprecated: {message}{instead}"))
            }
        }
    }
}

/// The status after a pass; `due` is when it is tried again, if something has to wait.
pub fn after(
    before: &PluginStatus,
    findings: &Findings,
    generation: i64,
    due: Option<Timestamp>,
    now: Timestamp,
) -> PluginStatus {
    let mut status = before.clone();
    status.observed_generation = Some(generation);
    status.state = Some(findings.state());
    status.installations = Some(findings.uses.counts());
    let accepted = match &findings.accepted {
        Ok(accepted) => {
            status.accepted_digest = Some(accepted.digest.clone());
            status.accepted_scripts.clone_from(&accepted.scripts);
            status.warnings.clone_from(&accepted.warnings);
            Outcome::Done(Reason::ManifestValid, told(accepted))
        }
        Err(outcome) => with_due(outcome, due),
    };
    let registered = findings.registered.as_ref().map(|outcome| with_due(outcome, due));
    let broken = findings.accepted.as_ref().ok().and_then(|accepted| {
        let rules = accepted.broken.as_ref()?;
        Some(Outcome::Blocked(Reason::ManifestInvalid, too_late(rules)))
    });
    let in_use = findings.deleting.then(|| findings.uses.in_use());
    let (done, message) = findings.done();
    let parts = [in_use.as_ref(), Some(&accepted), broken.as_ref(), registered.as_ref()];
    let (mut statements, _) = outcome::summarize::<Type>(parts.into_iter().flatten(), done, &message);
    statements.push(accepted.statement(Type::Accepted));
    statements.push(registered.map_or_else(|| unregistered(before), |outcome| outcome.statement(Type::Registered)));
    statements.extend(in_use.map(|outcome| blocks_deletion(&outcome)));
    outcome::drop_absent(&mut status.conditions, &statements);
    for statement in statements {
        condition::set(&mut status.conditions, statement, generation, now);
    }
    status
}

/// What Accepted says of a release that is.
fn told(accepted: &Accepted) -> String {
    let rules = accepted
        .broken
        .as_ref()
        .map_or_else(|| "the manifest keeps all rules".to_owned(), |rules| too_late(rules));
    let notices = accepted.notices.iter().map(String::as_str);
    let all: Vec<_> = std::iter::once(rules.as_str()).chain(notices).collect();
    all.join("; ")
}

/// What is said of rules that are newer than the acceptance of the release that breaks them.
fn too_late(rules: &str) -> String {
    format!("it was accepted before these rules, and is not installed anew: {rules}; publish another version")
}

/// What is not accepted is not written to the registry; what was accepted stays there as it was.
fn unregistered(before: &PluginStatus) -> Statement {
    let said = condition::find(&before.conditions, Type::Registered.into());
    if said.is_some_and(|said| said.status == "True") {
        let message = "core.plugins keeps the release as it was accepted";
        return Type::Registered.says(Status::True, Reason::Registered, message);
    }
    let message = "only a release that is accepted is registered";
    Type::Registered.says(Status::False, Reason::ManifestInvalid, message)
}

/// The condition of a release that cannot go yet.
pub fn blocks_deletion(in_use: &Outcome) -> Statement {
    let (Outcome::Done(reason, message) | Outcome::Waiting(reason, message) | Outcome::Blocked(reason, message)) =
        in_use;
    Type::DeletionBlocked.says(Status::True, *reason, message)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
