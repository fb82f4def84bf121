//! Tables for people, and one line for machines.

use super::{HandSamples, Samples, at_once::AtOnce};
use crate::{
    bench::{
        stats::{Sample, per_second, ratio, text},
        table,
    },
    ui,
};

/// Most that the operator may take, as a multiple of the raw steps.
const GOAL: f64 = 1.2;

/// Prints what was measured one after the other; the last line sums up.
pub fn in_turn(name: &str, by_hand: &HandSamples, installations: &Samples) {
    let reference = &by_hand.whole;
    let mut all = table::new(&["ONE AFTER THE OTHER", "COUNT", "P50", "P95", "RATIO", "FAILED"]);
    for (what, sample) in rows(by_hand, installations) {
        let of = format!("{:.2}", ratio(sample.p50(), reference.p50()));
        let numbers = [sample.count().to_string(), text(sample.p50()), text(sample.p95()), of];
        table::row(&mut all, what, numbers.into_iter().chain([sample.failed.to_string()]));
    }
    ui::print(&format!("\n{all}\n"));
    let made = &installations.whole;
    ui::print(&format!(
        "{name}: {} installations one after the other, create to Ready p50 {} p95 {}, migrations by hand and a bare Deployment p50 {} p95 {}, ratio {:.2} (goal {GOAL}) failed {}",
        made.count(),
        text(made.p50()),
        text(made.p95()),
        text(reference.p50()),
        text(reference.p95()),
        ratio(made.p50(), reference.p50()),
        made.failed + reference.failed
    ));
}

/// Prints what was measured at once; the last line sums up.
pub fn at_once(name: &str, measured: &AtOnce) {
    let AtOnce {
        by_hand: (by_hand, by_hand_in),
        installations: (installations, in_all),
        resident,
    } = measured;
    let mut all = table::new(&["ALL AT ONCE", "COUNT", "P50", "P95", "FAILED"]);
    for (what, sample) in rows(by_hand, installations) {
        let numbers = [sample.count().to_string(), text(sample.p50()), text(sample.p95())];
        table::row(&mut all, what, numbers.into_iter().chain([sample.failed.to_string()]));
    }
    ui::print(&format!("\n{all}\n"));
    let mut memory = table::new(&["RESIDENT MEMORY OF THE OPERATOR", "MIB"]);
    let when = ["before", "just after", "2 s later"];
    for (when, kib) in when.iter().zip(resident) {
        table::row(&mut memory, when, [(kib / 1024).to_string()]);
    }
    ui::print(&format!("{memory}\n"));
    let [before, _, after] = resident.map(|kib| kib / 1024);
    let made = &installations.whole;
    ui::print(&format!(
        "{name}: {} installations at once, create to Ready p50 {} p95 {}, all in {} ({} a second), by hand in {}, ratio {:.2}, operator {before} MiB before and {after} MiB after, failed {}",
        made.count(),
        text(made.p50()),
        text(made.p95()),
        text(*in_all),
        per_second(made.count(), *in_all),
        text(*by_hand_in),
        ratio(*in_all, *by_hand_in),
        made.failed + by_hand.whole.failed
    ));
}

fn rows<'a>(by_hand: &'a HandSamples, installations: &'a Samples) -> [(&'static str, &'a Sample); 7] {
    [
        ("by hand: migrations", &by_hand.migrations),
        ("by hand: Deployment until its pod is ready", &by_hand.pod),
        ("by hand: both", &by_hand.whole),
        ("installation: until its Deployment is there", &installations.objects),
        ("installation: until its pod is ready", &installations.pod),
        ("installation: until it says so", &installations.told),
        ("installation: create to Ready", &installations.whole),
    ]
}
