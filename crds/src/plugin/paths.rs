//! Paths below a tenant's host: which a plugin may have, and which are in each other's way.

/// Where plugins are found unless they say otherwise: the id follows (data-model.md, "Plugins at the gateway and in the
/// cluster").
pub const PLUGINS: &str = "/api/plugins/";

/// What is wrong with the base path that plugin `id` wants below the tenant's host; `None` if it may have it.
pub fn problem(path: &str, id: &str) -> Option<String> {
    let own = format!("{PLUGINS}{id}");
    insane(path).or_else(|| {
        (overlap(path, PLUGINS.trim_end_matches('/')) && !is_below(path, &own))
            .then(|| format!("`{path}` is in the way of other plugins: below {PLUGINS} only {own} is this plugin's"))
    })
}

/// What is wrong with a path as such; `None` if nothing is.
pub fn insane(path: &str) -> Option<String> {
    let sane = |segment: &str| {
        !segment.is_empty()
            && ![".", ".."].contains(&segment)
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
    };
    if !path.starts_with('/') {
        return Some(format!("`{path}` does not begin with a slash"));
    }
    if path == "/" {
        return Some("`/` is everything: choose a path below it".into());
    }
    if path.ends_with('/') {
        return Some(format!("`{path}` ends with a slash: leave it out"));
    }
    path.split('/').skip(1).find(|segment| !sane(segment)).map(|segment| {
        format!(
            "`{path}` has the segment `{segment}`: a segment holds letters, digits, `-`, `.`, `_` and `~`, and is not empty, `.` or `..`"
        )
    })
}

/// Whether a request could be meant for either: the paths are equal, or one is above the other.
pub fn overlap(a: &str, b: &str) -> bool {
    is_below(a, b) || is_below(b, a)
}

/// Whether `path` is `top` or below it, by whole segments: `/crm2` is not below `/crm`.
fn is_below(path: &str, top: &str) -> bool {
    path.strip_prefix(top)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_may_have_its_own_path_and_those_of_nobody() {
        for path in ["/api/plugins/crm", "/api/plugins/crm/v2", "/crm", "/api/contacts"] {
            assert_eq!(problem(path, "crm"), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_sane_path_is_refused_with_the_reason() {
        for (path, part) in [
            ("crm", "begin with a slash"),
            ("/", "everything"),
            ("/crm/", "ends with a slash"),
            ("/a//b", "segment ``"),
            ("/a/../b", "segment `..`"),
            ("/a b", "segment `a b`"),
            ("/a%2fb", "segment"),
            ("/api/plugins/contacts", "other plugins"),
            ("/api/plugins/crm2", "other plugins"),
            ("/api/plugins", "other plugins"),
            ("/api", "other plugins"),
        ] {
            let message = problem(path, "crm").unwrap_or_default();
            assert!(message.contains(part), "{path}: {message}");
        }
    }

    #[test]
    fn paths_overlap_by_whole_segments() {
        assert!(overlap("/crm", "/crm"));
        assert!(overlap("/crm", "/crm/contacts"));
        assert!(!overlap("/crm", "/crm2"));
        assert!(!overlap("/crm/a", "/crm/b"));
    }
}
