//! Tables for people, and one line each for machines.

use comfy_table::Table;

use super::{AtOnce, InTurn, Level, Memory, TENANTS};
use crate::{
    bench::{
        raw::REALMS_AT_ONCE,
        stats::{Sample, per_second, ratio, text},
        table,
    },
    ui,
};

/// Most that the operator may take one after the other, as a multiple of the slowest raw call.
const GOAL: f64 = 1.15;

/// Prints everything; the last line sums up.
pub fn tell(name: &str, levels: &[Level], memory: &[Memory]) {
    ui::print(&format!("\n{}\n", times(levels)));
    ui::print(&format!("{}\n", throughput(levels)));
    ui::print(&format!("{}\n", resident(memory)));
    for level in levels {
        ui::print(&in_turn_line(
            &format!("{name}/in-turn/{}", level.present),
            &level.in_turn,
        ));
        ui::print(&at_once_line(
            &format!("{name}/at-once/{}", level.present),
            &level.at_once,
        ));
    }
    let mut all = InTurn::default();
    let mut failed = 0;
    for Level { in_turn, at_once, .. } in levels {
        all.realm.extend(&in_turn.realm);
        all.transaction.extend(&in_turn.transaction);
        all.storage.extend(&in_turn.storage);
        all.together.extend(&in_turn.together);
        all.tenants.extend(&in_turn.tenants);
        failed += at_once.realms.0.failed + at_once.raw.0.failed + at_once.tenants.0.failed;
    }
    // Failed creations at once count here too, under the sum of all.
    all.tenants.failed += failed;
    ui::print(&in_turn_line(name, &all));
}

impl InTurn {
    /// The raw call that takes longest, as a rule.
    fn slowest(&self) -> (&'static str, &Sample) {
        let calls = [
            ("raw realm", &self.realm),
            ("raw transaction", &self.transaction),
            ("raw bucket, policy and user", &self.storage),
        ];
        let [first, ..] = calls;
        calls.into_iter().fold(
            first,
            |slowest, call| {
                if call.1.p50() > slowest.1.p50() { call } else { slowest }
            },
        )
    }

    fn ratio(&self) -> f64 {
        ratio(self.tenants.p50(), self.slowest().1.p50())
    }
}

fn in_turn_line(name: &str, measured: &InTurn) -> String {
    let InTurn {
        tenants,
        realm,
        together,
        ..
    } = measured;
    let (slowest, sample) = measured.slowest();
    format!(
        "{name}: {} tenants one after the other, create to Ready p50 {} p95 {}, {slowest} p50 {} p95 {}, the raw calls together p50 {}, ratio {:.2} (goal {GOAL}) failed {}",
        tenants.count(),
        text(tenants.p50()),
        text(tenants.p95()),
        text(sample.p50()),
        text(sample.p95()),
        text(together.p50()),
        measured.ratio(),
        tenants.failed + realm.failed + together.failed
    )
}

fn at_once_line(name: &str, measured: &AtOnce) -> String {
    let AtOnce { realms, raw, tenants } = measured;
    format!(
        "{name}: {} tenants at once, create to Ready p50 {} p95 {}, all in {}, raw calls in {} (realms alone in {}), ratio {:.2} failed {}",
        tenants.0.count(),
        text(tenants.0.p50()),
        text(tenants.0.p95()),
        text(tenants.1),
        text(raw.1),
        text(realms.1),
        ratio(tenants.1, raw.1),
        tenants.0.failed + raw.0.failed + realms.0.failed
    )
}

fn times(levels: &[Level]) -> Table {
    let mut table = table::new(&[
        "ONE AFTER THE OTHER",
        "PRESENT",
        "COUNT",
        "P50",
        "P95",
        "RATIO",
        "FAILED",
    ]);
    for Level { present, in_turn, .. } in levels {
        let slowest = in_turn.slowest().1.p50();
        for (what, sample) in [
            ("raw realm", &in_turn.realm),
            ("raw transaction", &in_turn.transaction),
            ("raw bucket, policy, user", &in_turn.storage),
            ("raw, these three together", &in_turn.together),
            ("Tenant to Ready", &in_turn.tenants),
        ] {
            row(
                &mut table,
                what,
                *present,
                sample,
                &format!("{:.2}", ratio(sample.p50(), slowest)),
            );
        }
    }
    table
}

fn throughput(levels: &[Level]) -> Table {
    let at_once = format!("{TENANTS} AT ONCE");
    let mut table = table::new(&[
        &at_once, "PRESENT", "COUNT", "P50", "P95", "ALL IN", "A SECOND", "RATIO", "FAILED",
    ]);
    for Level { present, at_once, .. } in levels {
        let AtOnce { realms, raw, tenants } = at_once;
        for (what, (sample, all)) in [
            (format!("raw realms, {REALMS_AT_ONCE} in the making"), realms),
            ("raw tenants, all calls".to_owned(), raw),
            ("Tenants to Ready".to_owned(), tenants),
        ] {
            let cells = [
                format!("{}", sample.count()),
                text(sample.p50()),
                text(sample.p95()),
                text(*all),
                per_second(sample.count(), *all),
                format!("{:.2}", ratio(*all, raw.1)),
                format!("{}", sample.failed),
            ];
            table::row(&mut table, &what, std::iter::once(present.to_string()).chain(cells));
        }
    }
    table
}

fn resident(memory: &[Memory]) -> Table {
    let mut table = table::new(&["RESIDENT MEMORY OF THE OPERATOR", "TENANTS", "MIB"]);
    for (index, Memory { tenants, kib }) in memory.iter().enumerate() {
        let what = if index == 0 {
            "just started"
        } else {
            "after measuring one after the other"
        };
        table::row(&mut table, what, [tenants.to_string(), (kib / 1024).to_string()]);
    }
    table
}

fn row(table: &mut Table, what: &str, present: usize, sample: &Sample, ratio: &str) {
    let cells = [
        present.to_string(),
        sample.count().to_string(),
        text(sample.p50()),
        text(sample.p95()),
        ratio.to_owned(),
        sample.failed.to_string(),
    ];
    table::row(table, what, cells);
}
