//! Tables for people, and one line for machines.

use super::{Measured, rest::Requests};
use crate::{
    bench::{
        stats::{Sample, per_second, text},
        table,
    },
    suite::observe::operator::Memory,
    ui,
};

/// What each is to stay below: memory in MiB at 1,000 and at 2,000 installations, the time of the promotions in seconds.
const MEMORY: [(usize, u64); 2] = [(1_000, 64), (2_000, 100)];
/// See [`MEMORY`].
const PROMOTED: u64 = 5;
/// Kinds of requests that are shown, and writes.
const SHOWN: usize = 16;

/// Prints what was measured; the last line sums up.
pub fn tell(name: &str, measured: &Measured) {
    memory(measured);
    let Measured { rest, restart, .. } = measured;
    let objects = restart.objects;
    let mut load = table::new(&[
        "WITHOUT WORK",
        "SECONDS",
        "OBJECTS",
        "PASSES",
        "REQUESTS",
        "WRITES",
        "CPU SECONDS",
    ]);
    for (what, length, passes, requests, processor) in [
        ("at rest", rest.length, rest.passes, &rest.requests, rest.processor),
        (
            "from a start until steady",
            restart.steady,
            restart.passes,
            &restart.requests,
            restart.processor,
        ),
    ] {
        let numbers = [
            format!("{:.1}", length.as_secs_f64()),
            objects.to_string(),
            passes.to_string(),
            requests.count().to_string(),
            requests.writes.len().to_string(),
            format!("{:.1}", processor.as_secs_f64()),
        ];
        table::row(&mut load, what, numbers);
    }
    ui::print(&format!("{load}\n  Ready {} after its start\n", text(restart.ready)));
    requests("REQUESTS AT REST", &rest.requests, rest.passes);
    requests("REQUESTS AFTER A START", &restart.requests, restart.passes);
    promotions(measured);
    sum_up(name, measured);
}

fn memory(measured: &Measured) {
    let mut all = table::new(&["MEMORY OF THE OPERATOR, MIB", "RESIDENT", "ANONYMOUS", "FILE", "PEAK"]);
    for (what, memory) in [
        ("without installations", &measured.before),
        ("with all, which it made", &measured.made),
        ("after a restart, just steady", &measured.restart.memory),
        ("after a restart, at rest", &measured.restarted),
        ("after the promotions", &measured.promoted),
    ] {
        let Memory {
            resident,
            anonymous,
            file,
            peak,
        } = memory;
        let numbers = [resident, anonymous, file, peak].map(|kib| (kib / 1024).to_string());
        table::row(&mut all, what, numbers);
    }
    ui::print(&format!("\n{all}\n"));
}

fn requests(what: &str, requests: &Requests, passes: usize) {
    let mut all = table::new(&[what, "COUNT", "PER PASS"]);
    let mut kinds: Vec<_> = requests.by_kind.iter().collect();
    kinds.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (kind, count) in kinds.into_iter().take(SHOWN) {
        #[allow(clippy::cast_precision_loss, reason = "two digits are shown")]
        let per_pass = *count as f64 / passes.max(1) as f64;
        table::row(&mut all, kind, [count.to_string(), format!("{per_pass:.2}")]);
    }
    ui::print(&format!("{all}\n"));
    for write in requests.writes.iter().take(SHOWN) {
        ui::print(&format!("  wrote {write}"));
    }
}

fn promotions(measured: &Measured) {
    let times = &measured.promotions;
    let mut all = table::new(&["PROMOTED AT ONCE", "COUNT", "P50", "P95", "LAST", "FAILED"]);
    for (what, sample) in [
        ("until EndpointSlices name the new slot only", &times.led),
        ("until the installation says so", &times.told),
        ("bare Services patched at once, until EndpointSlices follow", &times.raw),
    ] {
        let numbers = [
            sample.count().to_string(),
            text(sample.p50()),
            text(sample.p95()),
            text(last(sample)),
            sample.failed.to_string(),
        ];
        table::row(&mut all, what, numbers);
    }
    ui::print(&format!(
        "{all}\n  by {} writes, in {:.1} s of processor time of the operator\n",
        times.writes,
        times.processor.as_secs_f64()
    ));
}

fn last(sample: &Sample) -> std::time::Duration {
    sample.percentile(100)
}

fn sum_up(name: &str, measured: &Measured) {
    let Measured {
        tenants,
        installations,
        made_in,
        made,
        restarted,
        restart,
        rest,
        promotions,
        ..
    } = measured;
    let goal = MEMORY.iter().find(|(count, _)| installations <= count);
    let goal = goal.map(|(_, goal)| format!(" (goal {goal})")).unwrap_or_default();
    let mib = |kib: u64| kib / 1024;
    ui::print(&format!(
        "{name}: {installations} installations of {tenants} tenants made in {} ({} a second, kube-proxy at rest), operator {} MiB at rest{goal}: anonymous {}, file {}; {} MiB after making them; at rest {} writes in {:.0} s (goal 0); {} promoted at once: EndpointSlices {} (goal {PROMOTED}; bare Services {}), told {}; from start to steady {:.1} s with {} writes (goal 0); failed {}",
        text(*made_in),
        per_second(*installations, *made_in),
        mib(restarted.resident),
        mib(restarted.anonymous),
        mib(restarted.file),
        mib(made.resident),
        rest.requests.writes.len(),
        rest.length.as_secs_f64(),
        promotions.told.count(),
        text(last(&promotions.led)),
        text(last(&promotions.raw)),
        text(last(&promotions.told)),
        restart.steady.as_secs_f64(),
        restart.requests.writes.len(),
        promotions.led.failed + promotions.raw.failed + promotions.told.failed,
    ));
}
