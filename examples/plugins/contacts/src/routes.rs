//! The HTTP API.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json as Body, Router};
use plexica_plugin_kit::auth::{Caller, permission::Permission};
use plexica_plugin_kit::extract::{Json, Path, Query};
use plexica_plugin_kit::serve::Routes;
use plexica_plugin_kit::{Incomplete, Plugin, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::contact::{Configuration, Contact, NewContact};
use crate::store;

/// The plugin's permissions, as its manifest declares them.
const READ: Permission = Permission::new("contacts:contacts:read");
const WRITE: Permission = Permission::new("contacts:contacts:write");
const DELETE: Permission = Permission::new("contacts:contacts:delete");

/// What handlers need.
#[derive(Clone)]
struct Contacts {
    database: PgPool,
    configuration: Arc<Configuration>,
}

/// All routes of the plugin.
pub fn routes(plugin: &Plugin) -> Result<Routes, Incomplete> {
    let state = Contacts {
        database: plugin.database.clone(),
        configuration: Arc::new(plugin.environment.configuration()?),
    };
    Ok(Routes {
        gated: Router::new()
            .route("/contacts", get(list).post(create))
            .route("/contacts/{id}", get(show).put(replace).delete(remove))
            .with_state(state),
        ready: "SELECT FROM contacts LIMIT 1",
        ..Routes::default()
    })
}

#[derive(Deserialize)]
struct Page {
    after: Option<Uuid>,
}

async fn list(
    State(state): State<Contacts>,
    caller: Caller,
    Query(Page { after }): Query<Page>,
) -> Result<Body<Value>, Problem> {
    READ.require(&caller, &state.database).await?;
    let size = state.configuration.page_size;
    let contacts = store::page(&state.database, after, size).await?;
    let full = contacts.len() == usize::from(size);
    let next = contacts.last().filter(|_| full).map(|last| last.id);
    Ok(Body(json!({ "contacts": contacts, "next": next })))
}

async fn create(
    State(state): State<Contacts>,
    caller: Caller,
    Json(contact): Json<NewContact>,
) -> Result<impl IntoResponse, Problem> {
    WRITE.require(&caller, &state.database).await?;
    let contact = contact.checked(&state.configuration)?;
    let id = store::add(&state.database, &contact, &caller.subject).await?;
    let made = store::find(&state.database, id).await?;
    // Relative (RFC 9110 section 10.2.2): the plugin does not know the prefix that the gateway strips.
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, format!("contacts/{id}"))],
        Body(made),
    ))
}

async fn show(State(state): State<Contacts>, caller: Caller, Path(id): Path<Uuid>) -> Result<Body<Contact>, Problem> {
    READ.require(&caller, &state.database).await?;
    store::find(&state.database, id).await.map(Body)
}

async fn replace(
    State(state): State<Contacts>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(contact): Json<NewContact>,
) -> Result<Body<Contact>, Problem> {
    WRITE.require(&caller, &state.database).await?;
    let contact = contact.checked(&state.configuration)?;
    store::replace(&state.database, id, &contact).await?;
    store::find(&state.database, id).await.map(Body)
}

async fn remove(State(state): State<Contacts>, caller: Caller, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    DELETE.require(&caller, &state.database).await?;
    store::remove(&state.database, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_declares_what_the_code_uses() {
        let manifest: Value = serde_saphyr::from_str(include_str!("../plugin.yaml")).unwrap();
        let declared: Vec<_> = manifest["spec"]["permissions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["key"])
            .collect();
        assert_eq!(declared, [READ, WRITE, DELETE].map(Permission::key));
        let defaults = &manifest["spec"]["configuration"]["defaults"];
        Configuration::deserialize(defaults).unwrap();
    }
}
