//! `cargo dev status`: which parts live, and where their logs are.

use std::time::Duration;

use anyhow::Result;
use comfy_table::{Table, presets};
use strum::IntoEnumIterator;

use crate::failure::Failure;
use crate::host::process;
use crate::layout::Layout;
use crate::parts::Part;
use crate::{platform, ui};

/// Prints a line for each part.
///
/// # Errors
/// When a part is dead, or the operator is not ready, so that scripts can ask.
pub async fn status(layout: &Layout) -> Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["PART", "STATE", "PID", "SINCE", "MEMORY", "LOG"]);
    let mut dead = Vec::new();
    for part in Part::iter() {
        let pid = process::pid(layout, part);
        if pid.is_none() {
            dead.push(part.as_ref().to_owned());
        }
        table.add_row([
            part.as_ref().to_owned(),
            if pid.is_some() { "running" } else { "dead" }.to_owned(),
            pid.map(|pid| pid.to_string()).unwrap_or_default(),
            process::age(layout, part).map(human).unwrap_or_default(),
            pid.and_then(process::resident_memory).unwrap_or_default(),
            layout.log(part.as_ref()).display().to_string(),
        ]);
    }
    if !layout.state.exists() {
        return Err(Failure::new("the stack is down", "run `cargo dev up`").into());
    }
    let operator = platform::operator_is_ready(layout).await;
    if let Err(refusal) = &operator {
        dead.push(format!("operator ({refusal:#})"));
    }
    table.add_row([
        "operator".to_owned(),
        if operator.is_ok() { "running" } else { "not ready" }.to_owned(),
        String::new(),
        String::new(),
        String::new(),
        platform::operator_log(layout)
            .map(|log| log.display().to_string())
            .unwrap_or_default(),
    ]);
    ui::print(&table.to_string());
    if dead.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("dead: {}", dead.join(", ")),
        "`cargo dev up` starts just these again",
    )
    .into())
}

fn human(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
