//! When a process is ready for requests.
//!
//! One that is for a single tenant is ready while that tenant's schema answers. One that is for many is ready as soon as
//! the schema of any of them has answered, and from then on until it is told to end:
//! - one tenant's database must not take all others out, so that it alone decides nothing, at no time;
//! - a candidate that reaches no tenant's database at all (its image, the network or the migrations are wrong) must not
//!   go live, so that it waits for the first answer;
//! - later, all replicas have the same databases: taking them out of the Service would not help a request, which is
//!   answered 503 with a reason instead. And nothing is asked while the process rests.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{Instrument, info, info_span};

use super::drain::{Drain, Phase};
use crate::plugin::Plugin;
use crate::problem::Problem;

/// Longest wait for the database when readiness is asked for: below the probe's timeout (2 s), so that the reason is seen.
const READY_TIMEOUT: Duration = Duration::from_millis(1500);
/// How many tenants are asked at the same time, so that the start of a process is no storm of connections.
const AT_ONCE: usize = 4;

/// Something that requests need, and that can be asked whether it is there.
pub(super) trait Answers: Clone + Send + Sync + 'static {
    /// Whether it is; 503 if not.
    fn answers(&self) -> impl Future<Output = Result<(), Problem>> + Send;
}

/// The plugin's schema of a tenant.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    tenant: String,
    database: PgPool,
    statement: &'static str,
}

impl Schema {
    /// The schema of a plugin, which is as it should be where this statement works.
    pub(super) fn new(plugin: &Plugin, statement: &'static str) -> Self {
        Self {
            tenant: plugin.environment.tenant.clone(),
            database: plugin.database.clone(),
            statement,
        }
    }
}

impl Answers for Schema {
    async fn answers(&self) -> Result<(), Problem> {
        let span = info_span!("readiness", tenant = self.tenant);
        async {
            match timeout(READY_TIMEOUT, sqlx::query(self.statement).execute(&self.database)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(Problem::unavailable("the database", &error)),
                Err(late) => Err(Problem::unavailable("the database", &late)),
            }
        }
        .instrument(span)
        .await
    }
}

/// Readiness of a process for one tenant.
pub(super) async fn of_one(drain: &Drain, schema: &impl Answers) -> Result<&'static str, Problem> {
    serving(drain)?;
    schema.answers().await?;
    Ok("ok\n")
}

/// Readiness of a process for many tenants.
#[derive(Debug)]
pub(super) struct OfMany<S> {
    schemas: Vec<S>,
    /// How many tenants there are, those without a schema too.
    tenants: usize,
    /// Whether a schema has answered.
    answered: AtomicBool,
    /// How many were asked so far: where the next probe begins.
    asked: AtomicUsize,
}

impl<S: Answers> OfMany<S> {
    /// The readiness of a process for so many tenants, whose schemas are these as far as they can be served.
    pub(super) fn new(tenants: usize, schemas: Vec<S>) -> Self {
        Self {
            schemas,
            tenants,
            answered: AtomicBool::new(false),
            asked: AtomicUsize::new(0),
        }
    }

    pub(super) async fn is_ready(&self, drain: &Drain) -> Result<&'static str, Problem> {
        serving(drain)?;
        // Where there is no tenant, there is nobody to wait for.
        if self.tenants == 0 || self.answered.load(Ordering::Relaxed) {
            return Ok("ok\n");
        }
        if self.schemas.is_empty() {
            return Err(Problem::not_ready(
                "no tenant can be served; the plugin's log says what each lacks",
            ));
        }
        if self.any_answers().await {
            info!("the first schema answers: ready until told to end");
            self.answered.store(true, Ordering::Relaxed);
            return Ok("ok\n");
        }
        Err(Problem::not_ready("no tenant's database has answered yet"))
    }

    /// Asks some schemas; at the next time it is the turn of those after them, so that a few that are down keep nobody
    /// waiting for ever.
    async fn any_answers(&self) -> bool {
        let first = self.asked.fetch_add(AT_ONCE, Ordering::Relaxed) % self.schemas.len();
        let some = self.schemas.iter().cycle().skip(first);
        let mut asked: JoinSet<_> = some
            .take(AT_ONCE.min(self.schemas.len()))
            .cloned()
            .map(|schema| async move { schema.answers().await })
            .collect();
        while let Some(answer) = asked.join_next().await {
            if matches!(answer, Ok(Ok(()))) {
                return true;
            }
        }
        false
    }
}

