//! Rules of what a plugin names in a space that it shares with others: permissions and events.

use std::collections::HashSet;

use crate::{plugin::PluginSpec, violation::Violation};

/// A permission is `<plugin id>:<resource>:<action>`, and `<plugin id>:*` covers all of a plugin (data-model.md).
pub(super) fn permissions(spec: &PluginSpec) -> Vec<Violation> {
    let id = spec.id.as_str();
    let mut found = vec![];
    let mut seen = HashSet::new();
    for (index, permission) in spec.permissions.iter().enumerate() {
        let field = format!("spec.permissions[{index}].key");
        let key = permission.key.as_str();
        let problem = match key.split(':').collect::<Vec<_>>()[..] {
            [owner, ..] if owner != id => Some(format!(
                "`{key}` is not this plugin's: its permissions begin with `{id}:`"
            )),
            [_, "*"] => None,
            [_, resource, action] if is_word(resource) && is_word(action) => None,
            _ => Some(format!(
                "`{key}` is no permission: write {id}:<resource>:<action> in lower-case letters, digits, `-` and `_`, for example {id}:contacts:read"
            )),
        };
        let twice = || (!seen.insert(key)).then(|| format!("`{key}` is there twice: leave one out"));
        found.extend(problem.or_else(twice).map(|problem| Violation::new(field, problem)));
    }
    found
}

/// An event is `<plugin>.<entity>.<event>`; topics put the tenant before it (data-model.md).
pub(super) fn events(spec: &PluginSpec) -> Vec<Violation> {
    let id = spec.id.as_str();
    let mut found = vec![];
    for (list, names, own) in [
        ("publishes", &spec.events.publishes, true),
        ("subscribes", &spec.events.subscribes, false),
    ] {
        let mut seen = HashSet::new();
        for (index, name) in names.iter().enumerate() {
            let problem = match name.split('.').collect::<Vec<_>>()[..] {
                [owner, entity, event] if is_word(owner) && is_word(entity) && is_word(event) => (own && owner != id)
                    .then(|| format!("`{name}` is not this plugin's: what it sends begins with `{id}.`")),
                _ => Some(format!(
                    "`{name}` is no event: write <plugin>.<entity>.<event>, for example {id}.contact.created"
                )),
            };
            let twice = || (!seen.insert(name)).then(|| format!("`{name}` is there twice: leave one out"));
            found.extend(
                problem
                    .or_else(twice)
                    .map(|problem| Violation::new(format!("spec.events.{list}[{index}]"), problem)),
            );
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}
