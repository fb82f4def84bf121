//! What is live is served by itself: no release that waits, is stuck or cannot be chosen disturbs it or holds it up.
//!
//! Three tables, each of two lists. A cell is what the next release does × what happens to what is live, or × when one
//! looks; one case is a row, so that its cells share a tenant. A cell that fails does not hide the next: a case names all
//! of its cells that failed.

mod actions;
mod cells;
mod differences;
mod live;
mod obstacles;
mod resized;
mod unresolved;

use std::time::Duration;

use super::{Case, without_webhook};
use differences::Difference;
use obstacles::Obstacle;
use unresolved::Refusal;

/// How soon what is live follows: a pass, a pod's start and a look of the Gateway's. No resync and no back-off fits in.
const PROMPT: Duration = Duration::from_secs(20);

/// A function for each row of a table, and the list of them as cases.
macro_rules! rows {
    ($list:ident, $alone:expr, $run:path; $($name:ident: $row:expr),+ $(,)?) => {
        $(async fn $name(env: &crate::suite::env::Env) -> anyhow::Result<()> {
            $run(env, $row).await
        })+

        fn $list() -> Vec<Case> {
            crate::cases![$alone; $($name),+]
        }
    };
}

rows! { stuck, false, obstacles::leave_what_is_live_alone;
    what_is_live_is_managed_while_the_next_releases_migration_fails: Obstacle::FailedMigration,
    what_is_live_is_managed_while_the_next_releases_migration_runs: Obstacle::LongMigration,
    what_is_live_is_managed_while_the_next_releases_migration_is_forbidden: Obstacle::ForbiddenMigration,
    what_is_live_is_managed_while_the_next_release_refuses_its_configuration: Obstacle::RefusedConfiguration,
    what_is_live_is_managed_while_a_secret_of_the_next_configuration_is_missing: Obstacle::MissingSecret,
    what_is_live_is_managed_while_the_database_is_down: Obstacle::DatabaseDown,
    what_is_live_is_managed_while_a_provider_of_the_next_release_is_not_ready: Obstacle::ProviderNotReady,
    what_is_live_is_managed_while_nothing_fits: Obstacle::NothingThatFits,
}

rows! { different, false, differences::leave_what_is_live_alone;
    a_release_with_another_base_path_moves_no_request_before_it_is_live: Difference::BasePath,
    a_release_with_other_tenant_tables_takes_no_grant_from_what_is_live: Difference::TenantTables,
    a_release_with_other_permissions_takes_none_from_what_is_live_nor_from_roles: Difference::Permissions,
    a_release_with_other_dependencies_closes_no_way_of_what_is_live: Difference::Dependencies,
    a_release_with_other_resources_changes_no_pod_of_what_is_live: Difference::Resources,
}

rows! { unresolved, false, unresolved::are_carried_out;
    switching_off_is_carried_out_while_no_version_is_in_the_range: Refusal::NothingInRange,
    switching_off_is_carried_out_while_another_plugin_excludes_what_is_wanted: Refusal::Conflict,
    switching_off_is_carried_out_while_a_downgrade_is_refused: Refusal::Downgrade,
}

rows! { unguarded, false, unresolved::are_carried_out;
    switching_off_is_carried_out_while_the_range_does_not_parse: Refusal::NoRange,
    switching_off_is_carried_out_while_a_deletion_waits_for_a_dependant: Refusal::DeletionWaits,
}

// The definition of the kind is everybody's.
rows! { undecodable, true, unresolved::are_carried_out;
    switching_off_is_carried_out_while_the_installation_does_not_decode: Refusal::Undecodable,
}

/// Cases of this folder.
pub fn cases() -> Vec<Case> {
    let mut all = stuck();
    all.extend(different());
    all.extend(resized::cases());
    all.extend(unresolved());
    all.extend(without_webhook(unguarded()));
    all.extend(without_webhook(undecodable()));
    all
}
