//! Migrations run beside passes: they take as long as they take, and meanwhile requests are led, repaired and gone back with.
//!
//! A pass that begins them waits a moment, since most are over by then. Else it ends, those that follow leave the database alone, and
//! the one that is asked for by the end of the migrations goes on. Nothing is kept of this when the operator ends: PostgreSQL knows
//! what was applied, and whoever comes next ends the session that was at it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, channel::mpsc};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use plexica_crds::{
    PluginInstallation,
    plugin::MigrationPhase,
    plugin_installation::conditions::{Outcome, Reason},
};
use tokio::time::timeout;
use tracing::Instrument;

use crate::{
    backends::{
        BackendError,
        postgres::plugin::{AppliedMigration, MigrationError, MigrationLimits},
    },
    runtime::controller::{Root, Triggers},
};

/// How long a pass waits for them. A rollback that is asked for meanwhile waits as long.
const MOMENT: Duration = Duration::from_millis(500);

/// What became of migrations: those that were applied, in order.
pub type Migrated = Result<Vec<AppliedMigration>, MigrationError>;

/// Migrations of one release and phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The release's version.
    pub version: String,
    /// The phase.
    pub phase: MigrationPhase,
    /// Names of those that are to be applied.
    pub names: Vec<String>,
}

impl Batch {
    /// How it is told that they run.
    pub fn outcome(&self) -> Outcome {
        let Self { version, names, .. } = self;
        let minutes = MigrationLimits::default().deadline.as_secs() / 60;
        let what = if names.is_empty() {
            format!("comparing the migrations of {version} with those that are applied")
        } else {
            format!("applying {} of {version}", names.join(", "))
        };
        Outcome::Waiting(Reason::Migrating, format!("{what}; one is ended after {minutes} min"))
    }

    /// What is applied changes with time; a release's phase is run once at a time.
    fn is_of(&self, other: &Self) -> bool {
        (&self.version, self.phase) == (&other.version, other.phase)
    }
}

enum Run {
    /// A pass waits for it, or is to be told.
    UnderWay { batch: Batch, is_awaited: bool },
    /// No pass has seen that yet.
    Ended(Batch, Migrated),
}

/// The installation's uid, and the phase.
type Key = (String, MigrationPhase);

/// Both phases.
const PHASES: [MigrationPhase; 2] = [MigrationPhase::Expand, MigrationPhase::Contract];

#[derive(Default)]
struct Runs {
    /// What became of one phase is kept while the other is looked at.
    of: HashMap<Key, Run>,
    ended: Option<mpsc::UnboundedSender<ObjectRef<Root<PluginInstallation>>>>,
}

/// The migrations of all installations that run.
#[derive(Clone, Default)]
pub struct Migrating(Arc<Mutex<Runs>>);

impl Migrating {
    /// Installations whose migrations have ended after their pass: they are to be looked at.
    pub fn ended(&self) -> Triggers<PluginInstallation> {
        let (sender, receiver) = mpsc::unbounded();
        self.lock().ended = Some(sender);
        receiver.map(Ok).boxed()
    }

    /// The migrations of an installation that run.
    pub fn under_way(&self, uid: &str) -> Option<Batch> {
        let all = self.lock();
        let mut runs = PHASES.iter().filter_map(|phase| all.of.get(&(uid.to_owned(), *phase)));
        runs.find_map(|run| match run {
            Run::UnderWay { batch, .. } => Some(batch.clone()),
            Run::Ended(..) => None,
        })
    }

    /// Runs migrations, unless such have ended since an earlier pass: what became of them. `None` if they need longer than a moment.
    pub async fn run(
        &self,
        of: &PluginInstallation,
        batch: Batch,
        migrations: impl Future<Output = Migrated> + Send + 'static,
    ) -> Option<Migrated> {
        let uid = of.uid().unwrap_or_default();
        let key = (uid.clone(), batch.phase);
        let ended = self.take(&key, &batch);
        if ended.is_some() || self.under_way(&uid).is_some() {
            return ended;
        }
        let run = Run::UnderWay {
            batch: batch.clone(),
            is_awaited: true,
        };
        self.lock().of.insert(key.clone(), run);
        let (all, key_of_run) = (self.clone(), key.clone());
        let of = ObjectRef::new(&of.name_any()).within(&of.namespace().unwrap_or_default());
        let run = async move {
            let migrated = tokio::spawn(migrations.in_current_span()).await;
            all.end(&key_of_run, of, migrated.unwrap_or_else(|_| Err(panicked())));
        };
        // Either it has ended, or the pass ends.
        let _ = timeout(MOMENT, tokio::spawn(run.in_current_span())).await;
        self.take(&key, &batch)
    }

    /// The installation is gone.
    pub fn forget(&self, uid: &str) {
        let mut all = self.lock();
        for phase in PHASES {
            all.of.remove(&(uid.to_owned(), phase));
        }
    }

    /// What became of these migrations, once; if they are under way, their end will be told.
    fn take(&self, key: &Key, batch: &Batch) -> Option<Migrated> {
        let mut all = self.lock();
        if let Some(Run::UnderWay { is_awaited, .. }) = all.of.get_mut(key) {
            *is_awaited = false;
            return None;
        }
        match all.of.remove(key)? {
            Run::Ended(ended, migrated) if ended.is_of(batch) => Some(migrated),
            Run::Ended(..) | Run::UnderWay { .. } => None,
        }
    }

