//! Runs a plugin's migrations: docs/decisions/2026-11-21-plugin-migrations.md.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use plexica_crds::{names::TenantSlug, plugin::MigrationPhase};
use secrecy::SecretString;

use super::{
    desk::Desk,
    ledger,
    migration::{self, AppliedMigration, MigrationError, MigrationFailure, MigrationLimits, PluginMigration},
    script,
    session::Session,
};
use crate::backends::{
    BackendError, Credential,
    hash::sha256_hex,
    http,
    postgres::{
        connection::{Database, sqlstate},
        holding::Holding,
        migrations::Applied,
        verifier,
    },
};

/// A limit of PostgreSQL's own is given this long to strike, since its words are better, before the operator's does.
const GRACE: Duration = Duration::from_millis(500);

/// A migration, ready to run.
#[derive(Debug)]
struct Prepared<'a> {
    migration: &'a PluginMigration,
    sha256: String,
    statements: Vec<String>,
}

/// How a script ended that did not end well.
struct Trouble {
    statement: Option<usize>,
    sqlstate: Option<String>,
    message: String,
    hint: Option<&'static str>,
    transient: bool,
}

/// Applies what is pending of a phase.
pub(super) async fn run(
    database: &Database,
    holding: &Holding,
    slug: &TenantSlug,
    migrations: &[PluginMigration],
    phase: MigrationPhase,
    limits: &MigrationLimits,
) -> Result<Vec<AppliedMigration>, MigrationError> {
    let prepared = prepare(holding, slug, migrations)?;
    let mut desk = Desk::open(database, holding).await?;
    desk.recognise(holding).await?;
    desk.evict().await?;
    let record = desk.settle().await?;
    if let Some(name) = record.unknown.first() {
        return Err(MigrationError::Backend(BackendError::Unexpected(format!(
            "nobody can tell whether migration {name} of schema {schema} was committed; look at the schema, then set \
             applied_at in plexica.plugin_migrations or delete the row",
            schema = holding.schema
        ))));
    }
    let pending = pending(prepared, &record.applied, phase)?;
    if pending.is_empty() {
        desk.close().await;
        return Ok(Vec::new());
    }
    let Credential { secret, .. } = Credential::generate();
    let verifier = verifier::of_secret(&secret).await?;
    let at_most = limits.deadline * u32::try_from(pending.len()).unwrap_or(u32::MAX);
    desk.admit(&verifier, at_most).await?;
    let mut run = Run {
        desk,
        holding,
        limits,
        applied: Vec::new(),
    };
    let outcome = run.all(&database.config, slug, &secret, &pending).await;
    // However it ended. If this fails too, the role is shut out by the next observation, or by the clock.
    let dismissed = run.desk.dismiss().await;
    run.desk.close().await;
    outcome?;
    dismissed?;
    Ok(run.applied)
}

/// Puts names in and cuts into statements, before anything is run.
fn prepare<'a>(
    holding: &Holding,
    slug: &TenantSlug,
    migrations: &'a [PluginMigration],
) -> Result<Vec<Prepared<'a>>, MigrationError> {
    let prepare = |migration: &'a PluginMigration| {
        let statements = script::statements(migration, holding.schema.as_str(), slug.schema().as_str())?;
        Ok(Prepared {
            migration,
            sha256: sha256_hex(&migration.sql),
            statements,
        })
    };
    migrations
        .iter()
        .map(|migration| {
            prepare(migration).map_err(|message| MigrationError::Invalid {
                migration: migration.name.clone(),
                message,
            })
        })
        .collect()
}

/// What is not applied of a phase, in order. Names in the record that are not given are a newer release's.
fn pending<'a>(
    prepared: Vec<Prepared<'a>>,
    applied: &Applied,
    phase: MigrationPhase,
) -> Result<Vec<Prepared<'a>>, MigrationError> {
    let mut pending = Vec::new();
    for one in prepared {
        let name = &one.migration.name;
        match applied.get(name) {
            None => pending.push(one),
            Some(checksum) if *checksum == one.sha256 => {}
            Some(checksum) => {
                return Err(MigrationError::Backend(BackendError::MigrationChanged {
                    name: name.clone(),
                    applied: checksum.clone(),
                    found: one.sha256,
                }));
            }
        }
    }
    let expanding = pending.iter().find(|one| one.migration.phase == MigrationPhase::Expand);
    if let (MigrationPhase::Contract, Some(one)) = (phase, expanding) {
        return Err(MigrationError::NotExpanded {
            migration: one.migration.name.clone(),
        });
    }
    pending.retain(|one| one.migration.phase == phase);
    Ok(pending)
}

/// A run under way.
struct Run<'a> {
    desk: Desk<'a>,
    holding: &'a Holding,
    limits: &'a MigrationLimits,
    applied: Vec<AppliedMigration>,
}

