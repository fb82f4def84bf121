//! One realm of ours: what differs from the spec, and setting it right.

use plexica_crds::names::RealmName;
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    Admin, IdentitySpec,
    client::{Answer, Keycloak},
    representation::{
        ADMIN_ROLE, AUTOMATION_CLIENT, clients, differing, mark, merged, new_user, roles, settings, username,
    },
};
use crate::backends::{BackendError, http::REQUEST_TIMEOUT};

/// All our clients' ids contain this.
const CLIENT_SEARCH: &str = "plexica-";
/// Administrators looked at; a tenant with more is not checked to the last.
const ADMINS_MAX: usize = 1000;

/// A realm and an account that may manage it.
pub(super) struct Realm<'a> {
    pub(super) keycloak: &'a Keycloak,
    pub(super) spec: &'a IdentitySpec,
    pub(super) plain_http: bool,
    pub(super) token: SecretString,
    /// Whether the account is the realm's automation client.
    pub(super) automation: bool,
}

/// What a realm has and should not, or should have and has not.
#[derive(Debug, Default)]
struct Found {
    /// Clients by their ids in the spec: what Keycloak has, if it has it.
    clients: Vec<(Value, Option<Value>)>,
    /// `None` if the role of administrators does not exist.
    admins: Option<Vec<String>>,
}

