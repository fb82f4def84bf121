//! The rules of a PluginInstallation that need no other object, checked again by the operator: the schema may be
//! older or looser than the code.

use std::{ops::RangeInclusive, time::Duration};

use jsonptr::PointerBuf;
use kube::ResourceExt;

use super::{ConfigSource, LONGEST_PROBE, PluginInstallation, ProbeSpec, PromotionSpec, RedSpec};
use crate::{
    names::{InvalidPluginId, PluginId},
    plugin::validation::resources,
    schema, text,
    version_range::VersionRange,
};

pub use crate::violation::Violation;

/// How often a candidate may be asked its probe.
const INTERVALS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(5);

impl From<InvalidPluginId> for Violation {
    fn from(error: InvalidPluginId) -> Self {
        Self::new("metadata.name", error.to_string())
    }
}

/// All rules that the installation breaks, in the order of its fields; empty means that it is valid.
pub fn violations(installation: &PluginInstallation) -> Vec<Violation> {
    let spec = &installation.spec;
    let mut found: Vec<Violation> = PluginId::parse(&installation.name_any())
        .err()
        .map(Violation::from)
        .into_iter()
        .collect();
    found.extend(range("spec.version", &spec.version));
    found.extend(schema::too_large(&spec.config).map(|problem| Violation::new("spec.config", problem)));
    found.extend(sources(&spec.config_from));
    if let Some(replicas) = spec.replicas.filter(|replicas| !(1..=50).contains(replicas)) {
        found.push(Violation::new(
            "spec.replicas",
            format!("{replicas} is not from 1 to 50; to switch the plugin off, set spec.enabled to false"),
        ));
    }
    if let Some(wanted) = &spec.resources {
        found.extend(resources("spec.resources", wanted));
    }
    found.extend(promotion(&spec.promotion));
    found.extend(red(&spec.red));
    found.extend(text::nul("spec", spec));
    found
}

fn range(field: &str, text: &str) -> Option<Violation> {
    VersionRange::parse(text)
        .err()
        .map(|error| Violation::new(field, error.to_string()))
}

fn sources(sources: &[ConfigSource]) -> Vec<Violation> {
    let mut found = vec![];
    let mut seen: Vec<PointerBuf> = vec![];
    for (index, source) in sources.iter().enumerate() {
        let field = format!("spec.configFrom[{index}]");
        if source.secret_key_ref.is_some() == source.config_map_key_ref.is_some() {
            found.push(Violation::new(
                &field,
                "needs either secretKeyRef or configMapKeyRef: say where the value comes from",
            ));
        }
        let field = format!("{field}.pointer");
        match PointerBuf::parse(source.pointer.as_str()) {
            Ok(pointer) if !pointer.is_root() => {
                if let Some(other) = seen
                    .iter()
                    .find(|other| other.starts_with(&pointer) || pointer.starts_with(other))
                {
                    found.push(Violation::new(
                        field,
                        format!("`{pointer}` and `{other}` are put at the same place: leave one out"),
                    ));
                }
                seen.push(pointer);
            }
            _ => found.push(Violation::new(
                field,
                format!("`{}` is no JSON pointer, such as /smtp/password", source.pointer),
            )),
        }
    }
    found
}

fn promotion(promotion: &PromotionSpec) -> Vec<Violation> {
    let PromotionSpec {
        auto: _,
        promotion_delay,
        rollback_window,
        progress_deadline,
        connection_drain,
        auto_rollback: _,
        switch_by: _,
        probe,
    } = promotion;
    let mut found = vec![];
    for (name, period) in [
        ("promotionDelay", promotion_delay),
        ("rollbackWindow", rollback_window),
        ("progressDeadline", progress_deadline),
        ("connectionDrain", connection_drain),
    ] {
        if period.value().is_zero() {
            found.push(Violation::new(
                format!("spec.promotion.{name}"),
                "must be longer than zero",
            ));
        }
    }
    if progress_deadline.value() <= promotion_delay.value() {
        found.push(Violation::new(
            "spec.promotion.progressDeadline",
            format!("`{progress_deadline}` is not longer than promotionDelay `{promotion_delay}`: no candidate could be ready that long before it is rejected"),
        ));
    }
    found.extend(probe.iter().flat_map(probe_violations));
    found
}

