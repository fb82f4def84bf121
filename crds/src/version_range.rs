//! Ranges of versions, as plugins and installations name them: `^1.2`, `>=1.4, <3`, `^1 || ^2`, `*`.
//!
//! The grammar is Cargo's (crate `semver`, <https://doc.rust-lang.org/cargo/reference/specifying-dependencies.html>),
//! with npm's `||` between alternatives, since plugins often work with two major versions of another:
//!
//! ```text
//! range       = alternative *( "||" alternative )
//! alternative = "*" | comparator *( "," comparator )          all comparators hold
//! comparator  = [ "^" | "~" | "=" | ">" | ">=" | "<" | "<=" ] partial     without an operator: "^"
//! partial     = major [ "." ( minor | "*" ) [ "." ( patch | "*" ) [ "-" pre-release ] ] ]
//! ```
//!
//! | range | versions |
//! |---|---|
//! | `*` (or `x`, `X`, as in `1.x`) | all stable ones |
//! | `^1.2.3`, `1.2.3` | 1.2.3 and above, below 2.0.0: the leftmost number that is not zero stays |
//! | `^0.2.3` | 0.2.3 and above, below 0.3.0: before 1.0.0 a minor release may break |
//! | `^0.0.3` | 0.0.3 alone |
//! | `^1`, `1.*`, `=1` | 1.0.0 and above, below 2.0.0 |
//! | `^0` | below 1.0.0; `^0.0`: below 0.1.0 |
//! | `~1.2.3` | 1.2.3 and above, below 1.3.0 |
//! | `=1.2.3` | 1.2.3 alone, the only way to pin |
//! | `>1` | 2.0.0 and above (`>1.2`: 1.3.0 and above) |
//! | `>=1.4, <3` | both hold; a blank instead of the comma is an error, as is `1.2 - 1.4` |
//! | `^1 \|\| ^2` | one of them holds |
//!
//! A pre-release fits only where the range names a pre-release of the same three numbers: `^2.0.0-rc.1` admits
//! 2.0.0-rc.2 and 2.1.0, but not 2.1.0-rc.1; `>=1` and `*` admit no pre-release at all.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use semver::{Comparator, Op, Prerelease, Version, VersionReq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest range.
pub const MAX: usize = 128;
/// What a range's text may hold; the same text is in the CRD's schema. The grammar itself is checked by the parser,
/// whose message says more than a pattern's.
pub const PATTERN: &str = "^[0-9A-Za-z.*^~=<>,| -]+$";

/// A range of versions that keeps the text its author wrote.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VersionRange {
    text: String,
    /// One of them has to hold; never empty.
    alternatives: Vec<VersionReq>,
}

impl VersionRange {
    /// Parses a range; the error says what is wrong and shows ranges that are right.
    ///
    /// ```
    /// use plexica_crds::version_range::VersionRange;
    /// let range = VersionRange::parse("^1.2 || ^2").unwrap();
    /// assert!(range.matches(&"1.4.0".parse().unwrap()));
    /// assert!(!range.matches(&"2.0.0-rc.1".parse().unwrap()));
    /// ```
    pub fn parse(text: &str) -> Result<Self, InvalidRange> {
        let invalid = |problem: String| InvalidRange {
            text: text.chars().take(MAX).collect(),
            problem,
        };
        if text.len() > MAX {
            return Err(invalid(format!("it is longer than {MAX} characters")));
        }
        if text.contains('+') {
            return Err(invalid("versions of plugins have no build metadata (`+`)".into()));
        }
        let alternative = |part: &str| {
            if part.trim().is_empty() {
                let what = if text.trim().is_empty() { "it" } else { "a side of `||`" };
                return Err(invalid(format!("{what} is empty")));
            }
            VersionReq::parse(part).map_err(|error| invalid(error.to_string()))
        };
        Ok(Self {
            alternatives: text.split("||").map(alternative).collect::<Result<_, _>>()?,
            text: text.to_owned(),
        })
    }

    /// The range of all stable versions, `*`: what an installation wants that says nothing.
    pub fn any() -> Self {
        Self {
            text: "*".into(),
            alternatives: vec![VersionReq::STAR],
        }
    }

