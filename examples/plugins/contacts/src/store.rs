//! The plugin's table. Bare names are enough: the role's `search_path` is the plugin's schema, then the tenant's, where
//! `users` is (the manifest asks for it).

use plexica_plugin_kit::Problem;
use sqlx::PgPool;
use uuid::Uuid;

use crate::contact::{Contact, NewContact};

/// Name of the unique index on the e-mail address, in migration 0002.
const EMAIL_INDEX: &str = "contacts_email";

/// A statement that selects contacts as they are shown.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.name, c.email, c.phone, u.email AS created_by, to_json(c.created_at) #>> '{}' AS created_at \
             FROM contacts c LEFT JOIN users u ON u.keycloak_id = c.created_by ",
            $rest
        )
    };
}

/// A page of contacts by name, those that come after the contact of an id.
pub async fn page(database: &PgPool, after: Option<Uuid>, size: u16) -> Result<Vec<Contact>, Problem> {
    let contacts = sqlx::query_as(select!(
        "WHERE $1::uuid IS NULL OR (lower(c.name), c.id) > (SELECT lower(name), id FROM contacts WHERE id = $1) \
         ORDER BY lower(c.name), c.id LIMIT $2"
    ))
    .bind(after)
    .bind(i64::from(size))
    .fetch_all(database)
    .await?;
    Ok(contacts)
}

/// One contact.
pub async fn find(database: &PgPool, id: Uuid) -> Result<Contact, Problem> {
    let contact = sqlx::query_as(select!("WHERE c.id = $1"))
        .bind(id)
        .fetch_optional(database)
        .await?;
    contact.ok_or_else(|| none(id))
}

/// Adds a contact; gives its id.
pub async fn add(database: &PgPool, contact: &NewContact, by: &str) -> Result<Uuid, Problem> {
    let NewContact { name, email, phone } = contact;
    sqlx::query_scalar("INSERT INTO contacts (name, email, phone, created_by) VALUES ($1, $2, $3, $4) RETURNING id")
        .bind(name)
        .bind(email)
        .bind(phone)
        .bind(by)
        .fetch_one(database)
        .await
        .map_err(refused)
}

/// Changes a contact to this one.
pub async fn replace(database: &PgPool, id: Uuid, contact: &NewContact) -> Result<(), Problem> {
    let NewContact { name, email, phone } = contact;
    let changed = sqlx::query("UPDATE contacts SET name = $2, email = $3, phone = $4 WHERE id = $1")
        .bind(id)
        .bind(name)
        .bind(email)
        .bind(phone)
        .execute(database)
        .await
        .map_err(refused)?;
    if changed.rows_affected() == 0 {
        Err(none(id))
    } else {
        Ok(())
    }
}

/// Removes a contact.
pub async fn remove(database: &PgPool, id: Uuid) -> Result<(), Problem> {
    let removed = sqlx::query("DELETE FROM contacts WHERE id = $1")
        .bind(id)
        .execute(database)
        .await?;
    if removed.rows_affected() == 0 {
        Err(none(id))
    } else {
        Ok(())
    }
}

fn none(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no contact {id}"))
}

/// What it means that a row is not taken.
fn refused(error: sqlx::Error) -> Problem {
    match error.as_database_error().and_then(|refusal| refusal.constraint()) {
        Some(EMAIL_INDEX) => Problem::conflict("another contact has this e-mail address"),
        _ => error.into(),
    }
}