fn probe_violations(probe: &ProbeSpec) -> Vec<Violation> {
    let ProbeSpec {
        path: _,
        interval,
        timeout,
    } = probe;
    let mut found = vec![];
    if !INTERVALS.contains(&interval.value()) {
        found.push(Violation::new(
            "spec.promotion.probe.interval",
            format!("`{interval}` is not between 1s and 5m"),
        ));
    }
    let longest = interval.value().min(LONGEST_PROBE);
    if timeout.value().is_zero() || timeout.value() > longest {
        found.push(Violation::new(
            "spec.promotion.probe.timeout",
            format!("`{timeout}` is not between zero and the interval `{interval}`, or longer than 10s"),
        ));
    }
    found
}

fn red(red: &RedSpec) -> Vec<Violation> {
    let RedSpec {
        enabled: _,
        version,
        idle_after,
    } = red;
    let mut found = vec![];
    if let Some(version) = version {
        found.extend(range("spec.red.version", version));
    }
    if idle_after.value().is_zero() {
        found.push(Violation::new("spec.red.idleAfter", "must be longer than zero"));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn installation(name: &str, spec: &Value) -> PluginInstallation {
        serde_json::from_value(json!({
            "apiVersion": "plexica.io/v1alpha1", "kind": "PluginInstallation", "metadata": {"name": name}, "spec": spec
        }))
        .unwrap()
    }

    #[test]
    fn an_installation_with_only_a_name_is_valid() {
        assert_eq!(violations(&installation("crm", &json!({}))), vec![]);
    }

    #[test]
    fn every_broken_rule_is_reported_with_its_field() {
        let secret = json!({"name": "crm", "key": "k"});
        let spec = json!({
            "version": ">1 <2",
            "config": {"blob": "x".repeat(70_000)},
            "configFrom": [
                {"pointer": "/a", "secretKeyRef": secret},
                {"pointer": "/a/b", "secretKeyRef": secret},
                {"pointer": "a", "secretKeyRef": secret},
                {"pointer": "/c"},
                {"pointer": "/ab", "secretKeyRef": secret}
            ],
            "replicas": 0,
            "resources": {"limits": {"cpu": "none"}},
            "promotion": {"promotionDelay": "20m", "rollbackWindow": "0s", "probe": {"path": "/", "interval": "10m", "timeout": "11s"}},
            "red": {"enabled": true, "version": "newest", "idleAfter": "0s"}
        });
        let text = violations(&installation("my.crm", &spec))
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n");
        for part in [
            "metadata.name: a plugin's id holds only",
            "spec.version: `>1 <2` is no version range",
            "spec.config: holds 70011 bytes",
            "spec.configFrom[1].pointer: `/a/b` and `/a` are put at the same place",
            "spec.configFrom[2].pointer: `a` is no JSON pointer",
            "spec.configFrom[3]: needs either secretKeyRef or configMapKeyRef",
            "spec.replicas: 0 is not from 1 to 50",
            "spec.resources.limits.cpu: `none`",
            "spec.promotion.rollbackWindow: must be longer than zero",
            "spec.promotion.progressDeadline: `10m` is not longer than promotionDelay `20m`",
            "spec.promotion.probe.interval: `10m` is not between 1s and 5m",
            "spec.promotion.probe.timeout: `11s` is not between zero and the interval `10m`, or longer than 10s",
            "spec.red.version: `newest` is no version range",
            "spec.red.idleAfter: must be longer than zero",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("configFrom[4]"), "{text}");
    }

    #[test]
    fn what_postgresql_cannot_store_is_reported_with_its_field() {
        let found = violations(&installation("crm", &json!({"config": {"smtp": {"host": "a\0"}}})));
        assert_eq!(
            found,
            [Violation::new(
                "spec.config.smtp.host",
                "must not contain U+0000, which PostgreSQL cannot store"
            )]
        );
    }

    #[test]
    fn defaults_are_those_of_the_design() {
        let spec = installation("crm", &json!({})).spec;
        assert_eq!((spec.version.as_str(), spec.enabled), ("*", true));
        let seconds = |period: &crate::period::Period| period.value().as_secs();
        let promotion = &spec.promotion;
        assert!(promotion.auto && !promotion.auto_rollback && !spec.red.enabled);
        assert_eq!(
            [
                &promotion.promotion_delay,
                &promotion.rollback_window,
                &promotion.progress_deadline
            ]
            .map(seconds),
            [30, 900, 600]
        );
    }
}