    /// Whether the version fits. A pre-release fits only where the range names one of the same three numbers.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(version))
    }

    /// Whether a conflict with this range applies to the version. A pre-release is as much in the way as the version
    /// that it becomes: `>=2` excludes 2.0.0-rc.1 too, though nobody who asks for `>=2` is given it.
    pub fn covers(&self, version: &Version) -> bool {
        let becomes = Version {
            pre: Prerelease::EMPTY,
            ..version.clone()
        };
        self.matches(version) || self.matches(&becomes)
    }

    /// As [`VersionRange::matches`], for development: a pre-release fits where the version that it becomes does, so that `^2`
    /// admits 2.0.0-rc.1. A pin admits itself alone, and where the range names a pre-release of the same three numbers, its
    /// order counts: `^2.0.0-rc.2` does not admit 2.0.0-rc.1.
    pub fn admits(&self, version: &Version) -> bool {
        let becomes = Version {
            pre: Prerelease::EMPTY,
            ..version.clone()
        };
        let names_one = |alternative: &VersionReq| {
            let numbers = (version.major, Some(version.minor), Some(version.patch));
            let mut comparators = alternative.comparators.iter();
            comparators.any(|named| !named.pre.is_empty() && (named.major, named.minor, named.patch) == numbers)
        };
        match self.exact() {
            Some(pinned) => pinned == *version,
            None => self.alternatives.iter().any(|alternative| {
                alternative.matches(version) || !names_one(alternative) && alternative.matches(&becomes)
            }),
        }
    }

    /// The version, if the range is a pin: `=1.2.3` in full.
    pub fn exact(&self) -> Option<Version> {
        let [alternative] = self.alternatives.as_slice() else {
            return None;
        };
        match alternative.comparators.as_slice() {
            [
                Comparator {
                    op: Op::Exact,
                    major,
                    minor: Some(minor),
                    patch: Some(patch),
                    pre,
                },
            ] => Some(Version {
                pre: pre.clone(),
                ..Version::new(*major, *minor, *patch)
            }),
            _ => None,
        }
    }

    /// The range as its author wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Default for VersionRange {
    fn default() -> Self {
        Self::any()
    }
}

/// A text that is no range of versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no version range: {problem}; write it as ^1.2, ~1.2.3, =1.2.3, >=1.4, <3 (both) or ^1 || ^2")]
pub struct InvalidRange {
    text: String,
    problem: String,
}

impl FromStr for VersionRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionRange({})", self.text)
    }
}

