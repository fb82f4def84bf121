//! Runs cases a few at a time and tells how they ended.

use std::{panic::AssertUnwindSafe, time::Duration, time::Instant};

use anyhow::{Result, anyhow, ensure};
use futures::{FutureExt, StreamExt, stream};

use super::{Case, Tally, env::Env};
use crate::{stack::Stack, ui};

/// Cases at once. They wait for backends most of the time; Keycloak takes four realms at once.
const CONCURRENCY: usize = 4;
/// Longest time for one case.
const DEADLINE: Duration = Duration::from_mins(8);

/// Runs the cases whose name or file contains `filter`: those that may share the stack, then those without the webhook,
/// then those that want to be alone.
pub async fn run(stack: &Stack, cases: Vec<Case>, filter: Option<&str>) -> Result<Tally> {
    let wanted = |case: &Case| {
        filter.is_none_or(|filter| {
            let words = filter.replace(' ', "_");
            case.name.contains(&words) || case.file.contains(&words)
        })
    };
    let (admitted, unguarded): (Vec<_>, Vec<_>) = cases.into_iter().filter(wanted).partition(|case| case.webhook);
    ensure!(
        !(admitted.is_empty() && unguarded.is_empty()),
        "there is no test of the name or file `{}`",
        filter.unwrap_or_default()
    );
    let env = Env::new(stack).await?;
    let mut tally = Tally::default();
    let (alone, shared): (Vec<_>, Vec<_>) = admitted.into_iter().partition(|case| case.alone);
    together(&env, shared, &mut tally).await;
    if !unguarded.is_empty() {
        stack.switch_webhook_off().await?;
        let (alone, shared): (Vec<_>, Vec<_>) = unguarded.into_iter().partition(|case| case.alone);
        together(&env, shared, &mut tally).await;
        one_by_one(&env, alone, &mut tally).await;
        stack.restore_webhook(&["webhook.enabled=true"]).await?;
    }
    // Last: some look at all that was done before.
    one_by_one(&env, alone, &mut tally).await;
    Ok(tally)
}

async fn together(env: &Env, cases: Vec<Case>, tally: &mut Tally) {
    let mut results = stream::iter(cases.into_iter().map(|case| one(env.clone(), case))).buffer_unordered(CONCURRENCY);
    while let Some(result) = results.next().await {
        tally.add(result);
    }
}

async fn one_by_one(env: &Env, cases: Vec<Case>, tally: &mut Tally) {
    for case in cases {
        tally.add(one(env.clone(), case).await);
    }
}

impl Tally {
    /// Counts one test.
    pub fn count(&mut self, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed += 1;
        }
    }

    /// Counts one end-to-end test; the error tells which one failed and why.
    fn add(&mut self, result: Result<(), String>) {
        self.count(result.is_ok());
        self.failures.extend(result.err());
    }
}

async fn one(env: Env, case: Case) -> Result<(), String> {
    let began = Instant::now();
    let env = env.for_case();
    let run = AssertUnwindSafe(tokio::time::timeout(DEADLINE, (case.run)(&env))).catch_unwind();
    let result = match run.await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(anyhow!("did not end within {} s", DEADLINE.as_secs())),
        Err(_) => Err(anyhow!("panicked")),
    };
    let name = case.name.replace('_', " ");
    let seconds = began.elapsed().as_secs_f32();
    let told = match &result {
        Ok(()) => String::new(),
        Err(_) => env.diagnostics().await,
    };
    // However it ended; what it leaves behind would be in the way of others.
    let cleaned = env.clean_up().await;
    match result.and(cleaned) {
        Ok(()) => {
            ui::print(&format!("ok      {name} ({seconds:.1} s)"));
            Ok(())
        }
        Err(error) => {
            ui::print(&format!("FAILED  {name} ({seconds:.1} s)\n        {error:#}\n{told}"));
            Err(format!("{name}: {error:#}"))
        }
    }
}
