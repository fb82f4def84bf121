//! `cargo dev token`: what a user's browser would have, to try a plugin by hand.

use anyhow::Result;
use plexica_crds::names::TenantSlug;

use crate::failure::Failure;
use crate::stack::Stack;
use crate::suite::clients::users;
use crate::suite::env::Env;
use crate::ui;

/// Name of the user, and of the client by which they log in.
const NAME: &str = "cargo-dev";

/// Prints an access token of a user of the tenant, who is made anew.
///
/// # Errors
/// When the stack is not up, or there is no such tenant with a realm.
pub async fn token(tenant: &str, admin: bool) -> Result<()> {
    let advice = "`cargo dev kubectl get tenants` lists them";
    let slug =
        TenantSlug::parse(tenant).map_err(|rule| Failure::new(format!("`{tenant}` is no tenant: {rule}"), advice))?;
    let env = Env::new(&Stack::running()?).await?;
    let role = if admin { users::ADMIN } else { users::USER };
    let token = users::token(&env, &slug, NAME, role).await;
    let token = token.map_err(|error| Failure::new(format!("no token of {slug}: {error:#}"), advice))?;
    ui::print(&token);
    Ok(())
}