/// Nobody is ready who was told to end.
fn serving(drain: &Drain) -> Result<(), Problem> {
    if drain.phase() > Phase::Serving {
        return Err(Problem::not_ready("the process was told to end"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::serve::drain::Times;

    /// A schema that a test takes down, and that counts how often it was asked.
    #[derive(Clone)]
    struct Fake(Arc<(AtomicBool, AtomicUsize)>);

    impl Fake {
        fn up(up: bool) -> Self {
            Self(Arc::new((AtomicBool::new(up), AtomicUsize::default())))
        }

        fn set(&self, up: bool) {
            self.0.0.store(up, Ordering::SeqCst);
        }

        fn asked(&self) -> usize {
            self.0.1.load(Ordering::SeqCst)
        }
    }

    impl Answers for Fake {
        async fn answers(&self) -> Result<(), Problem> {
            self.0.1.fetch_add(1, Ordering::SeqCst);
            let up = self.0.0.load(Ordering::SeqCst);
            up.then_some(()).ok_or_else(|| Problem::not_ready("down"))
        }
    }

    fn drain() -> Drain {
        Drain::new(Times::default())
    }

    #[tokio::test]
    async fn one_tenant_that_is_down_at_the_start_keeps_the_others_from_nothing() {
        let readiness = OfMany::new(2, vec![Fake::up(false), Fake::up(true)]);
        assert!(readiness.is_ready(&drain()).await.is_ok());
    }

    #[tokio::test]
    async fn who_reaches_no_tenants_database_is_not_ready_until_one_answers() {
        let tenants = [Fake::up(false), Fake::up(false)];
        let readiness = OfMany::new(2, tenants.to_vec());
        assert_eq!(readiness.is_ready(&drain()).await.unwrap_err().status(), 503);
        tenants[1].set(true);
        assert!(readiness.is_ready(&drain()).await.is_ok());
    }

    #[tokio::test]
    async fn once_ready_no_database_takes_a_process_out_and_none_is_asked() {
        let tenants = [Fake::up(true)];
        let readiness = OfMany::new(1, tenants.to_vec());
        readiness.is_ready(&drain()).await.unwrap();
        tenants[0].set(false);
        assert!(readiness.is_ready(&drain()).await.is_ok());
        assert_eq!(tenants[0].asked(), 1);
    }

    #[tokio::test]
    async fn the_turn_comes_to_everybody_a_few_at_a_time() {
        let mut tenants: Vec<_> = (0..9).map(|_| Fake::up(false)).collect();
        tenants.push(Fake::up(true));
        let readiness = OfMany::new(10, tenants.clone());
        let asked = || tenants.iter().map(Fake::asked).sum::<usize>();
        for probe in 1..=2 {
            assert!(readiness.is_ready(&drain()).await.is_err());
            assert_eq!(asked(), probe * AT_ONCE);
        }
        assert!(readiness.is_ready(&drain()).await.is_ok());
    }

    #[tokio::test]
    async fn where_no_tenant_can_be_served_nobody_is_ready_and_where_there_is_none_everybody_is() {
        assert!(OfMany::<Fake>::new(2, Vec::new()).is_ready(&drain()).await.is_err());
        assert!(OfMany::<Fake>::new(0, Vec::new()).is_ready(&drain()).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_told_to_end_is_not_ready() {
        let drain = drain();
        tokio::join!(drain.run(async {}), async {
            drain.reached(Phase::Leaving).await;
            let readiness = OfMany::<Fake>::new(0, Vec::new());
            assert!(readiness.is_ready(&drain).await.is_err());
            assert!(of_one(&drain, &Fake::up(true)).await.is_err());
        });
    }
}
