//! From what a pass found to the object's status. Pure; takes `now`.

use std::iter;

use jiff::Timestamp;
use plexica_crds::{
    condition::{self, ConditionType as _, Statement, Status},
    names::TenantSlug,
    tenant::{
        DatabaseStatus, IdentityStatus, Phase, PluginCounts, StorageStatus, TenantStatus,
        conditions::{self, Outcome, Reason, Type},
    },
};
use uuid::Uuid;

use super::build::{DATABASE_SECRET, IDENTITY_SECRET, STORAGE_SECRET};
use crate::{
    backends::postgres::registry::Placement,
    runtime::objects::{Words, with_due},
};

/// How the status tells of changes by others.
const DRIFT: Words<Type> = Words {
    type_: Type::DriftDetected,
    corrected: Reason::Corrected,
    in_sync: Reason::InSync,
};

/// What a pass found.
#[derive(Debug, Clone)]
pub enum Findings {
    /// Nothing was applied, for this reason.
    Refused(Outcome),
    /// Everything was applied as far as it went.
    Applied(Box<Parts>),
}

/// How each part fares.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The tenant's name.
    pub slug: TenantSlug,
    /// Where it lives.
    pub placement: Placement,
    /// Whether it is shut on request.
    pub suspended: bool,
    /// Namespace.
    pub namespace: Outcome,
    /// Schema.
    pub database: Outcome,
    /// Realm.
    pub identity: Outcome,
    /// Issuer of the tenant's tokens, once the realm was made.
    pub issuer: Option<String>,
    /// Bucket.
    pub storage: Outcome,
    /// Isolation.
    pub isolation: Outcome,
    /// The registry's row.
    pub registry: Outcome,
    /// The list of front ends.
    pub frontends: Outcome,
    /// What others had changed and was set right.
    pub corrected: Vec<String>,
}

impl Parts {
    /// All outcomes that decide whether the tenant is Ready, in the order in which they explain it. That isolation has
    /// not been tried yet is no reason not to be: a breach is.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        [
            Some(&self.namespace),
            Some(&self.database),
            Some(&self.identity),
            Some(&self.storage),
            Some(&self.isolation).filter(|_| !self.is_untried()),
            Some(&self.registry),
            Some(&self.frontends),
        ]
        .into_iter()
        .flatten()
    }

    fn is_untried(&self) -> bool {
        matches!(self.isolation, Outcome::Waiting(Reason::NotYetVerified, _))
    }

    /// The condition of a part. A part that is shut on request is not ready, though nothing is wrong with it.
    fn statement(type_: Type, outcome: &Outcome) -> Statement {
        match outcome {
            Outcome::Done(Reason::SuspendRequested, message) => {
                type_.says(Status::False, Reason::SuspendRequested, message)
            }
            other => other.statement(type_),
        }
    }
}

impl Findings {
    /// Nothing was applied.
    pub fn refused(outcome: Outcome) -> Self {
        Self::Refused(outcome)
    }

    /// Parts were applied.
    pub fn applied(parts: Parts) -> Self {
        Self::Applied(Box::new(parts))
    }

    fn outcomes(&self) -> Box<dyn Iterator<Item = &Outcome> + '_> {
        match self {
            Self::Refused(outcome) => Box::new(iter::once(outcome)),
            Self::Applied(parts) => Box::new(parts.outcomes()),
        }
    }

    /// Whether another pass must follow to try isolation; a tenant that is shut has nothing to try.
    pub fn is_untried(&self) -> bool {
        matches!(self, Self::Applied(parts) if !parts.suspended && parts.is_untried())
    }

    /// What explains that the tenant is not ready: the first that is blocked, else the first that waits.
    pub fn worst(&self) -> Option<&Outcome> {
        self.outcomes()
            .find(|outcome| matches!(outcome, Outcome::Blocked(..)))
            .or_else(|| self.outcomes().find(|outcome| matches!(outcome, Outcome::Waiting(..))))
    }
}

/// What the status is computed from beside the findings.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Generation of the spec that the pass saw.
    pub generation: i64,
    /// Id of the tenant in all backends.
    pub tenant_id: Option<Uuid>,
    /// Now.
    pub now: Timestamp,
    /// When it is tried again, if something has to wait.
    pub due: Option<Timestamp>,
}

/// The status after a pass.
pub fn after(before: &TenantStatus, findings: &Findings, moment: Moment) -> TenantStatus {
    let Moment {
        generation,
        tenant_id,
        now,
        due,
    } = moment;
    let mut status = before.clone();
    status.observed_generation = Some(generation);
    status.tenant_id = before.tenant_id.or(tenant_id);
    let mut statements = match findings {
        Findings::Refused(outcome) => {
            let outcome = with_due(outcome, due);
            let (statements, phase) = conditions::summarize([&outcome]);
            status.phase = Some(phase);
            statements
        }
        Findings::Applied(parts) => {
            place(&mut status, parts, before);
            let parts = due_parts(parts, due);
            summarize(&mut status, &parts, now)
        }
    };
    if status.plugins.is_none() {
        status.plugins = Some(PluginCounts {
            installed: 0,
            ready: 0,
            summary: "0/0".to_owned(),
        });
    }
    conditions::drop_absent(&mut status.conditions, &statements);
    for statement in statements.drain(..) {
        condition::set(&mut status.conditions, statement, generation, now);
    }
    status
}