impl Serialize for VersionRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for VersionRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for VersionRange {
    fn schema_name() -> Cow<'static, str> {
        "VersionRange".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "minLength": 1, "maxLength": MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(text: &str) -> VersionRange {
        text.parse().unwrap()
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_admit_what_the_table_says() {
        for (text, inside, outside) in [
            ("*", &["0.0.1", "9.9.9"][..], &["1.0.0-rc.1"][..]),
            ("1.2.3", &["1.2.3", "1.9.0"], &["1.2.2", "2.0.0", "2.0.0-rc.1"]),
            ("^0.2.3", &["0.2.3", "0.2.9"], &["0.3.0", "0.2.2"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4"]),
            ("=1", &["1.0.0", "1.9.9"], &["2.0.0"]),
            ("1.*", &["1.0.0", "1.9.9"], &["2.0.0"]),
            ("^0", &["0.0.1", "0.9.0"], &["1.0.0"]),
            ("^0.0", &["0.0.9"], &["0.1.0"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.3.0"]),
            ("=1.2.3", &["1.2.3"], &["1.2.4", "1.2.3-rc.1"]),
            (">1", &["2.0.0"], &["1.9.9"]),
            (">1.2", &["1.3.0"], &["1.2.9"]),
            (">=1.4, <3", &["1.4.0", "2.9.0"], &["1.3.9", "3.0.0"]),
            ("^1 || ^2", &["1.0.0", "2.5.0"], &["0.9.0", "3.0.0"]),
            ("^1||=3.0.0-rc.1", &["1.0.0", "3.0.0-rc.1"], &["3.0.0", "3.0.0-rc.2"]),
            ("^2.0.0-rc.1", &["2.0.0-rc.2", "2.1.0"], &["2.1.0-rc.1", "2.0.0-beta"]),
        ] {
            let range = range(text);
            for fits in inside {
                assert!(range.matches(&version(fits)), "{text} admits {fits}");
            }
            for other in outside {
                assert!(!range.matches(&version(other)), "{text} does not admit {other}");
            }
        }
    }

    #[test]
    fn what_is_no_range_is_refused_with_the_reason_and_examples() {
        for (text, reason) in [
            ("", "it is empty"),
            ("  ", "it is empty"),
            ("^1 ||", "a side of `||` is empty"),
            ("|| ^1", "a side of `||` is empty"),
            (">=1 <2", "expected comma"),
            ("1.2 - 1.4", "expected comma"),
            ("latest", "unexpected character 'l'"),
            ("^1 | ^2", "expected comma"),
            ("1.2.3+build", "no build metadata"),
            ("01", "leading zero"),
            ("*, ^1", "only comparator"),
        ] {
            let message = VersionRange::parse(text).unwrap_err().to_string();
            assert!(message.contains(reason), "{text}: {message}");
            assert!(message.contains("write it as ^1.2"), "{text}: {message}");
        }
        assert!(VersionRange::parse(&"1,".repeat(MAX)).is_err());
    }

    #[test]
    fn a_conflict_covers_the_pre_releases_of_what_it_excludes() {
        for (text, pre_release) in [(">=2", "2.0.0-rc.1"), ("*", "0.1.0-a"), ("<2", "1.5.0-rc.1")] {
            assert!(range(text).covers(&version(pre_release)), "{text} {pre_release}");
            assert!(!range(text).matches(&version(pre_release)), "{text} {pre_release}");
        }
        assert!(!range("<2").covers(&version("2.0.0-rc.1")));
    }

    #[test]
    fn development_is_given_the_pre_releases_of_what_a_range_admits() {
        for (text, inside, outside) in [
            ("*", &["0.1.0-a", "9.9.9"][..], &[][..]),
            ("^2", &["2.0.0-rc.1", "2.1.0-rc.1", "2.0.0"], &["3.0.0-rc.1", "1.9.9"]),
            ("<2", &["1.9.0-rc.1"], &["2.0.0-rc.1"]),
            ("=2.0.0", &["2.0.0"], &["2.0.0-rc.1"]),
            ("=2.0.0-rc.1", &["2.0.0-rc.1"], &["2.0.0-rc.2", "2.0.0"]),
            (
                "^2.0.0-rc.2",
                &["2.0.0-rc.2", "2.0.0-rc.3", "2.1.0-rc.1"],
                &["2.0.0-rc.1"],
            ),
            ("^1 || =3.0.0-rc.1", &["1.4.0-beta", "3.0.0-rc.1"], &["3.0.0-rc.2"]),
        ] {
            let range = range(text);
            for fits in inside {
                assert!(range.admits(&version(fits)), "{text} admits {fits}");
            }
            for other in outside {
                assert!(!range.admits(&version(other)), "{text} does not admit {other}");
            }
        }
    }

    #[test]
    fn only_a_full_version_behind_an_equals_sign_is_a_pin() {
        assert_eq!(range("=1.2.3").exact(), Some(version("1.2.3")));
        assert_eq!(range("= 1.2.3-rc.1").exact(), Some(version("1.2.3-rc.1")));
        for text in ["1.2.3", "=1.2", "^1.2.3", "=1.2.3 || =1.2.4", "*"] {
            assert_eq!(range(text).exact(), None, "{text}");
        }
    }

    #[test]
    fn a_range_keeps_its_authors_text_on_the_wire() {
        let range: VersionRange = serde_json::from_str(r#"">=1.4,<3""#).unwrap();
        assert_eq!(serde_json::to_string(&range).unwrap(), r#"">=1.4,<3""#);
        assert_eq!(VersionRange::default(), "*".parse().unwrap());
    }

    proptest! {
        #[test]
        fn whatever_the_grammar_yields_is_a_range(
            text in r"((\^|~|=|>|>=|<|<=)? ?(0|[1-9][0-9]{0,3})(\.[*]|\.[0-9](\.[*]|\.[0-9](-rc\.[1-9])?)?)?(, | , |,)){0,2}(\^|~|=)?[0-9]( ?\|\| ?([*]|[0-9]\.[0-9])){0,2}"
        ) {
            prop_assert!(VersionRange::parse(&text).is_ok(), "{}", text);
        }

        #[test]
        fn no_text_makes_the_parser_fail(text in any::<String>()) {
            let _ = VersionRange::parse(&text);
        }
    }
}
