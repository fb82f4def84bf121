//! Whether a bearer token is an access token of the tenant's realm, meant for the platform's services.
//!
//! Keycloak's habits: <https://www.keycloak.org/docs/latest/server_admin/#_audience>. An access token has claim `typ`
//! `Bearer` (an ID token `ID`, a refresh token `Refresh`); `azp` is the client that asked for it; `aud` names services
//! only where an audience mapper says so.

use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Validation, decode, decode_header};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::Caller;
use super::keys::{Keys, NoKey, Source};

/// Difference between the clocks of issuer and plugin that is borne, in seconds.
const LEEWAY: u64 = 10;
/// The client of the platform's services (data-model.md, Realm): a token whose audience it is, is for us.
const SERVICES: &str = "plexica-api";
/// The browser's client: a token that it asked for is for us too, since its realm names no audience.
const BROWSER: &str = "plexica-web";

/// Why a token does not count.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Not three parts, an unknown algorithm (`none` among them), no key id, or critical headers.
    #[error("this is no signed token that the plugin understands")]
    Malformed,
    /// The token of another realm.
    #[error("the token was issued by another realm than this tenant's")]
    OtherIssuer,
    /// The issuer has no such key.
    #[error("the token is signed by a key that is not the tenant's")]
    UnknownKey,
    /// The signature is not of that key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Too late.
    #[error("the token has expired; get a new one")]
    Expired,
    /// Too early.
    #[error("the token does not count yet")]
    NotYet,
    /// An ID token or something else of the realm.
    #[error("this is no access token (claim typ is not Bearer)")]
    NotForAccess,
    /// An access token for something else.
    #[error("the token is not for this platform: its audience lacks plexica-api, and plexica-web did not ask for it")]
    Audience,
    /// A claim is missing or not as it should be.
    #[error("the token lacks a claim that it needs: iss, exp, sub, azp, typ")]
    Claims,
    /// No fault of the token.
    #[error("{0}")]
    Unavailable(NoKey),
}

/// What is read of a token. `iss` is a text here and not a list: the library would take either.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    azp: String,
    typ: String,
    #[serde(default)]
    aud: Audience,
    #[serde(default)]
    realm_access: RealmAccess,
}

/// RFC 7519 section 4.1.3: one text, or a list.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Audience {
    #[default]
    Nobody,
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, Default)]
struct RealmAccess {
    #[serde(default)]
    roles: Vec<String>,
}

impl Audience {
    fn names(&self, client: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::One(one) => one == client,
            Self::Many(many) => many.iter().any(|one| one == client),
        }
    }
}

/// Checks a token against the tenant's issuer; the caller is who the token says.
pub(super) async fn check<S: Source>(token: &str, issuer: &str, keys: &Keys<S>) -> Result<Caller, Refused> {
    let header = decode_header(token).map_err(|_| Refused::Malformed)?;
    // RFC 7515 section 4.1.11: what must be understood and is not, is refused.
    let (Some(id), None) = (&header.kid, &header.crit) else {
        return Err(Refused::Malformed);
    };
    // Nothing is trusted yet: this only spares the issuer a question for each token of another tenant.
    let unchecked: Value = insecure_decode_claims(token).map_err(|_| Refused::Malformed)?;
    if unchecked["iss"] != issuer {
        return Err(Refused::OtherIssuer);
    }
    let key = keys.find(id).await.map_err(|reason| match reason {
        NoKey::Unknown => Refused::UnknownKey,
        NoKey::Unavailable => Refused::Unavailable(reason),
    })?;
    let mut validation = Validation::new(key.algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    // Below, with Keycloak's two ways.
    validation.validate_aud = false;
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "sub"]);
    let claims = decode::<Claims>(token, &key.key, &validation)
        .map_err(|error| refused(&error))?
        .claims;
    if claims.iss != issuer {
        return Err(Refused::OtherIssuer);
    }
    if claims.typ != "Bearer" {
        return Err(Refused::NotForAccess);
    }
    if !claims.aud.names(SERVICES) && claims.azp != BROWSER {
        return Err(Refused::Audience);
    }
    Ok(Caller {
        subject: claims.sub,
        roles: claims.realm_access.roles,
        token: SecretString::from(token),
    })
}

fn refused(error: &Error) -> Refused {
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => Refused::Signature,
        ErrorKind::ExpiredSignature => Refused::Expired,
        ErrorKind::ImmatureSignature => Refused::NotYet,
        ErrorKind::InvalidIssuer => Refused::OtherIssuer,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => Refused::Claims,
        _ => Refused::Malformed,
    }
}
