//! The HTTP API.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json as Body, Router};
use plexica_plugin_kit::auth::{Caller, permission::Permission};
use plexica_plugin_kit::extract::{Json, Path, Query};
use plexica_plugin_kit::provider::Provider;
use plexica_plugin_kit::serve::Routes;
use plexica_plugin_kit::{Incomplete, Plugin, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::attachments::Attachments;
use crate::deal::{Configuration, Deal, Move, NewDeal};
use crate::store;

/// The plugin's permissions, as its manifest declares them.
const READ: Permission = Permission::new("crm:deals:read");
const WRITE: Permission = Permission::new("crm:deals:write");
const DELETE: Permission = Permission::new("crm:deals:delete");

/// Largest attachment: it is held in memory, of which the pod has 256 MiB.
const ATTACHMENT_MAX: usize = 5 << 20;
/// Longest media type that is recorded; the table checks the same.
const MEDIA_TYPE_MAX: usize = 100;

/// What handlers need.
#[derive(Clone)]
struct Crm {
    database: PgPool,
    configuration: Arc<Configuration>,
    contacts: Provider,
    attachments: Attachments,
}

/// All routes of the plugin.
pub fn routes(plugin: &Plugin) -> Result<Routes, Incomplete> {
    let contacts = Provider::find(plugin, "contacts");
    let state = Crm {
        database: plugin.database.clone(),
        configuration: Arc::new(plugin.environment.configuration()?),
        contacts: contacts.ok_or_else(|| Incomplete::because("PLEXICA_PLUGIN_CONTACTS_URL is not set"))?,
        attachments: Attachments::new(plugin)?,
    };
    let attachment = get(download).put(upload).layer(DefaultBodyLimit::max(ATTACHMENT_MAX));
    Ok(Routes {
        gated: Router::new()
            .route("/deals", get(list).post(create))
            .route("/deals/{id}", get(show).patch(advance).delete(remove))
            .route("/deals/{id}/attachment", attachment)
            .route("/summary", get(summary))
            .with_state(state),
        ready: "SELECT FROM deals LIMIT 1",
        ..Routes::default()
    })
}

/// What is shown of a contact: as much of it as plugin `contacts` sends and a deal needs.
#[derive(Debug, Deserialize, Serialize)]
struct Contact {
    id: Uuid,
    name: String,
    email: Option<String>,
}

impl Crm {
    async fn contact(&self, caller: &Caller, id: Uuid) -> Result<Option<Contact>, Problem> {
        self.contacts.get(caller, &["contacts", &id.to_string()]).await
    }
}

#[derive(Deserialize)]
struct Filter {
    stage: Option<String>,
}

async fn list(
    State(crm): State<Crm>,
    caller: Caller,
    Query(Filter { stage }): Query<Filter>,
) -> Result<Body<Value>, Problem> {
    READ.require(&caller, &crm.database).await?;
    let deals = store::list(&crm.database, stage.as_deref()).await?;
    Ok(Body(json!({ "currency": crm.configuration.currency, "deals": deals })))
}

/// Counts by stage: what plugin `sample-analytics` shows.
async fn summary(State(crm): State<Crm>, caller: Caller) -> Result<Body<Value>, Problem> {
    READ.require(&caller, &crm.database).await?;
    let stages: serde_json::Map<String, Value> = store::count(&crm.database)
        .await?
        .into_iter()
        .map(|(stage, deals)| (stage, deals.into()))
        .collect();
    Ok(Body(json!({ "stages": stages })))
}

async fn create(
    State(crm): State<Crm>,
    caller: Caller,
    Json(deal): Json<NewDeal>,
) -> Result<impl IntoResponse, Problem> {
    WRITE.require(&caller, &crm.database).await?;
    let (deal, stage) = deal.checked(&crm.configuration)?;
    if crm.contact(&caller, deal.contact_id).await?.is_none() {
        return Err(Problem::invalid(format!("there is no contact {}", deal.contact_id)));
    }
    let id = store::add(&crm.database, &deal, &stage).await?;
    let made = store::find(&crm.database, id).await?;
    // Relative (RFC 9110 section 10.2.2): the plugin does not know the prefix that the gateway strips.
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, format!("deals/{id}"))],
        Body(made),
    ))
}

/// A deal with its contact, which may be gone meanwhile.
async fn show(State(crm): State<Crm>, caller: Caller, Path(id): Path<Uuid>) -> Result<Body<Value>, Problem> {
    READ.require(&caller, &crm.database).await?;
    let deal = store::find(&crm.database, id).await?;
    let contact = crm.contact(&caller, deal.contact_id).await?;
    let currency = &crm.configuration.currency;
    Ok(Body(json!({ "currency": currency, "deal": deal, "contact": contact })))
}

async fn advance(
    State(crm): State<Crm>,
    caller: Caller,
    Path(id): Path<Uuid>,
    Json(Move { stage }): Json<Move>,
) -> Result<Body<Deal>, Problem> {
    WRITE.require(&caller, &crm.database).await?;
    let stage = crm.configuration.stage(Some(&stage))?;
    store::move_to(&crm.database, id, &stage).await?;
    store::find(&crm.database, id).await.map(Body)
}

async fn remove(State(crm): State<Crm>, caller: Caller, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    DELETE.require(&caller, &crm.database).await?;
    store::find(&crm.database, id).await?;
    // First the attachment: a deal without it can be removed again, an attachment without its deal is found by nobody.
    crm.attachments.remove(id).await?;
    store::remove(&crm.database, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn upload(
    State(crm): State<Crm>,
    caller: Caller,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    content: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    WRITE.require(&caller, &crm.database).await?;
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .filter(|text| text.len() <= MEDIA_TYPE_MAX)
        .ok_or_else(|| Problem::malformed("name the attachment's media type in header Content-Type"))?;
    store::find(&crm.database, id).await?;
    crm.attachments.put(id, content?).await?;
    store::attached(&crm.database, id, media_type).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn download(State(crm): State<Crm>, caller: Caller, Path(id): Path<Uuid>) -> Result<impl IntoResponse, Problem> {
    READ.require(&caller, &crm.database).await?;
    let deal = store::find(&crm.database, id).await?;
    let content = crm.attachments.get(id).await?;
    let (Some(media_type), Some(content)) = (deal.attachment, content) else {
        return Err(Problem::not_found(format!("deal {id} has no attachment")));
    };
    // What a user uploaded is not to be run by another's browser.
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((headers, content))
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