    fn end(&self, key: &Key, of: ObjectRef<Root<PluginInstallation>>, migrated: Migrated) {
        let mut all = self.lock();
        let Some(Run::UnderWay { batch, is_awaited }) = all.of.remove(key) else {
            // The installation is gone.
            return;
        };
        all.of.insert(key.clone(), Run::Ended(batch, migrated));
        if let Some(ended) = all.ended.as_ref().filter(|_| !is_awaited) {
            // Nobody listens when the operator ends.
            let _ = ended.unbounded_send(of);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn panicked() -> MigrationError {
    BackendError::Unexpected("a run of migrations panicked; look at the operator's log".to_owned()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::sync::oneshot;

    fn installation() -> PluginInstallation {
        let mut installation = PluginInstallation::new("crm", serde_json::from_str("{}").unwrap());
        installation.metadata.namespace = Some("tenant-acme".to_owned());
        installation.metadata.uid = Some("one".to_owned());
        installation
    }

    fn batch(phase: MigrationPhase) -> Batch {
        Batch {
            version: "2.0.0".to_owned(),
            phase,
            names: vec!["0002_more".to_owned()],
        }
    }

    const EXPAND: MigrationPhase = MigrationPhase::Expand;

    fn applied() -> Vec<AppliedMigration> {
        vec![AppliedMigration {
            name: "0002_more".to_owned(),
            duration: Duration::from_secs(1),
        }]
    }

    fn never() -> Migrated {
        unreachable!("it is not to be run")
    }

    #[tokio::test]
    async fn what_is_over_in_a_moment_is_known_to_the_pass_that_began_it_and_causes_no_other() {
        let all = Migrating::default();
        let mut ended = all.ended();
        let migrated = all.run(&installation(), batch(EXPAND), async { Ok(applied()) }).await;
        assert!(matches!(migrated, Some(Ok(applied)) if applied.len() == 1));
        assert!(all.under_way("one").is_none());
        assert!(ended.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_takes_longer_ends_the_pass_and_its_end_causes_one_that_learns_of_it() {
        let all = Migrating::default();
        let mut ended = all.ended();
        let (end, awaited) = oneshot::channel();
        let run = async {
            awaited.await.unwrap();
            Ok(applied())
        };
        assert!(all.run(&installation(), batch(EXPAND), run).await.is_none());
        let under_way = all.under_way("one").map(|batch| batch.outcome());
        assert!(
            matches!(under_way, Some(Outcome::Waiting(Reason::Migrating, said)) if said.starts_with("applying 0002_more of 2.0.0; "))
        );
        let second = async { never() };
        assert!(all.run(&installation(), batch(EXPAND), second).await.is_none());

        end.send(()).unwrap();
        let looked_at = ended.next().await.unwrap().unwrap();
        assert_eq!(
            (looked_at.name.as_str(), looked_at.namespace.as_deref()),
            ("crm", Some("tenant-acme"))
        );
        assert!(all.under_way("one").is_none());
        let again = async { never() };
        assert!(
            all.run(&installation(), batch(EXPAND), again)
                .await
                .is_some_and(|migrated| migrated.is_ok())
        );
        assert!(ended.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn what_became_of_others_says_nothing_of_these() {
        let all = Migrating::default();
        let (end, awaited) = oneshot::channel();
        let mut ended = all.ended();
        let run = async {
            awaited.await.unwrap();
            Ok(applied())
        };
        assert!(
            all.run(&installation(), batch(MigrationPhase::Contract), run)
                .await
                .is_none()
        );
        end.send(()).unwrap();
        ended.next().await.unwrap().unwrap();
        let none = all.run(&installation(), batch(EXPAND), async { Ok(vec![]) }).await;
        assert!(matches!(none, Some(Ok(applied)) if applied.is_empty()));
        // And it is not lost: a Contract migration that failed is told, not begun again.
        let contract = batch(MigrationPhase::Contract);
        let kept = all.run(&installation(), contract, async { never() }).await;
        assert!(matches!(kept, Some(Ok(applied)) if applied.len() == 1));
    }

    #[tokio::test]
    async fn a_run_that_panics_is_an_error_of_it() {
        let all = Migrating::default();
        let migrated = all.run(&installation(), batch(EXPAND), async { never() }).await;
        assert!(matches!(
            migrated,
            Some(Err(MigrationError::Backend(BackendError::Unexpected(_))))
        ));
    }

    #[test]
    fn what_ends_after_its_installation_is_forgotten() {
        let all = Migrating::default();
        let mut ended = all.ended();
        let run = Run::UnderWay {
            batch: batch(EXPAND),
            is_awaited: false,
        };
        let key = ("one".to_owned(), EXPAND);
        all.lock().of.insert(key.clone(), run);
        all.forget("one");
        all.end(&key, ObjectRef::new("crm"), Ok(applied()));
        assert!(all.lock().of.is_empty());
        assert!(ended.next().now_or_never().is_none());
    }
}
