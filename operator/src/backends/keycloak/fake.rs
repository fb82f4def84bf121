//! Realms in memory.

use std::sync::LazyLock;

use async_trait::async_trait;
use plexica_crds::{names::TenantSlug, ownership::Owner};
use url::Url;

use super::{IdentityBackend, IdentitySpec, IdentityState, issuer_of};
use crate::backends::{
    BackendError, Breaches, Observed,
    fake::{Call, Described, Fake, Seen},
};

/// What issuers begin with.
static ISSUERS: LazyLock<Url> = LazyLock::new(|| match Url::parse("https://id.example.com") {
    Ok(url) => url,
    Err(error) => unreachable!("{error}"),
});

/// An identity backend in memory.
pub type FakeIdentity = Fake<IdentitySpec>;

impl Described for IdentitySpec {
    type Key = TenantSlug;

    fn thing(slug: &TenantSlug) -> String {
        format!("realm {}", slug.realm())
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    fn key(&self) -> &TenantSlug {
        &self.slug
    }

    fn differences(&self, wanted: &Self) -> Vec<String> {
        let Self {
            owner: _,
            slug: _,
            display_name,
            login_theme,
            access_token_lifespan,
            sso_session_idle,
            sso_session_max,
            redirect_uris,
            web_origins,
            admins,
        } = self;
        let checks = [
            ("displayName", *display_name == wanted.display_name),
            (
                "loginTheme",
                wanted.login_theme.is_none() || *login_theme == wanted.login_theme,
            ),
            (
                "accessTokenLifespan",
                *access_token_lifespan == wanted.access_token_lifespan,
            ),
            ("ssoSessionIdleTimeout", *sso_session_idle == wanted.sso_session_idle),
            ("ssoSessionMaxLifespan", *sso_session_max == wanted.sso_session_max),
            ("redirectUris", *redirect_uris == wanted.redirect_uris),
            ("webOrigins", *web_origins == wanted.web_origins),
            (
                "administrators",
                wanted.admins.iter().all(|admin| admins.contains(admin)),
            ),
        ];
        checks
            .iter()
            .filter(|(_, same)| !same)
            .map(|(key, _)| (*key).to_owned())
            .collect()
    }
}

#[async_trait]
impl IdentityBackend for FakeIdentity {
    async fn observe(&self, spec: &IdentitySpec) -> Result<Observed<IdentityState>, BackendError> {
        let observed = self.look(spec).await?;
        Ok(observed.map(|Seen { differences, .. }| IdentityState { differences }))
    }

    async fn create(&self, spec: &IdentitySpec) -> Result<(), BackendError> {
        self.bring(Call::Create, spec, None).await
    }

    async fn update(&self, spec: &IdentitySpec) -> Result<(), BackendError> {
        self.bring(Call::Update, spec, None).await
    }

    async fn revoke(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        self.shut(owner, slug).await
    }

    async fn delete(&self, owner: &Owner, slug: &TenantSlug) -> Result<(), BackendError> {
        self.remove(owner, slug).await
    }

    async fn verify_isolation(&self, _owner: &Owner, slug: &TenantSlug) -> Result<Breaches, BackendError> {
        self.open(slug, None).await
    }

    fn issuer(&self, slug: &TenantSlug) -> Url {
        issuer_of(&ISSUERS, slug)
    }
}
