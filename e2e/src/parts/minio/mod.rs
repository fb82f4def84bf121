//! MinIO, and the operator's user in it.

mod set_up;

use anyhow::Result;
use secrecy::ExposeSecret;

use crate::credentials::S3_ROOT;
use crate::host::network::NODE;
use crate::host::process::Launch;
use crate::parts::{Context, Part};
use crate::tools::go;

/// Port of the S3 API and of MinIO's admin API.
pub const PORT: u16 = 9000;
/// MinIO's region.
pub const REGION: &str = "us-east-1";

/// MinIO, ready and set up.
pub async fn minio(context: &Context) -> Result<()> {
    let program = context.tools.go(go::MINIO).await?.join("minio");
    let data = context.layout.state_dir("minio")?;
    let launch = Launch::new(program)
        .args([
            "server".to_owned(),
            format!("--address={NODE}:{PORT}"),
            data.display().to_string(),
        ])
        .env("HOME", data.display().to_string())
        .env("MINIO_ROOT_USER", S3_ROOT)
        .env("MINIO_ROOT_PASSWORD", context.credentials.s3_root.expose_secret())
        .env("MINIO_REGION", REGION)
        .env("MINIO_BROWSER", "off")
        .env("MINIO_UPDATE", "off")
        .env("MINIO_CALLHOME_ENABLE", "off");
    context
        .ui
        .step("minio", async |step| {
            let ready = async || {
                reqwest::get(format!("{}/minio/health/ready", url()))
                    .await?
                    .error_for_status()?;
                Ok(())
            };
            context.ensure(Part::Minio, step, &launch, ready).await?;
            set_up::set_up(&context.layout, &context.credentials).await
        })
        .await
}

/// Where MinIO is reached from the host.
pub fn url() -> String {
    format!("http://{NODE}:{PORT}")
}
