//! Durations as Gateway API writes them (GEP-2257): `30s`, `15m`, `720h`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Pattern of the grammar; the same text is in the CRD's schema.
pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A length of time that keeps the text its author wrote.
#[derive(Clone, PartialEq, Eq)]
pub struct Period {
    text: String,
    value: Duration,
}

impl Period {
    /// A constant that a test parses; the fallback is never reached.
    pub(crate) fn constant(text: &'static str) -> Self {
        text.parse().unwrap_or_else(|_| unreachable!("a constant"))
    }

    /// The length.
    pub fn value(&self) -> Duration {
        self.value
    }
}

/// A text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration: write it as 30s, 15m, 720h or 1h30m")]
pub struct InvalidPeriod(String);

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidPeriod(text.to_owned());
        let mut rest = text;
        let mut value = Duration::ZERO;
        for _ in 0..4 {
            if rest.is_empty() {
                break;
            }
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
            if !(1..=5).contains(&digits) {
                return Err(invalid());
            }
            let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
            rest = &rest[digits..];
            // `ms` before `m`: the longer unit wins, as in the pattern.
            let (unit, length) = [("ms", 2), ("h", 1), ("m", 1), ("s", 1)]
                .into_iter()
                .find(|(unit, _)| rest.starts_with(unit))
                .ok_or_else(invalid)?;
            rest = &rest[length..];
            value += match unit {
                "h" => Duration::from_secs(number * 3_600),
                "m" => Duration::from_secs(number * 60),
                "s" => Duration::from_secs(number),
                _ => Duration::from_millis(number),
            };
        }
        if text.is_empty() || !rest.is_empty() {
            return Err(invalid());
        }
        Ok(Self {
            text: text.to_owned(),
            value,
        })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Period({})", self.text)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_as_gateway_api_writes_them() {
        for (text, seconds) in [
            ("30s", 30),
            ("15m", 900),
            ("720h", 2_592_000),
            ("1h30m", 5_400),
            ("0s", 0),
        ] {
            assert_eq!(text.parse::<Period>().unwrap().value(), Duration::from_secs(seconds));
        }
        assert_eq!(
            "1500ms".parse::<Period>().unwrap().value(),
            Duration::from_millis(1_500)
        );
    }

    #[test]
    fn what_is_no_period_is_refused_with_examples() {
        for text in ["", "1d", "-1h", "1.5h", "30", "h", "123456s", "1h1h1h1h1h"] {
            assert!(
                text.parse::<Period>().unwrap_err().to_string().contains("720h"),
                "{text}"
            );
        }
    }
}
