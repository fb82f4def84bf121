//! A plugin's SQL as a list of statements: names put in, cut at its semicolons.
//!
//! No safety rests on this reading. A statement of a transaction is run by PL/pgSQL's EXECUTE, which refuses to begin,
//! end or part a transaction and to talk to the client, whatever the text is; one outside of a transaction is sent as
//! one statement, which the server checks. What is misread here fails there.

use plexica_crds::{
    plugin::migrations::{PLACEHOLDERS, not_repeatable},
    sql,
};

use super::PluginMigration;
use crate::backends::postgres::sql::identifier;

/// The statements of a migration, for these schemas.
///
/// # Errors
/// A sentence about what cannot be run.
pub(super) fn statements(
    migration: &PluginMigration,
    schema: &str,
    tenant_schema: &str,
) -> Result<Vec<String>, String> {
    let text = fill_in(&migration.sql, schema, tenant_schema)?;
    let statements = sql::statements(&text).map_err(|error| error.to_string())?;
    if !migration.transactional {
        for (index, statement) in statements.iter().enumerate() {
            if let Some(problem) = not_repeatable(statement) {
                return Err(format!("statement {}: {problem}", index + 1));
            }
        }
    }
    Ok(statements
        .into_iter()
        .map(|statement| statement.text.to_owned())
        .collect())
}

/// Puts the names of schemas in, in the bodies of functions too.
///
/// # Errors
/// A sentence about a placeholder that is unknown; in a text or comment it is none.
fn fill_in(template: &str, schema: &str, tenant_schema: &str) -> Result<String, String> {
    let [own, tenant] = PLACEHOLDERS.map(|name| format!("{{{{{name}}}}}"));
    if let Some(unknown) = sql::placeholders(template).find(|name| !PLACEHOLDERS.contains(name)) {
        return Err(format!(
            "{{{{{unknown}}}}} stands for nothing; there are {own} and {tenant}"
        ));
    }
    Ok(template
        .replace(&own, &identifier(schema))
        .replace(&tenant, &identifier(tenant_schema)))
}

/// A statement as PL/pgSQL's EXECUTE runs it.
pub(super) fn inside_transaction(statement: &str) -> String {
    let statement = dollar_quoted(statement);
    format!("DO {}", dollar_quoted(&format!("BEGIN EXECUTE {statement}; END")))
}

/// A text between dollar signs and a tag that does not occur in it; so no setting of the session changes how it is
/// read. The line breaks keep its own end from becoming part of a tag.
fn dollar_quoted(text: &str) -> String {
    let mut tag = "$q$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, 'q');
    }
    format!("{tag}\n{text}\n{tag}")
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
