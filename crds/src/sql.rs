//! SQL scripts as lists of statements, as PostgreSQL would read them.
//!
//! Tokens come from the lexer of squawk (quotes, dollar quotes, nested comments); here they become statements. The
//! grammar is left to PostgreSQL: docs/decisions/2026-11-21-sql-is-split-not-parsed.md.

use std::ops::Range;

use squawk_lexer::{LiteralKind, TokenKind, tokenize};

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement<'a> {
    /// Its text, without the semicolon and what is around it.
    pub text: &'a str,
    /// Line of the script where it begins, counted from 1.
    pub line: usize,
    /// Its words outside of quotes and comments, in upper case: keywords and names.
    pub words: Vec<String>,
}

impl Statement<'_> {
    /// Whether the statement begins with these words.
    pub fn begins(&self, words: &[&str]) -> bool {
        self.words.len() >= words.len() && self.words.iter().zip(words).all(|(word, wanted)| word == wanted)
    }

    /// Whether the word is among those of the statement.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }
}

/// What keeps a script from being read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct Unreadable {
    /// Line of the script, counted from 1.
    pub line: usize,
    problem: String,
}

/// The statements of a script, in order. Empty ones and comments are left out.
///
/// # Errors
/// A quote or comment that does not end, a parenthesis without its other half, or a character that SQL does not know.
///
/// ```
/// use plexica_crds::sql;
/// let script = "CREATE TABLE a (b text DEFAULT ';'); -- one; two\nDO $$ BEGIN NULL; END $$;";
/// let statements = sql::statements(script).unwrap();
/// assert_eq!(statements.len(), 2);
/// assert_eq!(statements[1].line, 2);
/// ```
pub fn statements(script: &str) -> Result<Vec<Statement<'_>>, Unreadable> {
    let mut found = vec![];
    let mut current = Open::default();
    let mut end = 0;
    for token in tokenize(script) {
        let start = end;
        end += token.len as usize;
        let text = &script[start..end];
        let line = || line_of(script, start);
        if let Some(problem) = problem(token.kind, text) {
            return Err(Unreadable { line: line(), problem });
        }
        match token.kind {
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } => continue,
            TokenKind::Semi if current.depth == 0 && current.blocks == 0 => {
                found.extend(current.close(script));
                continue;
            }
            TokenKind::OpenParen => current.depth += 1,
            TokenKind::CloseParen if current.depth == 0 => {
                return Err(Unreadable {
                    line: line(),
                    problem: "a closing parenthesis without its opening one".into(),
                });
            }
            TokenKind::CloseParen => current.depth -= 1,
            TokenKind::Ident => current.word(text),
            _ => {}
        }
        current.extend(start..end);
    }
    if current.depth > 0 {
        return Err(Unreadable {
            line: line_of(script, current.span.as_ref().map_or(0, |span| span.start)),
            problem: "the statement has an opening parenthesis without its closing one".into(),
        });
    }
    if current.blocks > 0 {
        return Err(Unreadable {
            line: line_of(script, current.span.as_ref().map_or(0, |span| span.start)),
            problem: "the statement has BEGIN ATOMIC without its END".into(),
        });
    }
    found.extend(current.close(script));
    Ok(found)
}

/// The names in double braces outside of quotes and comments: `{{schema}}`. In a string they are text.
pub fn placeholders(script: &str) -> impl Iterator<Item = &str> {
    let mut end = 0;
    let tokens: Vec<_> = tokenize(script)
        .map(|token| {
            let start = end;
            end += token.len as usize;
            (token.kind, &script[start..end])
        })
        .collect();
    let found: Vec<_> = tokens
        .windows(5)
        .filter_map(|window| match window {
            [
                (TokenKind::OpenCurly, _),
                (TokenKind::OpenCurly, _),
                (TokenKind::Ident, name),
                (TokenKind::CloseCurly, _),
                (TokenKind::CloseCurly, _),
            ] => Some(*name),
            _ => None,
        })
        .collect();
    found.into_iter()
}

/// A statement that is being read.
#[derive(Default)]
struct Open {
    span: Option<Range<usize>>,
    words: Vec<String>,
    /// Open parentheses: a rule's actions have semicolons in them (CREATE RULE).
    depth: usize,
    /// Open blocks of a function's body in SQL (BEGIN ATOMIC ... END), in which CASE ends with END too. As psql does it:
    /// psqlscan.l, `begin_depth`.
    blocks: usize,
}

impl Open {
    fn extend(&mut self, token: Range<usize>) {
        match &mut self.span {
            Some(span) => span.end = token.end,
            None => self.span = Some(token),
        }
    }

    fn word(&mut self, text: &str) {
        let word = text.to_ascii_uppercase();
        match word.as_str() {
            "ATOMIC" if self.words.last().is_some_and(|last| last == "BEGIN") => self.blocks += 1,
            "CASE" if self.blocks > 0 => self.blocks += 1,
            "END" if self.blocks > 0 => self.blocks -= 1,
            _ => {}
        }
        self.words.push(word);
    }

