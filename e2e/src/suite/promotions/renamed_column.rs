//! A release that renames a column goes live, comes back and goes live again, and at last takes the old column away, while
//! data is written all along.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use plexica_crds::plugin_installation::{Step, conditions::Type};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};

use super::installed::Installed;
use crate::{
    cases,
    suite::{
        Case,
        env::{Env, eventually},
        tenant_plugins::PATIENCE,
    },
};

/// Names that are stored in each stage at least.
const EACH: usize = 25;
/// Names that are stored in all, at most.
const MOST: usize = 50_000;
/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Cases of this file.
pub fn cases() -> Vec<Case> {
    cases![false;
        a_column_is_renamed_while_data_is_written_and_its_release_comes_goes_and_comes_again,
        a_first_installation_contracts_at_once,
    ]
}

fn first() -> Value {
    json!({ "name": "0001_names", "sql": "
        CREATE TABLE names (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL)" })
}

/// Both releases can work with the table in between: whichever column is written, the other one gets the same.
fn expanding() -> Value {
    json!({ "name": "0002_full_name", "sql": "
        ALTER TABLE names ADD COLUMN full_name text;
        CREATE FUNCTION same_name() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.full_name := coalesce(NEW.full_name, NEW.name);
            NEW.name := NEW.full_name;
            RETURN NEW;
        END $$;
        CREATE TRIGGER same_name BEFORE INSERT ON names FOR EACH ROW EXECUTE FUNCTION same_name();
        UPDATE names SET full_name = name WHERE full_name IS NULL" })
}

fn contracting() -> Value {
    json!({ "name": "0003_no_name", "phase": "Contract", "sql": "
        DROP TRIGGER same_name ON names;
        DROP FUNCTION same_name();
        ALTER TABLE names ALTER COLUMN full_name SET NOT NULL, DROP COLUMN name" })
}

async fn a_column_is_renamed_while_data_is_written_and_its_release_comes_goes_and_comes_again(env: &Env) -> Result<()> {
    let promotion = json!({ "promotionDelay": "1s", "connectionDrain": "1s", "rollbackWindow": "20s" });
    let installed = Installed::with(env, json!({ "migrations": [first()] }), promotion, 1).await?;
    let (plugins, id) = (&installed.plugins, installed.id.as_str());
    let writer = Writer::start(installed.address().await?);
    writer.goes_on().await?;

    let migrations = json!([first(), expanding(), contracting()]);
    installed
        .publish_with("2.0.0", json!({ "migrations": migrations }))
        .await?;
    installed.live("2.0.0").await?;
    writer.goes_on().await?;
    let said = plugins.says(id, Type::MigrationsApplied, "True", "Applied").await?;
    ensure!(
        said.message == "up to 0002_full_name; 1 of phase Contract wait until the rollback window has closed",
        "{}",
        said.message
    );
    plugins.says(id, Type::RollbackAvailable, "True", "StandingBy").await?;

    installed.request("rollback").await?;
    installed.back_in("1.0.0").await?;
    writer.goes_on().await?;
    writer.has_lost_nothing(&installed, "1.0.0").await?;

    installed.request("retry").await?;
    installed.live("2.0.0").await?;
    writer.goes_on().await?;
    installed
        .until("a standby", |status| {
            status.transition.as_ref().is_some_and(|t| t.step == Step::StandingBy)
        })
        .await?;
    ensure!(
        columns(&installed).await? == ["full_name", "id", "name"],
        "the old column is gone too early"
    );
    installed
        .until("contracted", |status| {
            let migrations = status.migrations.as_ref();
            migrations.is_some_and(|found| found.contracted.as_deref() == Some("0003_no_name"))
        })
        .await?;
    plugins.says(id, Type::RollbackAvailable, "False", "Contracted").await?;
    let said = plugins.says(id, Type::MigrationsApplied, "True", "Applied").await?;
    ensure!(said.message == "up to 0003_no_name", "{}", said.message);
    ensure!(
        columns(&installed).await? == ["full_name", "id"],
        "the old column is there"
    );
    writer.goes_on().await?;
    writer.has_lost_nothing(&installed, "2.0.0").await?;

    // Not even by name is a version let in that would not work.
    plugins.patch(id, json!({ "spec": { "version": "=1.0.0" } })).await?;
    let said = plugins.says(id, Type::MigrationsApplied, "False", "Contracted").await?;
    ensure!(said.message.contains("0003_no_name of 2.0.0"), "{}", said.message);
    writer.goes_on().await?;
    writer.has_lost_nothing(&installed, "2.0.0").await
}

async fn a_first_installation_contracts_at_once(env: &Env) -> Result<()> {
    let migrations = json!([first(), expanding(), contracting()]);
    let installed = Installed::with(env, json!({ "migrations": migrations }), json!({}), 1).await?;
    let said = installed
        .plugins
        .says(&installed.id, Type::MigrationsApplied, "True", "Applied")
        .await?;
    ensure!(said.message == "up to 0003_no_name", "{}", said.message);
    let migrations = installed.status().await?.migrations.context("no migrations")?;
    let counts = (migrations.applied, migrations.pending, migrations.contract_pending);
    ensure!(counts == (3, 0, 0), "{migrations:?}");
    ensure!(
        columns(&installed).await? == ["full_name", "id"],
        "the old column is there"
    );
    let way_back = installed
        .plugins
        .says(&installed.id, Type::RollbackAvailable, "False", "NoFormerVersion")
        .await?;
    ensure!(way_back.message == "there is no former version", "{}", way_back.message);
    Ok(())
}

async fn columns(installed: &Installed<'_>) -> Result<Vec<String>> {
    let schema = installed.plugins.schema(&installed.id)?;
    let columns = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns
         WHERE table_schema = $1 AND table_name = 'names' ORDER BY 1",
    );
    Ok(columns.bind(schema).fetch_all(&installed.env.postgres).await?)
}

/// Stores names, one after the other, on a connection each.
struct Writer {
    wrote: Arc<Mutex<Wrote>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Wrote {
    /// What was answered as stored.
    names: Vec<String>,
    /// The first request that was not answered so.
    failed: Option<String>,
}

impl Wrote {
    /// Notes how a request ended; answers whether to go on.
    fn note(&mut self, name: String, stored: Result<()>) -> bool {
        match stored {
            Ok(()) => self.names.push(name),
            Err(error) => self.failed = Some(format!("{name}: {error:#}")),
        }
        self.failed.is_none()
    }
}

impl Writer {
    fn start(address: SocketAddr) -> Self {
        let wrote = Arc::new(Mutex::new(Wrote::default()));
        let shared = Arc::clone(&wrote);
        let task = tokio::spawn(async move {
            for number in 0..MOST {
                let name = format!("name {number}");
                let stored = store(address, &name).await;
                if !shared.lock().unwrap_or_else(PoisonError::into_inner).note(name, stored) {
                    return;
                }
                sleep(PAUSE).await;
            }
        });
        Self { wrote, task }
    }

    /// What is stored by now; an error if anything was not.
    fn stored(&self) -> Result<Vec<String>> {
        let wrote = self.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        ensure!(wrote.failed.is_none(), "{}", wrote.failed.clone().unwrap_or_default());
        Ok(wrote.names.clone())
    }

    /// Waits until some more are stored.
    async fn goes_on(&self) -> Result<()> {
        let before = self.stored()?.len();
        eventually("more names", PATIENCE, async || {
            let count = self.stored()?.len() - before;
            ensure!(count >= EACH, "{count} names");
            Ok(())
        })
        .await
    }

    /// Everything that was stored is there, once, whichever release is asked.
    async fn has_lost_nothing(&self, installed: &Installed<'_>, version: &str) -> Result<()> {
        let stored = self.stored()?;
        let answers = installed.plugins.ask(&installed.id, "/version").await?;
        ensure!(answers["version"] == version, "it answers {answers}");
        let listed = installed.plugins.ask(&installed.id, "/names").await?;
        let listed: Vec<String> = serde_json::from_value(listed).context("no list of names")?;
        let known: BTreeSet<_> = listed.iter().collect();
        ensure!(known.len() == listed.len(), "some names are there twice");
        let lost: Vec<_> = stored.iter().filter(|name| !known.contains(name)).collect();
        ensure!(lost.is_empty(), "{version} does not know {lost:?}");
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn store(address: SocketAddr, name: &str) -> Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
    let request = client.post(format!("http://{address}/names")).body(name.to_owned());
    let answer = request
        .header("content-type", "text/plain; charset=utf-8")
        .send()
        .await?;
    let status = answer.status();
    ensure!(
        status.as_u16() == 201,
        "{status}: {}",
        answer.text().await.unwrap_or_default()
    );
    Ok(())
}
