//! A plugin's migrations, and what became of them.

use std::{fmt, time::Duration};

use plexica_crds::plugin::MigrationPhase;

use crate::backends::BackendError;

/// A script of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginMigration {
    /// Its name, by which it is recorded.
    pub name: String,
    /// The text, with `{{schema}}` and `{{tenant_schema}}` where the names of schemas shall be.
    pub sql: String,
    /// When it runs.
    pub phase: MigrationPhase,
    /// Whether all of it is one transaction. Otherwise each statement stands alone, and only those are accepted that
    /// do no harm when they are run again.
    pub transactional: bool,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MigrationLimits {
    /// Waiting for a lock that somebody else holds.
    pub lock_timeout: Duration,
    /// One statement.
    pub statement_timeout: Duration,
    /// One migration; a script cannot change this limit, it is kept by the operator.
    pub deadline: Duration,
}

impl Default for MigrationLimits {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_mins(2),
            deadline: Duration::from_mins(5),
        }
    }
}

/// A migration that was applied by this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its name.
    pub name: String,
    /// How long it took, from its first statement until it was recorded.
    pub duration: Duration,
}

/// Why migrations did not get to the end.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// The database, not a script: also a checksum that changed ([`BackendError::MigrationChanged`]).
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A script cannot be run as it is written; nothing was run.
    #[error("migration {migration} cannot be run: {message}")]
    Invalid {
        /// Name of the migration.
        migration: String,
        /// What is wrong, for people.
        message: String,
    },
    /// Contract migrations were asked for while one that expands is not applied; nothing was run.
    #[error("migration {migration} expands and is not applied yet: migrations that contract wait for it")]
    NotExpanded {
        /// Name of the migration.
        migration: String,
    },
    /// A script failed, or was ended.
    #[error(transparent)]
    Failed(Box<MigrationFailure>),
}

/// How a script failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct MigrationFailure {
    /// Name of the migration. Nothing of it was applied, unless it is not transactional.
    pub migration: String,
    /// Which of its statements, counted from 1; `None` if it was none of them but the end of the transaction.
    pub statement: Option<usize>,
    /// What PostgreSQL calls it; `None` if it was not PostgreSQL that ended it.
    pub sqlstate: Option<String>,
    /// What happened, in PostgreSQL's words or ours.
    pub message: String,
    /// What to do.
    pub hint: Option<&'static str>,
    /// Whether the same script may well succeed when it is tried again.
    pub transient: bool,
    /// What this call applied before.
    pub applied: Vec<AppliedMigration>,
}

impl fmt::Display for MigrationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "migration {}", self.migration)?;
        if let Some(statement) = self.statement {
            write!(f, ", statement {statement}")?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, " (SQLSTATE {sqlstate})")?;
        }
        match self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// What to do about a SQLSTATE (<https://www.postgresql.org/docs/18/errcodes-appendix.html>).
pub(super) fn hint(sqlstate: &str) -> Option<&'static str> {
    Some(match sqlstate {
        "42501" => {
            "a plugin's script may change its own schema only, and use those tables of the tenant that its manifest \
             declares in database.tenantTables"
        }
        "55P03" => "the table is in use; it is tried again, or split the change into steps with short locks",
        "40P01" | "40001" => "another transaction was in the way; it is tried again",
        "57014" => "the statement took too long; split it, or move the work out of the migration",
        "57P01" | "57P02" | "57P03" => "the server ended the session; it is tried again",
        "25P04" | "25P03" => "the transaction took too long; split the migration",
        "42P07" | "42710" | "42701" | "42P06" | "42723" => {
            "it exists already, made by an earlier migration or by hand; rename it, or drop the other one"
        }
        "42P01" | "42703" | "42883" | "42704" | "3F000" => {
            "name the schema ({{schema}}.…), and check that an earlier migration makes it"
        }
        "23505" | "23503" | "23502" | "23514" | "23P01" => {
            "rows that are there break the new rule; put them right in the script before it"
        }
        "0A000" | "2D000" | "25001" => {
            "a migration is one transaction and neither begins nor ends one; what cannot run inside of one needs \
             transactional: false"
        }
        "42601" => "the SQL is not well formed",
        "53100" => "the disk of the database is full",
        "53200" | "53300" | "53400" => "the database is short of resources; it is tried again",
        _ => return None,
    })
}

/// Whether a script that was refused so may well succeed later.
pub(super) fn is_transient(sqlstate: &str) -> bool {
    matches!(sqlstate, "55P03" | "40P01" | "40001" | "57P01" | "57P02" | "57P03")
        || ["08", "53", "58"].iter().any(|class| sqlstate.starts_with(class))
}