    /// Ends the statement; `None` if there was none.
    fn close<'a>(&mut self, script: &'a str) -> Option<Statement<'a>> {
        let Self { span, words, .. } = std::mem::take(self);
        let span = span?;
        Some(Statement {
            line: line_of(script, span.start),
            text: &script[span],
            words,
        })
    }
}

fn line_of(script: &str, offset: usize) -> usize {
    script[..offset].matches('\n').count() + 1
}

fn problem(kind: TokenKind, text: &str) -> Option<String> {
    let open = |what: &str| Some(format!("{what} does not end"));
    match kind {
        TokenKind::Unknown if text.starts_with('\\') => {
            Some("commands of psql (they begin with a backslash) are not SQL".into())
        }
        TokenKind::Unknown => Some(format!("`{}` is not SQL", text.escape_debug())),
        TokenKind::BlockComment { terminated: false } => open("a comment that begins here"),
        TokenKind::QuotedIdent { terminated: false, .. } => open("a quoted name that begins here"),
        TokenKind::Literal { kind } => match kind {
            LiteralKind::Str { terminated: false, .. }
            | LiteralKind::NationalStr { terminated: false, .. }
            | LiteralKind::ByteStr { terminated: false, .. }
            | LiteralKind::BitStr { terminated: false, .. }
            | LiteralKind::UnicodeEscStr { terminated: false, .. }
            | LiteralKind::EscStr { terminated: false, .. } => open("a string that begins here"),
            LiteralKind::DollarQuotedString { terminated: false, .. } => {
                open("a dollar-quoted string that begins here")
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(script: &str) -> Vec<&str> {
        statements(script).unwrap().into_iter().map(|s| s.text).collect()
    }

    #[test]
    fn a_semicolon_ends_a_statement_only_outside_of_quotes_comments_and_bodies() {
        for (script, expected) in [
            ("SELECT 1; SELECT 2", &["SELECT 1", "SELECT 2"][..]),
            ("SELECT ';', \";\"; ", &["SELECT ';', \";\""]),
            ("SELECT 'it''s; fine';", &["SELECT 'it''s; fine'"]),
            ("SELECT E'a\\';b';", &["SELECT E'a\\';b'"]),
            ("SELECT '\\'; SELECT 2;", &["SELECT '\\'", "SELECT 2"]),
            ("SELECT a->>'b' ? 'c' AS größe;", &["SELECT a->>'b' ? 'c' AS größe"]),
            ("SELECT $1, a$b, $x$;$x$;", &["SELECT $1, a$b, $x$;$x$"]),
            ("/* a; /* b; */ c; */ SELECT 1; -- d;", &["SELECT 1"]),
            ("DO $x$ BEGIN; $$ ; $$ END; $x$;", &["DO $x$ BEGIN; $$ ; $$ END; $x$"]),
            (
                "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);",
                &["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)"],
            ),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3;",
                &[
                    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                    "SELECT 3",
                ],
            ),
            (";; -- nothing\n;", &[]),
        ] {
            assert_eq!(texts(script), expected, "{script}");
        }
    }

    #[test]
    fn placeholders_of_schemas_are_read_as_they_stand() {
        let script = "CREATE TABLE {{schema}}.a (id int REFERENCES {{tenant_schema}}.users);";
        assert_eq!(texts(script), [script.trim_end_matches(';')]);
    }

    #[test]
    fn what_does_not_end_is_refused_with_the_line_where_it_begins() {
        for (script, part) in [
            ("SELECT 1;\nSELECT 'a;\n", "line 2: a string"),
            ("\n\nDO $$ BEGIN", "line 3: a dollar-quoted string"),
            ("/* a", "line 1: a comment"),
            ("SELECT N'a", "line 1: a string"),
            ("SELECT \"a", "line 1: a quoted name"),
            (
                "SELECT 1;\nSELECT (1;",
                "line 2: the statement has an opening parenthesis",
            ),
            ("SELECT 1)", "line 1: a closing parenthesis"),
            (
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;",
                "BEGIN ATOMIC without its END",
            ),
            ("\\copy a from 'b'", "commands of psql"),
        ] {
            let message = statements(script).unwrap_err().to_string();
            assert!(message.contains(part), "{script}: {message}");
        }
    }

    #[test]
    fn words_are_those_outside_of_quotes() {
        let script = "create /* x */ index concurrently \"y\" on {{schema}}.t (a)";
        let statement = &statements(script).unwrap()[0];
        assert!(statement.begins(&["CREATE", "INDEX", "CONCURRENTLY"]));
        assert!(statement.has("SCHEMA") && !statement.has("X") && !statement.has("Y"));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange_to_be_read_or_refused(script in any::<String>()) {
            if let Ok(found) = statements(&script) {
                prop_assert!(found.iter().all(|s| !s.text.is_empty() && s.line <= script.matches('\n').count() + 1));
            }
        }

        #[test]
        fn a_statement_in_any_quote_is_one_statement(body in "[a-z;'\" \n]{0,40}") {
            let script = format!("DO $q$ {body} $q$; SELECT '{}'; SELECT 3", body.replace('\'', "''"));
            prop_assert_eq!(statements(&script).unwrap().len(), 3);
        }
    }
}
