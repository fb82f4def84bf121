//! True statements, of which explanations and reasons are made.

use std::fmt;

use plexica_crds::{names::PluginId, version_range::VersionRange};
use semver::Version;

/// Of longer lists only so many are named.
pub(super) const NAMED: usize = 8;

/// A true statement about the registry or the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// These versions of the plugin require another one.
    Needs {
        /// Which plugin.
        plugin: PluginId,
        /// Which of its versions, oldest first.
        versions: Vec<Version>,
        /// The other one.
        on: PluginId,
        /// Its versions that will do.
        range: VersionRange,
    },
    /// These versions of the plugin go only with these of another one, if it is there.
    GoesWith {
        /// Which plugin.
        plugin: PluginId,
        /// Which of its versions, oldest first.
        versions: Vec<Version>,
        /// The other one.
        on: PluginId,
        /// Its versions that will do.
        range: VersionRange,
    },
    /// These versions of the plugin cannot be beside these of another one.
    Excludes {
        /// Which plugin.
        plugin: PluginId,
        /// Which of its versions, oldest first.
        versions: Vec<Version>,
        /// The other one.
        other: PluginId,
        /// Its versions that are in the way.
        range: VersionRange,
    },
    /// There is no release of that name.
    Unregistered {
        /// What is needed.
        plugin: PluginId,
    },
    /// It is released, but in none of the versions that are needed.
    Exists {
        /// What is needed.
        plugin: PluginId,
        /// What there is, oldest first.
        versions: Vec<Version>,
    },
    /// It is released, but has no installation, and is not to be added without one.
    NotInstalled {
        /// What is needed.
        plugin: PluginId,
        /// Its newest version that would do.
        newest: Version,
    },
    /// It has an installation.
    Present {
        /// Which plugin.
        plugin: PluginId,
        /// What runs; none if it is still to be installed.
        running: Option<Version>,
    },
    /// Its installation names a range.
    Wanted {
        /// Which plugin.
        plugin: PluginId,
        /// The range.
        range: VersionRange,
        /// What runs.
        running: Option<Version>,
        /// It is to get a version in the range; else it may also stay what it is.
        granted: bool,
    },
    /// It does not go back, since its installation names no exact version.
    NotBack {
        /// Which plugin.
        plugin: PluginId,
        /// What runs.
        running: Version,
    },
    /// Its version stays, since its installation's updatePolicy is Manual.
    Held {
        /// Which plugin.
        plugin: PluginId,
        /// What runs.
        running: Version,
    },
}

impl Fact {
    /// Whose manifest or installation it is taken from.
    pub fn source(&self) -> &PluginId {
        match self {
            Self::Needs { plugin, .. }
            | Self::GoesWith { plugin, .. }
            | Self::Excludes { plugin, .. }
            | Self::Unregistered { plugin }
            | Self::Exists { plugin, .. }
            | Self::NotInstalled { plugin, .. }
            | Self::Present { plugin, .. }
            | Self::Wanted { plugin, .. }
            | Self::NotBack { plugin, .. }
            | Self::Held { plugin, .. } => plugin,
        }
    }

    /// Which plugin it restricts.
    pub fn target(&self) -> &PluginId {
        match self {
            Self::Needs { on, .. } | Self::GoesWith { on, .. } => on,
            Self::Excludes { other, .. } => other,
            Self::Unregistered { .. }
            | Self::Exists { .. }
            | Self::NotInstalled { .. }
            | Self::Present { .. }
            | Self::Wanted { .. }
            | Self::NotBack { .. }
            | Self::Held { .. } => self.source(),
        }
    }

    /// What runs of the target.
    pub(super) fn running(&self) -> Option<&Version> {
        match self {
            Self::Present { running, .. } | Self::Wanted { running, .. } => running.as_ref(),
            Self::NotBack { running, .. } | Self::Held { running, .. } => Some(running),
            Self::Needs { .. }
            | Self::GoesWith { .. }
            | Self::Excludes { .. }
            | Self::Unregistered { .. }
            | Self::Exists { .. }
            | Self::NotInstalled { .. } => None,
        }
    }

    /// Why the target can be at the version that runs, in the words of the source.
    pub(super) fn as_reason_for(&self, running: &Version) -> Option<String> {
        match self {
            Self::Needs {
                plugin,
                versions,
                range,
                on: _,
            }
            | Self::GoesWith {
                plugin,
                versions,
                range,
                on: _,
            } => {
                let wants = format!("{plugin} {} {} {range}", list(versions), verb(versions, "want"));
                range.matches(running).then_some(wants)
            }
            Self::Excludes {
                plugin,
                versions,
                range,
                other: _,
            } => {
                let excludes = format!("{plugin} {} {} {range}", list(versions), verb(versions, "exclude"));
                (!range.covers(running)).then_some(excludes)
            }
            Self::Wanted { range, .. } => range
                .matches(running)
                .then(|| format!("its installation wants {range}")),
            Self::NotBack { .. } => Some("it goes back only if its installation names the version".into()),
            Self::Held { .. } => Some("its updatePolicy is Manual".into()),
            Self::Unregistered { .. } | Self::Exists { .. } | Self::NotInstalled { .. } | Self::Present { .. } => None,
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs {
                plugin,
                versions,
                on,
                range,
            } => {
                write!(f, "{plugin} {} {} {on} {range}", list(versions), verb(versions, "need"))
            }
            Self::GoesWith {
                plugin,
                versions,
                on,
                range,
            } => {
                let goes = if versions.len() == 1 { "goes" } else { "go" };
                write!(f, "{plugin} {} {goes} only with {on} {range}", list(versions))
            }
            Self::Excludes {
                plugin,
                versions,
                other,
                range,
            } => {
                let conflicts = verb(versions, "conflict");
                write!(f, "{plugin} {} {conflicts} with {other} {range}", list(versions))
            }
            Self::Unregistered { plugin } => write!(f, "no plugin {plugin} is registered"),
            Self::Exists { plugin, versions } => write!(f, "{plugin} exists only as {}", list(versions)),
            Self::NotInstalled { plugin, newest: _ } => write!(f, "{plugin} is not installed"),
            Self::Present {
                plugin,
                running: Some(running),
            } => write!(f, "{plugin} {running} is installed"),
            Self::Present { plugin, running: None } => write!(f, "{plugin} is to be installed"),
            Self::Wanted {
                plugin,
                range,
                running: _,
                granted: _,
            } => write!(f, "the installation of {plugin} wants {range}"),
            Self::NotBack { plugin, running } => {
                write!(
                    f,
                    "{plugin} goes back from {running} only if its installation names the version"
                )
            }
            Self::Held { plugin, running } => write!(f, "{plugin} is kept at {running} by its updatePolicy Manual"),
        }
    }
}

fn verb(versions: &[Version], verb: &str) -> String {
    format!("{verb}{}", if versions.len() == 1 { "s" } else { "" })
}

/// `1.0.0, 1.1.0 and 2.0.0`; of many the newest.
pub(super) fn list<T: fmt::Display>(items: &[T]) -> String {
    let left_out = items.len().saturating_sub(NAMED);
    let named: Vec<_> = items[left_out..].iter().map(ToString::to_string).collect();
    let text = match named.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    };
    if left_out > 0 {
        format!("{left_out} others, {text}")
    } else {
        text
    }
}