/// The status while the first pass is under way.
pub fn begun(before: &TenantStatus, slug: &TenantSlug, placement: &Placement, moment: Moment) -> TenantStatus {
    let under_way = || Outcome::Waiting(Reason::Provisioning, "under way".to_owned());
    let parts = Parts {
        slug: slug.clone(),
        placement: placement.clone(),
        suspended: false,
        namespace: under_way(),
        database: under_way(),
        identity: under_way(),
        issuer: None,
        storage: under_way(),
        isolation: Outcome::Waiting(
            Reason::NotYetVerified,
            "tried as soon as everything is provisioned".to_owned(),
        ),
        registry: Outcome::done(),
        frontends: Outcome::done(),
        corrected: vec![],
    };
    after(before, &Findings::applied(parts), moment)
}

/// The status while a pass takes long: what parts have said so far; the others keep what they said before.
pub fn so_far(before: &TenantStatus, said: &[(Type, Outcome)], moment: Moment) -> TenantStatus {
    let mut status = before.clone();
    for (type_, outcome) in said {
        condition::set(
            &mut status.conditions,
            Parts::statement(*type_, outcome),
            moment.generation,
            moment.now,
        );
    }
    status
}

fn due_parts(parts: &Parts, due: Option<Timestamp>) -> Parts {
    Parts {
        namespace: with_due(&parts.namespace, due),
        database: with_due(&parts.database, due),
        identity: with_due(&parts.identity, due),
        storage: with_due(&parts.storage, due),
        isolation: with_due(&parts.isolation, due),
        registry: with_due(&parts.registry, due),
        frontends: with_due(&parts.frontends, due),
        ..parts.clone()
    }
}

fn place(status: &mut TenantStatus, parts: &Parts, before: &TenantStatus) {
    let Parts {
        slug,
        placement,
        issuer,
        ..
    } = parts;
    status.namespace = Some(slug.namespace().to_string());
    status.database = Some(DatabaseStatus {
        pool: placement.postgres.clone(),
        schema: slug.schema().to_string(),
        secret_name: DATABASE_SECRET.to_owned(),
    });
    status.storage = Some(StorageStatus {
        pool: placement.s3.clone(),
        bucket: slug.bucket().to_string(),
        secret_name: STORAGE_SECRET.to_owned(),
    });
    status.identity = match (&placement.keycloak, issuer) {
        (Some(pool), Some(issuer)) => Some(IdentityStatus {
            pool: pool.clone(),
            realm: slug.realm().to_string(),
            issuer: issuer.clone(),
            secret_name: IDENTITY_SECRET.to_owned(),
        }),
        (Some(_), None) => before.identity.clone(),
        (None, _) => None,
    };
}

fn summarize(status: &mut TenantStatus, parts: &Parts, now: Timestamp) -> Vec<Statement> {
    let Parts {
        namespace,
        database,
        identity,
        storage,
        isolation,
        suspended,
        corrected,
        ..
    } = parts;
    let (mut statements, phase) = conditions::summarize(parts.outcomes());
    status.phase = Some(phase);
    if *suspended && phase == Phase::Active {
        status.phase = Some(Phase::Suspended);
        let message = "the tenant is shut because spec.suspended is true; its data is kept";
        statements = vec![Type::Ready.says(Status::False, Reason::SuspendRequested, message)];
    }
    statements.extend([
        Parts::statement(Type::NamespaceReady, namespace),
        Parts::statement(Type::DatabaseReady, database),
        Parts::statement(Type::IdentityReady, identity),
        Parts::statement(Type::StorageReady, storage),
    ]);
    statements.push(match isolation {
        Outcome::Waiting(Reason::NotYetVerified, message) => {
            Type::IsolationVerified.says(Status::Unknown, Reason::NotYetVerified, message)
        }
        other => other.statement(Type::IsolationVerified),
    });
    statements.push(if *suspended && phase == Phase::Active {
        Type::Suspended.says(
            Status::True,
            Reason::SuspendRequested,
            "realm, logins and bucket are shut",
        )
    } else {
        Type::Suspended.says(Status::False, Reason::NotSuspended, "the tenant is not shut")
    });
    let corrected = Some(corrected.join("; ")).filter(|what| !what.is_empty());
    statements.push(DRIFT.statement(corrected.as_deref(), &status.conditions, now));
    statements
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
