//! How long it takes to choose the versions of a tenant's plugins, over many generated registries.

mod worlds;

use std::time::{Duration, Instant};

use comfy_table::{Cell, CellAlignment, Table, presets};
use plexica_operator::resolution::{Action, Explanation, resolve};
use rand::{SeedableRng, rngs::StdRng};

use super::stats::{Sample, ratio};
use crate::ui;
use worlds::{Size, World};

/// What has to be kept by 95 of 100 resolutions (issue 4).
const GOAL: Duration = Duration::from_millis(10);
/// Registries of each kind.
const REGISTRIES: u64 = 100;
/// The registries that the goal speaks of.
const LARGE: Size = Size {
    plugins: 200,
    releases: 20,
};

/// A kind of registry and tenant.
struct Kind {
    name: &'static str,
    /// Whether the goal speaks of it; the others are for information.
    counts: bool,
    generate: fn(&mut StdRng) -> World,
    registries: u64,
}

const KINDS: [Kind; 7] = [
    Kind {
        name: "all installed, all can be upgraded",
        counts: true,
        generate: |random| worlds::upgradable(random, LARGE),
        registries: REGISTRIES,
    },
    Kind {
        name: "nothing runs yet",
        counts: true,
        generate: |random| worlds::fresh(random, LARGE),
        registries: REGISTRIES,
    },
    Kind {
        name: "20 installed, the others added for them",
        counts: true,
        generate: |random| worlds::adding(random, LARGE),
        registries: REGISTRIES,
    },
    Kind {
        name: "one refused, at the end of a chain",
        counts: true,
        generate: |random| worlds::one_refused(random, LARGE),
        registries: REGISTRIES,
    },
    Kind {
        name: "dependencies at random",
        counts: false,
        generate: |random| worlds::at_random(random, LARGE),
        registries: REGISTRIES,
    },
    Kind {
        name: "10 plugins for 9 places (needs exponential time)",
        counts: false,
        generate: |_| worlds::pigeons(9),
        registries: 5,
    },
    Kind {
        name: "20 plugins for 19 places (given up)",
        counts: false,
        generate: |_| worlds::pigeons(19),
        registries: 5,
    },
];

/// What was seen of a kind.
#[derive(Default)]
struct Measured {
    times: Sample,
    changes: usize,
    refused: usize,
    undecided: usize,
}

/// Measures and tells.
pub fn run(name: &'static str) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "TENANT",
        "COUNT",
        "P50",
        "P95",
        "MOST",
        "CHANGES",
        "REFUSED",
        "UNDECIDED",
    ]);
    let mut all = Measured::default();
    for kind in KINDS {
        let measured = measure(&kind);
        table.add_row(row(kind.name, &measured));
        if kind.counts {
            all.times.extend(&measured.times);
            all.undecided += measured.undecided;
        }
    }
    ui::print(&format!("\n{table}\n"));
    ui::print(&format!(
        "{name}: {} resolutions of {} plugins x {} releases p50 {} p95 {} goal {} ratio {:.2} failed {}",
        all.times.count(),
        LARGE.plugins,
        LARGE.releases,
        text(all.times.p50()),
        text(all.times.p95()),
        text(GOAL),
        ratio(all.times.p95(), GOAL),
        all.undecided,
    ));
}

fn measure(kind: &Kind) -> Measured {
    let mut measured = Measured::default();
    // The first one meets cold caches.
    for seed in 0..=kind.registries {
        let world = (kind.generate)(&mut StdRng::seed_from_u64(seed));
        let begun = Instant::now();
        let resolution = resolve(&world.tenant, &world.registry);
        let time = begun.elapsed();
        if seed == 0 {
            continue;
        }
        measured.times.add(&Ok::<_, ()>(time));
        let steps = resolution.plan.steps.iter();
        measured.changes += steps.filter(|step| step.action() != Action::Keep).count();
        measured.refused += resolution.refused.len();
        let undecided = resolution.refused.values();
        measured.undecided += undecided
            .filter(|one| matches!(one, Explanation::Undecided { .. }))
            .count();
    }
    measured
}

fn row(name: &str, measured: &Measured) -> Vec<Cell> {
    let count = measured.times.count();
    let average = |all: usize| all.checked_div(count).unwrap_or_default();
    let cells = [
        count.to_string(),
        text(measured.times.p50()),
        text(measured.times.p95()),
        text(measured.times.percentile(100)),
        average(measured.changes).to_string(),
        average(measured.refused).to_string(),
        average(measured.undecided).to_string(),
    ];
    let cells = cells.map(|cell| Cell::new(cell).set_alignment(CellAlignment::Right));
    std::iter::once(Cell::new(name)).chain(cells).collect()
}

/// Milliseconds with two decimals: most of these times are below ten.
fn text(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}