impl Run<'_> {
    async fn all(
        &mut self,
        config: &crate::backends::postgres::PostgresConfig,
        slug: &TenantSlug,
        password: &SecretString,
        pending: &[Prepared<'_>],
    ) -> Result<(), MigrationError> {
        let version = self.desk.server_version();
        let mut session = Session::open(config, self.holding, slug, password, self.limits, version)
            .await
            .map_err(|error| self.desk.error(&error))?;
        for one in pending {
            let began = Instant::now();
            let name = &one.migration.name;
            let trouble = if one.migration.transactional {
                self.in_transaction(&mut session, one).await?
            } else {
                self.alone(&mut session, one).await?
            };
            match trouble {
                None => self.applied.push(AppliedMigration {
                    name: name.clone(),
                    duration: began.elapsed(),
                }),
                Some(trouble) => {
                    return Err(MigrationError::Failed(Box::new(
                        trouble.into_failure(name, &self.applied),
                    )));
                }
            }
        }
        session.close().await;
        Ok(())
    }

    /// One script in one transaction. Whether it was applied is what PostgreSQL says of the transaction, not what was
    /// answered: an answer may get lost.
    async fn in_transaction(
        &mut self,
        session: &mut Session,
        one: &Prepared<'_>,
    ) -> Result<Option<Trouble>, BackendError> {
        let deadline = Instant::now() + self.limits.deadline;
        let id = async {
            session.discard().await?;
            session.begin().await
        };
        let id = match self.within(deadline, None, id).await {
            Ok(id) => id,
            Err(trouble) => return Ok(Some(trouble)),
        };
        self.note(one, Some(&id)).await?;
        let trouble = self.statements(session, one, &id, deadline).await.err();
        if trouble.is_some() {
            self.desk.evict().await?;
        }
        let record = self.desk.settle().await?;
        if record.applied.contains_key(&one.migration.name) {
            return Ok(None);
        }
        Ok(Some(trouble.unwrap_or_else(|| {
            Trouble::ours("PostgreSQL did not commit it", None, true)
        })))
    }

    async fn statements(
        &self,
        session: &mut Session,
        one: &Prepared<'_>,
        id: &str,
        deadline: Instant,
    ) -> Result<(), Trouble> {
        for (index, statement) in one.statements.iter().enumerate() {
            let statement = script::inside_transaction(statement);
            self.within(deadline, Some(index + 1), session.run(statement)).await?;
        }
        let audit = self.within(deadline, None, session.audit()).await?;
        if audit.transaction_id != id {
            return Err(Trouble::ours("it left its transaction", None, false));
        }
        if let Some(routine) = audit.security_definer {
            return Err(Trouble::ours(
                &format!("it makes {routine} SECURITY DEFINER"),
                Some("routines of a plugin run with the rights of their caller: leave SECURITY DEFINER out"),
                false,
            ));
        }
        self.within(deadline, None, session.commit()).await
    }

    /// Statements outside of a transaction, each of which may be run again; what a crash left half made is dropped.
    async fn alone(&mut self, session: &mut Session, one: &Prepared<'_>) -> Result<Option<Trouble>, BackendError> {
        let deadline = Instant::now() + self.limits.deadline;
        self.note(one, None).await?;
        let statements = async {
            let schema = self.holding.schema.as_str();
            self.within(deadline, None, session.discard()).await?;
            self.within(deadline, None, session.drop_invalid_indexes(schema))
                .await?;
            for (index, statement) in one.statements.iter().enumerate() {
                self.within(deadline, Some(index + 1), session.run_alone(statement.clone()))
                    .await?;
            }
            Ok(())
        };
        if let Err(trouble) = statements.await {
            self.desk.evict().await?;
            return Ok(Some(trouble));
        }
        let schema = self.holding.schema.as_str();
        let finished = ledger::finish(self.desk.connection(), schema, &one.migration.name).await;
        finished.map_err(|error| self.desk.error(&error))?;
        Ok(None)
    }

    async fn note(&mut self, one: &Prepared<'_>, transaction_id: Option<&str>) -> Result<(), BackendError> {
        let Prepared { migration, sha256, .. } = one;
        let schema = self.holding.schema.as_str();
        let noted = ledger::begin(self.desk.connection(), schema, &migration.name, sha256, transaction_id).await;
        match noted {
            Ok(true) => Ok(()),
            Ok(false) => Err(BackendError::Unexpected(format!(
                "migration {} of schema {schema} was applied by somebody else meanwhile",
                migration.name
            ))),
            Err(error) => Err(self.desk.error(&error)),
        }
    }

    /// Waits for an answer until time is up. Then the session is of no use any more: the caller ends it.
    async fn within<T>(
        &self,
        deadline: Instant,
        statement: Option<usize>,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Trouble> {
        let limit = deadline.min(Instant::now() + self.limits.statement_timeout) + GRACE;
        let trouble = match tokio::time::timeout_at(limit.into(), answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => Trouble::of(&error),
            Err(_) => Trouble::ours(
                "it took too long and was ended by the operator",
                migration::hint("57014"),
                false,
            ),
        };
        Err(Trouble { statement, ..trouble })
    }
}

impl Trouble {
    /// What the operator found, or did.
    fn ours(message: &str, hint: Option<&'static str>, transient: bool) -> Self {
        Self {
            statement: None,
            sqlstate: None,
            message: message.to_owned(),
            hint,
            transient,
        }
    }

    /// What PostgreSQL said. Its details are left out: they may hold rows.
    fn of(error: &sqlx::Error) -> Self {
        match (sqlstate(error), error.as_database_error()) {
            (Some(code), Some(refusal)) => Self {
                statement: None,
                message: http::excerpt(refusal.message()),
                hint: migration::hint(&code),
                transient: migration::is_transient(&code),
                sqlstate: Some(code),
            },
            _ => Self::ours(
                &format!("the connection was lost: {}", http::excerpt(&http::chain(error))),
                Some("it is tried again"),
                true,
            ),
        }
    }

    fn into_failure(self, migration: &str, applied: &[AppliedMigration]) -> MigrationFailure {
        let Self {
            statement,
            sqlstate,
            message,
            hint,
            transient,
        } = self;
        MigrationFailure {
            migration: migration.to_owned(),
            statement,
            sqlstate,
            message,
            hint,
            transient,
            applied: applied.to_vec(),
        }
    }
}

#[cfg(test)]
#[path = "runner_tests.rs"]
mod tests;
