//! Keycloak on the stack's PostgreSQL.

mod set_up;
pub mod snapshot;

use std::path::Path;

use anyhow::Result;
use secrecy::ExposeSecret;

use crate::credentials::{KEYCLOAK_ADMIN, KEYCLOAK_ROLE};
use crate::host::network::NODE;
use crate::host::process::{self, Launch};
use crate::parts::{Context, Part, postgres};
use crate::ui::Step;

/// Port of Keycloak.
pub const PORT: u16 = 8080;
/// Port of its health checks; the usual 9000 is MinIO's here.
const MANAGEMENT_PORT: u16 = 8090;
/// Where pods reach it, and the issuer of all tokens, by whichever address a caller came.
pub const PUBLIC_URL: &str = "http://keycloak.plexica-backends.svc.cluster.local:8080";

/// What `bin/kc.sh` gives to Java. The script is left out: it would stay as Keycloak's parent and not pass on SIGKILL.
const JAVA_OPTIONS: &[&str] = &[
    "-XX:+UseSerialGC",
    "-Xms256m",
    "-Xmx1g",
    "-XX:MetaspaceSize=96M",
    "-XX:+ExitOnOutOfMemoryError",
    // No files of its own in /tmp.
    "-XX:-UsePerfData",
    "-Dfile.encoding=UTF-8",
    "-Duser.language=en",
    "-Duser.country=US",
    "-Djava.security.egd=file:/dev/urandom",
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dpicocli.disable.closures=true",
    "-Dquarkus-log-max-startup-records=10000",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--enable-native-access=ALL-UNNAMED",
];

/// Keycloak, ready and set up. After the very first set-up the database is kept in the cache, so that later stacks start
/// from there: migrating an empty database and setting up is the slowest thing that a stack can do.
pub async fn keycloak(context: &Context) -> Result<()> {
    let home = context.tools.keycloak().await?;
    context
        .ui
        .step("keycloak", async |step| {
            start(context, step, &home).await?;
            if set_up::is_complete(&context.layout) {
                return Ok(());
            }
            step.says("making the operator's client");
            set_up::set_up(&context.layout, &context.credentials).await?;
            step.says("keeping the database for later stacks");
            process::stop(&context.layout, Part::Keycloak).await?;
            process::stop(&context.layout, Part::Postgres).await?;
            snapshot::take(&context.layout).await?;
            postgres::postgres(context).await?;
            start(context, step, &home).await?;
            step.result("ready, database kept for later stacks");
            Ok(())
        })
        .await
}

/// Where Keycloak is reached from the host.
pub fn url() -> String {
    format!("http://{NODE}:{PORT}")
}

async fn start(context: &Context, step: &Step, home: &Path) -> Result<()> {
    let temporary = context.layout.state_dir("keycloak/tmp")?;
    // Classes as the first start left them in memory, mapped instead of parsed: a fifth less work at every later start.
    let classes = home.join("classes.jsa");
    let sharing = if classes.exists() {
        format!("-XX:SharedArchiveFile={}", classes.display())
    } else if set_up::is_complete(&context.layout) {
        "-Xshare:auto".to_owned()
    } else {
        format!("-XX:ArchiveClassesAtExit={}", classes.display())
    };
    let launch = Launch::new("java")
        .args([sharing])
        .args(JAVA_OPTIONS.iter().copied())
        .args([
            format!("-Djava.io.tmpdir={}", temporary.display()),
            format!("-Dkc.home.dir={}", home.display()),
            format!("-Djboss.server.config.dir={}", home.join("conf").display()),
            "-cp".to_owned(),
            home.join("lib/quarkus-run.jar").display().to_string(),
            "io.quarkus.bootstrap.runner.QuarkusEntryPoint".to_owned(),
            "start".to_owned(),
            "--optimized".to_owned(),
            "--cache=local".to_owned(),
            "--http-enabled=true".to_owned(),
            // This address alone: Envoy has the same port on the Gateway's.
            format!("--http-host={NODE}"),
            format!("--http-port={PORT}"),
            format!("--http-management-port={MANAGEMENT_PORT}"),
            format!("--hostname={PUBLIC_URL}"),
            "--hostname-backchannel-dynamic=true".to_owned(),
            // Method, path and status of every request: tests count what the operator writes.
            "--http-access-log-enabled=true".to_owned(),
            format!("--db-url=jdbc:postgresql://{NODE}:{}/{KEYCLOAK_ROLE}", postgres::PORT),
            format!("--db-username={KEYCLOAK_ROLE}"),
        ])
        .env("KC_DB_PASSWORD", context.credentials.postgres_keycloak.expose_secret())
        .env("KC_BOOTSTRAP_ADMIN_USERNAME", KEYCLOAK_ADMIN)
        .env(
            "KC_BOOTSTRAP_ADMIN_PASSWORD",
            context.credentials.keycloak_admin.expose_secret(),
        );
    let ready = async || {
        reqwest::get(format!("http://{NODE}:{MANAGEMENT_PORT}/health/ready"))
            .await?
            .error_for_status()?;
        Ok(())
    };
    context.ensure(Part::Keycloak, step, &launch, ready).await
}
