//! Rules of what runs: image, environment, resources, probes.

use std::collections::HashSet;

use oci_spec::distribution::Reference;

use crate::{
    plugin::{ProbeSpec, RESERVED_ENV, ResourcesSpec, RuntimeSpec},
    quantity,
    violation::Violation,
};

/// Resources that a pod of a plugin may name. Others (GPUs, huge pages) are nodes' own and come with their own rules.
const RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Reads the reference, with advice if the same name may be another image tomorrow.
pub(super) fn image(text: &str, found: &mut Vec<Violation>) -> (Option<Reference>, Vec<String>) {
    match text.parse::<Reference>() {
        Ok(image) => {
            let advice = image.digest().is_none().then(|| {
                format!(
                    "spec.runtime.image: `{text}` has no digest, so what runs may change under this version; write {}/{}@sha256:...",
                    image.registry(),
                    image.repository()
                )
            });
            (Some(image), advice.into_iter().collect())
        }
        Err(error) => {
            found.push(Violation::new(
                "spec.runtime.image",
                format!("`{text}` is no image: {error}; write it as registry.example.com/crm@sha256:... or registry.example.com/crm:1.4.0"),
            ));
            (None, vec![])
        }
    }
}

pub(super) fn violations(runtime: &RuntimeSpec) -> Vec<Violation> {
    let mut found = vec![];
    let mut names = HashSet::new();
    for (index, variable) in runtime.env.iter().enumerate() {
        let (field, name) = (format!("spec.runtime.env[{index}].name"), variable.name.as_str());
        if RESERVED_ENV.iter().any(|reserved| is_reserved(name, reserved)) {
            found.push(Violation::new(
                field,
                format!("`{name}` is set by the platform: choose another name"),
            ));
        } else if !names.insert(name) {
            found.push(Violation::new(field, format!("`{name}` is there twice: leave one out")));
        }
    }
    if !(1024..=65535).contains(&runtime.port) {
        found.push(Violation::new(
            "spec.runtime.port",
            format!("{} is no port from 1024 to 65535", runtime.port),
        ));
    }
    if !(1..=50).contains(&runtime.replicas) {
        found.push(Violation::new(
            "spec.runtime.replicas",
            format!("{} is not from 1 to 50", runtime.replicas),
        ));
    }
    found.extend(resources("spec.runtime.resources", &runtime.resources));
    for (name, probe) in [
        ("liveness", &runtime.probes.liveness),
        ("readiness", &runtime.probes.readiness),
    ] {
        found.extend(probe_violations(&format!("spec.runtime.probes.{name}"), probe));
    }
    if runtime.probes.startup.value().is_zero() {
        found.push(Violation::new(
            "spec.runtime.probes.startup",
            "must be longer than zero: it is the time to become alive",
        ));
    }
    found
}

/// `PLEXICA_` stands for all names that begin so, `DATABASE_URL` for itself.
fn is_reserved(name: &str, reserved: &str) -> bool {
    name == reserved || (reserved.ends_with('_') && name.starts_with(reserved))
}

/// Rules of requests and limits, of a plugin or of an installation.
pub(crate) fn resources(field: &str, resources: &ResourcesSpec) -> Vec<Violation> {
    let ResourcesSpec { requests, limits } = resources;
    let mut found = vec![];
    for (part, quantities) in [("requests", requests), ("limits", limits)] {
        for (name, value) in quantities {
            let field = format!("{field}.{part}.{name}");
            if !RESOURCES.contains(&name.as_str()) {
                found.push(Violation::new(
                    field,
                    format!("no such resource: there are {}", RESOURCES.join(", ")),
                ));
            } else if quantity::millis(value).is_none_or(|value| value <= 0) {
                found.push(Violation::new(
                    field,
                    format!("`{}` is no positive quantity, such as 500m or 256Mi", value.0),
                ));
            }
        }
    }
    for (name, request) in requests {
        if let Some(limit) = limits.get(name)
            && let (Some(wanted), Some(most)) = (quantity::millis(request), quantity::millis(limit))
            && wanted > most
        {
            found.push(Violation::new(
                format!("{field}.requests.{name}"),
                format!("`{}` is more than the limit `{}`", request.0, limit.0),
            ));
        }
    }
    found
}

/// Kubernetes counts probes in whole seconds.
fn probe_violations(field: &str, probe: &ProbeSpec) -> Vec<Violation> {
    let ProbeSpec {
        interval,
        timeout,
        failures,
    } = probe;
    let mut found = vec![];
    for (name, period) in [("interval", interval), ("timeout", timeout)] {
        if period.value().is_zero() || period.value().subsec_nanos() != 0 {
            found.push(Violation::new(
                format!("{field}.{name}"),
                format!("`{period}` is not a whole number of seconds, 1s or longer"),
            ));
        }
    }
    if timeout.value() > interval.value() {
        found.push(Violation::new(
            format!("{field}.timeout"),
            format!("`{timeout}` is longer than the interval `{interval}`"),
        ));
    }
    if *failures < 1 {
        found.push(Violation::new(format!("{field}.failures"), "must be 1 or more"));
    }
    found
}