impl Realm<'_> {
    /// What differs from the spec, for people. At most two more requests.
    pub(super) async fn differences(&self, realm: &Value) -> Result<Vec<String>, BackendError> {
        let found = self.find().await?;
        let name = self.name();
        let mut differences: Vec<String> = differing(realm, &self.wanted())
            .iter()
            .map(|key| format!("realm {name}: {key}"))
            .collect();
        if !self.automation && realm["enabled"] != false {
            differences.push(format!("client {AUTOMATION_CLIENT} gets no token"));
        }
        for (wanted, client) in &found.clients {
            let id = &wanted["clientId"].as_str().unwrap_or_default();
            match client {
                None => differences.push(format!("client {id} is missing")),
                Some(client) => {
                    differences.extend(
                        differing(client, wanted)
                            .iter()
                            .map(|key| format!("client {id}: {key}")),
                    );
                }
            }
        }
        match &found.admins {
            None => differences.push(format!("role {ADMIN_ROLE} is missing")),
            Some(present) => {
                let missing = self.missing_admins(present).len();
                if missing > 0 {
                    // People's addresses stay out of conditions and logs.
                    differences.push(format!("{missing} administrator(s) are missing"));
                }
            }
        }
        Ok(differences)
    }

    /// Sets right what differs. The realm comes first: while it is disabled, little else can be done.
    pub(super) async fn converge(mut self, realm: &Value) -> Result<(), BackendError> {
        let wanted = self.wanted();
        if !differing(realm, &wanted).is_empty() {
            // The whole realm is sent: some fields that are left out fall back to defaults.
            self.must(Method::PUT, "", Some(&merged(realm, &wanted)), "its settings")
                .await?;
        }
        if !self.automation {
            self.become_automation().await?;
        }
        let found = self.find().await?;
        for (wanted, client) in &found.clients {
            self.converge_client(wanted, client.as_ref()).await?;
        }
        let present = match found.admins {
            Some(present) => present,
            None => self.make_roles().await.map(|()| Vec::new())?,
        };
        let missing = self.missing_admins(&present);
        if missing.is_empty() {
            return Ok(());
        }
        let role = self
            .must(Method::GET, &format!("/roles/{ADMIN_ROLE}"), None, "its roles")
            .await?
            .body;
        for admin in missing {
            self.make_admin(admin, &role).await?;
        }
        Ok(())
    }

    async fn converge_client(&self, wanted: &Value, found: Option<&Value>) -> Result<(), BackendError> {
        let Some(found) = found else {
            self.must(Method::POST, "/clients", Some(wanted), "its clients").await?;
            return Ok(());
        };
        if differing(found, wanted).is_empty() {
            return Ok(());
        }
        let id = found["id"].as_str().unwrap_or_default();
        self.must(
            Method::PUT,
            &format!("/clients/{id}"),
            Some(&merged(found, wanted)),
            "its clients",
        )
        .await?;
        Ok(())
    }

    async fn make_roles(&self) -> Result<(), BackendError> {
        for role in roles() {
            let answer = self.call(Method::POST, "/roles", Some(&role)).await?;
            if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
                return Err(self.failed(&answer, "its roles"));
            }
        }
        Ok(())
    }

    /// Makes a person, or finds the one of that name, and makes that person administrator.
    async fn make_admin(&self, admin: &Admin, role: &Value) -> Result<(), BackendError> {
        let what = "its administrators";
        let answer = self.call(Method::POST, "/users", Some(&new_user(admin))).await?;
        let id = match answer.status {
            StatusCode::CREATED => answer.made,
            StatusCode::CONFLICT => {
                let name = url::form_urlencoded::byte_serialize(username(admin).as_bytes()).collect::<String>();
                let found = self
                    .must(Method::GET, &format!("/users?exact=true&username={name}"), None, what)
                    .await?;
                found.body[0]["id"].as_str().map(str::to_owned)
            }
            _ => return Err(self.failed(&answer, what)),
        };
        let Some(id) = id else {
            return Err(BackendError::Refused(format!(
                "realm {}: an administrator's address belongs to a user of another name; rename that user",
                self.name()
            )));
        };
        self.must(
            Method::POST,
            &format!("/users/{id}/role-mappings/realm"),
            Some(&json!([role])),
            what,
        )
        .await?;
        Ok(())
    }

    fn missing_admins(&self, present: &[String]) -> Vec<&Admin> {
        self.spec
            .admins
            .iter()
            .filter(|admin| !present.contains(&username(admin)))
            .collect()
    }

    /// What the realm itself must hold.
    fn wanted(&self) -> Value {
        let mut wanted = settings(self.spec, self.plain_http);
        wanted.insert("attributes".into(), mark(&self.spec.owner).into());
        wanted.into()
    }

    /// Clients and administrators as they are: two requests.
    async fn find(&self) -> Result<Found, BackendError> {
        let secret = self.keycloak.automation_secret(&self.spec.owner)?;
        let search = format!("/clients?search=true&clientId={CLIENT_SEARCH}&first=0&max=50");
        let members = format!("/roles/{ADMIN_ROLE}/users?briefRepresentation=true&first=0&max={ADMINS_MAX}");
        let (clients_found, members) = futures::try_join!(
            self.must(Method::GET, &search, None, "its clients"),
            self.call(Method::GET, &members, None)
        )?;
        let client = |id: &Value| {
            let mut all = clients_found.body.as_array().into_iter().flatten();
            all.find(|client| client["clientId"] == *id).cloned()
        };
        let admins = match members.status {
            StatusCode::NOT_FOUND => None,
            status if status.is_success() => {
                let members = members.body.as_array().into_iter().flatten();
                Some(
                    members
                        .filter_map(|user| user["username"].as_str().map(str::to_owned))
                        .collect(),
                )
            }
            _ => return Err(self.failed(&members, "its administrators")),
        };
        let clients = clients(self.spec, &secret).into_iter().map(|wanted| {
            let found = client(&wanted["clientId"]);
            (wanted, found)
        });
        Ok(Found {
            clients: clients.collect(),
            admins,
        })
    }

    pub(super) async fn must(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        what: &str,
    ) -> Result<Answer, BackendError> {
        let answer = self.call(method, path, body).await?;
        if answer.status.is_success() {
            Ok(answer)
        } else {
            Err(self.failed(&answer, what))
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, BackendError> {
        self.keycloak
            .call(
                method,
                &format!("/{}{path}", self.name()),
                &self.token,
                body,
                REQUEST_TIMEOUT,
            )
            .await
    }

    fn failed(&self, answer: &Answer, what: &str) -> BackendError {
        self.keycloak.failed(answer, &format!("realm {} {what}", self.name()))
    }

    /// Its name.
    pub(super) fn name(&self) -> RealmName {
        self.spec.slug.realm()
    }
}
