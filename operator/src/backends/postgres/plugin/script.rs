//! A plugin's SQL as a list of statements: names put in, cut at its semicolons.
//!
//! No safety rests on this reading. A statement of a transaction is run by PL/pgSQL's EXECUTE, which refuses to begin,
//! end or part a transaction and to talk to the client, whatever the text is; one outside of a transaction is sent as
//! one statement, which the server checks. What is misread here fails there.

use squawk_lexer::{LiteralKind, Token, TokenKind, tokenize};

use crate::backends::postgres::sql::identifier;

const SCHEMA: &str = "schema";
const TENANT_SCHEMA: &str = "tenant_schema";

/// Puts the names of schemas in.
///
/// # Errors
/// A sentence about a placeholder that is unknown. `{{` followed by anything but a name is none: array literals have it.
pub(super) fn fill_in(template: &str, schema: &str, tenant_schema: &str) -> Result<String, String> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        text.push_str(&rest[..start]);
        rest = &rest[start + 2..];
        let name = rest.find("}}").map(|end| &rest[..end]);
        match name {
            Some(SCHEMA) => text.push_str(&identifier(schema)),
            Some(TENANT_SCHEMA) => text.push_str(&identifier(tenant_schema)),
            Some(name) if is_placeholder(name) => {
                return Err(format!(
                    "`{{{{{name}}}}}` is no placeholder; there are `{{{{{SCHEMA}}}}}` and `{{{{{TENANT_SCHEMA}}}}}`"
                ));
            }
            _ => {
                text.push_str("{{");
                continue;
            }
        }
        rest = &rest[name.map_or(0, str::len) + 2..];
    }
    text.push_str(rest);
    Ok(text)
}

fn is_placeholder(name: &str) -> bool {
    let name = name.trim();
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

/// Cuts a script at its semicolons. Pieces of nothing but space and comments are left out, and so are semicolons, and
/// comments before a statement.
///
/// # Errors
/// A sentence about a text or comment without an end.
pub(super) fn split(script: &str) -> Result<Vec<String>, String> {
    let mut statements = Vec::new();
    let mut current = Reading::default();
    let mut offset = 0;
    for token in tokenize(script) {
        let end = offset + token.len as usize;
        let text = &script[offset..end];
        if let Some(what) = unterminated(&token) {
            let line = script[..offset].matches('\n').count() + 1;
            return Err(format!("{what} that begins in line {line} has no end"));
        }
        match token.kind {
            TokenKind::Semi if current.may_end() => {
                statements.extend(current.statement(&script[..offset]));
                current = Reading::default();
            }
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. } | TokenKind::Eof => {}
            kind => {
                current.start.get_or_insert(offset);
                current.read(kind, text);
            }
        }
        offset = end;
    }
    statements.extend(current.statement(script));
    Ok(statements)
}

fn unterminated(token: &Token) -> Option<&'static str> {
    match token.kind {
        TokenKind::BlockComment { terminated: false } => Some("a comment"),
        TokenKind::QuotedIdent { terminated: false, .. } => Some("a quoted name"),
        TokenKind::Literal {
            kind:
                LiteralKind::Str { terminated: false }
                | LiteralKind::EscStr { terminated: false }
                | LiteralKind::NationalStr { terminated: false }
                | LiteralKind::ByteStr { terminated: false }
                | LiteralKind::BitStr { terminated: false }
                | LiteralKind::UnicodeEscStr { terminated: false }
                | LiteralKind::DollarQuotedString { terminated: false },
        } => Some("a text"),
        _ => None,
    }
}

/// A statement being read. Semicolons do not end it within parentheses (CREATE RULE) nor within the body of a routine
/// in SQL (`BEGIN ATOMIC … END`), as in psql (<https://github.com/postgres/postgres/blob/master/src/fe_utils/psqlscan.l>).
#[derive(Default)]
struct Reading {
    start: Option<usize>,
    words: usize,
    makes_routine: bool,
    after_create: bool,
    parentheses: usize,
    blocks: usize,
}

impl Reading {
    fn may_end(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn read(&mut self, kind: TokenKind, text: &str) {
        match kind {
            TokenKind::OpenParen => self.parentheses += 1,
            TokenKind::CloseParen => self.parentheses = self.parentheses.saturating_sub(1),
            TokenKind::Ident => self.word(&text.to_ascii_lowercase()),
            _ => {}
        }
    }

    fn word(&mut self, word: &str) {
        self.words += 1;
        match (self.words, word) {
            (1, "create") => self.after_create = true,
            // CREATE [OR REPLACE] FUNCTION
            (2..=4, "function" | "procedure") if self.after_create => self.makes_routine = true,
            (_, "begin") if self.makes_routine => self.blocks += 1,
            (_, "case") if self.blocks > 0 => self.blocks += 1,
            (_, "end") => self.blocks = self.blocks.saturating_sub(1),
            _ => {}
        }
    }

    /// The statement, if anything of it was read.
    fn statement(&self, until: &str) -> Option<String> {
        Some(until[self.start?..].trim_end().to_owned())
    }
}

/// A statement as PL/pgSQL's EXECUTE runs it.
pub(super) fn inside_transaction(statement: &str) -> String {
    let statement = dollar_quoted(statement);
    format!("DO {}", dollar_quoted(&format!("BEGIN EXECUTE {statement}; END")))
}

/// A text between dollar signs and a tag that does not occur in it; so no setting of the session changes how it is
/// read. The line breaks keep its own end from becoming part of a tag.
fn dollar_quoted(text: &str) -> String {
    let mut tag = "$q$".to_owned();
    while text.contains(&tag) {
        tag.insert(1, 'q');
    }
    format!("{tag}\n{text}\n{tag}")
}

/// Checks that a statement outside of a transaction may be run again after a crash.
///
/// # Errors
/// A sentence that says what is accepted.
pub(super) fn check_repeatable(statement: &str) -> Result<(), String> {
    let words: Vec<String> = tokenize(statement)
        .scan(0, |offset, token| {
            let text = &statement[*offset..*offset + token.len as usize];
            *offset += text.len();
            Some((token.kind, text))
        })
        .filter(|(kind, _)| {
            !matches!(
                kind,
                TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. }
            )
        })
        .take_while(|(kind, _)| *kind == TokenKind::Ident)
        .map(|(_, text)| text.to_ascii_lowercase())
        .filter(|word| word != "unique")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create", "index", "concurrently", "if", "not", "exists", ..]
        | ["drop", "index", "concurrently", "if", "exists", ..]
        | ["reindex" | "vacuum" | "analyze", ..] => Ok(()),
        ["create" | "drop", "index", ..] => Err(
            "a crash may make it run twice: write CREATE INDEX CONCURRENTLY IF NOT EXISTS, or DROP INDEX CONCURRENTLY \
             IF EXISTS"
                .to_owned(),
        ),
        _ => Err(
            "without a transaction only CREATE INDEX CONCURRENTLY IF NOT EXISTS, DROP INDEX CONCURRENTLY IF \
                  EXISTS, REINDEX, VACUUM and ANALYZE are run"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
