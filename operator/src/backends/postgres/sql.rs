//! The one place where names and texts become SQL.
//!
//! Utility statements (CREATE ROLE, COMMENT, ...) take no parameters, so what they name is quoted here; values of
//! other statements are bound. Sessions pin `standard_conforming_strings`, so a backslash is a backslash.

/// An identifier, quoted. A NUL byte cannot travel in SQL text and is left out.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// A text literal, quoted.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// Statements to be sent in one go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Script(String);

impl Script {
    /// Adds a statement, or several.
    pub(super) fn push(&mut self, statement: impl AsRef<str>) {
        self.0.push_str(statement.as_ref());
        self.0.push_str(";\n");
    }

    /// Adds another script.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text to send.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl<S: AsRef<str>> FromIterator<S> for Script {
    fn from_iter<I: IntoIterator<Item = S>>(statements: I) -> Self {
        let mut script = Self::default();
        statements.into_iter().for_each(|statement| script.push(statement));
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(identifier("a\"; DROP ROLE x; --"), "\"a\"\"; DROP ROLE x; --\"");
        assert_eq!(literal("it's"), "'it''s'");
    }

    proptest! {
        #[test]
        fn nothing_leaves_its_quotes(text in ".*") {
            let quoted = literal(&text);
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert!(!inner.replace("''", "").contains('\''));
            let quoted = identifier(&text);
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
        }
    }
}
