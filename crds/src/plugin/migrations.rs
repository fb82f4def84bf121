//! The rules of migrations. What the statements mean is for PostgreSQL to judge, where they run as the plugin's own
//! role; what is refused here could not run at all, or would undo the order in which migrations are applied.

use super::{ConfigMapKeyRef, Migration};
use crate::{
    sql::{self, Statement},
    violation::Violation,
};

/// What may stand in double braces (design: `{{schema}}` and `{{tenant_schema}}` become quoted identifiers).
pub const PLACEHOLDERS: [&str; 2] = ["schema", "tenant_schema"];

/// Statements that PostgreSQL refuses inside a transaction: their first words, and the word that makes them so (it is a
/// keyword that names no column). Source: `PreventInTransactionBlock` in PostgreSQL 16.
const OUTSIDE_TRANSACTIONS: [(&[&str], Option<&str>); 6] = [
    (&["CREATE"], Some("CONCURRENTLY")),
    (&["DROP"], Some("CONCURRENTLY")),
    (&["REINDEX"], Some("CONCURRENTLY")),
    (&["ALTER", "TABLE"], Some("CONCURRENTLY")),
    (&["VACUUM"], None),
    (&["ALTER", "SYSTEM"], None),
];

/// First words of statements that begin or end a transaction. Each migration is in one already, with its record.
const TRANSACTIONS: [&[&str]; 9] = [
    &["BEGIN"],
    &["START", "TRANSACTION"],
    &["COMMIT"],
    &["END"],
    &["ROLLBACK"],
    &["ABORT"],
    &["SAVEPOINT"],
    &["RELEASE"],
    &["PREPARE", "TRANSACTION"],
];

/// Rules of the list: names, order, one source each, and the statements that stand in the manifest.
pub fn violations(migrations: &[Migration]) -> Vec<Violation> {
    let mut found = vec![];
    let mut last: Option<&Migration> = None;
    for (index, migration) in migrations.iter().enumerate() {
        let field = format!("spec.migrations[{index}]");
        let Migration {
            name,
            sql,
            config_map_ref,
            ..
        } = migration;
        if !is_name(name) {
            found.push(Violation::new(
                format!("{field}.name"),
                format!(
                    "`{name}` is no name of a migration: write four digits and what it does, for example 0001_contacts"
                ),
            ));
        } else if let Some(last) = last
            && name[..4] <= last.name[..4]
        {
            found.push(Violation::new(
                format!("{field}.name"),
                format!(
                    "`{name}` comes after `{}`: each number is greater than the one before",
                    last.name
                ),
            ));
        }
        match (sql, config_map_ref) {
            (Some(sql), None) => found.extend(script_violations(&format!("{field}.sql"), migration, sql)),
            (None, Some(reference)) if is_reference(reference) => {}
            (None, Some(ConfigMapKeyRef { name: map, key })) => found.push(Violation::new(
                format!("{field}.configMapRef"),
                format!("`{name}`: no ConfigMap has the name `{map}` and the key `{key}`"),
            )),
            (Some(_), Some(_)) => found.push(Violation::new(
                &field,
                format!("`{name}` has both sql and configMapRef: leave one out"),
            )),
            (None, None) => found.push(Violation::new(
                &field,
                format!("`{name}` has neither sql nor configMapRef: write its statements"),
            )),
        }
        last = is_name(name).then_some(migration).or(last);
    }
    found
}

/// Rules of a migration's statements, wherever they come from; `field` says where, for the message.
pub fn script_violations(field: &str, migration: &Migration, script: &str) -> Vec<Violation> {
    let name = &migration.name;
    let statements = match sql::statements(script) {
        Ok(statements) => statements,
        Err(error) => {
            return vec![Violation::new(
                field,
                format!("`{name}` cannot be read as SQL: {error}"),
            )];
        }
    };
    if statements.is_empty() {
        return vec![Violation::new(field, format!("`{name}` holds no statement"))];
    }
    let mut found: Vec<_> = statements
        .iter()
        .filter_map(|statement| {
            statement_problem(statement, migration.transactional)
                .map(|problem| Violation::new(field, format!("`{name}`, line {}: {problem}", statement.line)))
        })
        .collect();
    let unknown = sql::placeholders(script).filter(|placeholder| !PLACEHOLDERS.contains(placeholder));
    found.extend(unknown.map(|placeholder| {
        Violation::new(
            field,
            format!(
                "`{name}`: {{{{{placeholder}}}}} stands for nothing; there are {{{{schema}}}} and {{{{tenant_schema}}}}"
            ),
        )
    }));
    if !migration.transactional && statements.len() > 1 {
        found.push(Violation::new(
            field,
            format!(
                "`{name}` has {} statements outside of a transaction: make each a migration of its own, so that after a failure it is known which are applied",
                statements.len()
            ),
        ));
    }
    found
}

/// Why a statement outside of a transaction cannot be run again after a crash; `None` if it can, with no harm.
/// Whether one of several was applied is not known then: docs/decisions/2026-11-21-plugin-migrations.md.
pub fn not_repeatable(statement: &Statement<'_>) -> Option<&'static str> {
    let unique = statement.begins(&["CREATE", "UNIQUE"]);
    let words = &statement.words[usize::from(unique)..];
    let begins = |wanted: &[&str]| {
        words
            .iter()
            .skip(1)
            .zip(wanted)
            .filter(|(word, wanted)| word == wanted)
            .count()
            == wanted.len()
    };
    match words.first().map(String::as_str) {
        Some("REINDEX" | "VACUUM" | "ANALYZE") => None,
        Some("DROP") if begins(&["INDEX", "CONCURRENTLY", "IF", "EXISTS"]) => None,
        Some("CREATE" | "UNIQUE") if begins(&["INDEX", "CONCURRENTLY", "IF", "NOT", "EXISTS"]) => None,
        Some("CREATE" | "UNIQUE" | "DROP") if begins(&["INDEX"]) => Some(
            "a crash may make it run twice: write CREATE INDEX CONCURRENTLY IF NOT EXISTS, or DROP INDEX CONCURRENTLY IF EXISTS",
        ),
        _ => Some(
            "without a transaction only CREATE INDEX CONCURRENTLY IF NOT EXISTS, DROP INDEX CONCURRENTLY IF EXISTS, REINDEX, VACUUM and ANALYZE are run",
        ),
    }
}

fn statement_problem(statement: &Statement<'_>, transactional: bool) -> Option<String> {
    let alone = OUTSIDE_TRANSACTIONS
        .iter()
        .any(|(words, mark)| statement.begins(words) && mark.is_none_or(|mark| statement.has(mark)));
    if TRANSACTIONS.iter().any(|words| statement.begins(words)) {
        return Some("it begins or ends a transaction: leave it out, a migration has its own".into());
    }
    if statement.begins(&["COPY"]) && (statement.has("STDIN") || statement.has("STDOUT")) {
        return Some("COPY has nobody to talk to: write INSERT".into());
    }
    if !transactional {
        return not_repeatable(statement).map(str::to_owned);
    }
    alone.then(|| {
        "PostgreSQL refuses this statement inside a transaction: set `transactional: false` for this migration".into()
    })
}

/// Whether there can be such a ConfigMap with such a key. Source: `IsDNS1123Subdomain` and `IsConfigMapKey` in
/// k8s.io/apimachinery/pkg/util/validation; whatever else was put into a path could name another kind of object.
pub fn is_reference(reference: &ConfigMapKeyRef) -> bool {
    let ConfigMapKeyRef { name, key } = reference;
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    name.split('.').all(is_label)
        && !["", ".", ".."].contains(&key.as_str())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

fn is_name(name: &str) -> bool {
    let Some((digits, what)) = name.split_once('_') else {
        return false;
    };
    digits.len() == 4
        && digits.bytes().all(|b| b.is_ascii_digit())
        && what
            .split('_')
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn migration(value: &Value) -> Migration {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn messages(list: &[Value]) -> String {
        let list: Vec<_> = list.iter().map(migration).collect();
        violations(&list)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn script(sql: &str) -> String {
        messages(&[json!({"name": "0001_x", "sql": sql})])
    }

    #[test]
    fn good_migrations_are_admitted() {
        let list = [
            json!({"name": "0001_contacts", "sql": "CREATE TABLE {{schema}}.contacts (owner uuid REFERENCES {{tenant_schema}}.users, tags int[] DEFAULT '{{1,2},{3,4}}');"}),
            json!({"name": "0002_index", "sql": "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON {{schema}}.contacts (owner)", "transactional": false}),
            json!({"name": "0010_large", "configMapRef": {"name": "crm-1.4.0", "key": "0010.sql"}, "phase": "Contract"}),
            json!({"name": "0011_function", "sql": "CREATE FUNCTION {{schema}}.f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN COMMIT; END $$"}),
            json!({"name": "0012_texts", "sql": "INSERT INTO {{schema}}.texts VALUES ('Hello {{name}}')"}),
            json!({"name": "0013_column", "sql": "ALTER TABLE {{schema}}.contacts ADD COLUMN concurrently_edited bool"}),
        ];
        assert_eq!(messages(&list), "");
    }

    #[test]
    fn names_give_the_order() {
        let text = messages(&[
            json!({"name": "0002_b", "sql": "SELECT 1"}),
            json!({"name": "0001_a", "sql": "SELECT 1"}),
            json!({"name": "0002_c", "sql": "SELECT 1"}),
            json!({"name": "3_d", "sql": "SELECT 1"}),
        ]);
        for part in [
            "spec.migrations[1].name: `0001_a` comes after `0002_b`",
            "spec.migrations[3].name: `3_d` is no name",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("migrations[0]"));
    }

    #[test]
    fn statements_come_from_one_place() {
        let reference = json!({"name": "m", "key": "k"});
        assert!(messages(&[json!({"name": "0001_x"})]).contains("neither sql nor configMapRef"));
        let odd = json!({"name": "../../tenant-acme/secrets/plexica-database", "key": "uri"});
        let odd = messages(&[json!({"name": "0001_x", "configMapRef": odd})]);
        assert!(
            odd.contains("spec.migrations[0].configMapRef: `0001_x`: no ConfigMap"),
            "{odd}"
        );
        let both = json!({"name": "0001_x", "sql": "SELECT 1", "configMapRef": reference});
        assert!(messages(&[both]).contains("both sql and configMapRef"));
    }

    #[test]
    fn what_could_not_run_is_refused_with_its_line() {
        for (sql, part) in [
            (" -- nothing\n;", "holds no statement"),
            ("SELECT 1;\nSELECT 'a", "line 2: a string that begins here does not end"),
            ("SELECT 1;\ncommit;", "line 2: it begins or ends a transaction"),
            ("COPY {{schema}}.a FROM stdin;", "COPY has nobody"),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY i ON a (b)",
                "set `transactional: false`",
            ),
            ("VACUUM", "set `transactional: false`"),
            ("SELECT * FROM {{shcema}}.a", "{{shcema}} stands for nothing"),
        ] {
            let text = script(sql);
            assert!(text.contains(part), "{sql}: {text}");
        }
    }

    #[test]
    fn outside_of_a_transaction_only_what_may_run_twice_is_admitted() {
        let problem = |sql: &str| not_repeatable(&sql::statements(sql).unwrap()[0]);
        for admitted in [
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (b)",
            "create unique /* x */ index concurrently if not exists a on t (b)",
            "DROP INDEX CONCURRENTLY IF EXISTS a",
            "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
            "VACUUM t",
            "ANALYZE",
        ] {
            assert_eq!(problem(admitted), None, "{admitted}");
        }
        for (refused, part) in [
            ("CREATE INDEX CONCURRENTLY a ON t (b)", "IF NOT EXISTS"),
            ("CREATE INDEX CONCURRENTLY ON t (b)", "IF NOT EXISTS"),
            ("DROP INDEX a", "IF EXISTS"),
            ("COMMIT", "are run"),
            ("INSERT INTO t VALUES (1)", "are run"),
            ("CREATE TABLE t ()", "are run"),
            ("DO $$ BEGIN COMMIT; END $$", "are run"),
            ("\"vacuum\"", "are run"),
        ] {
            assert!(problem(refused).unwrap().contains(part), "{refused}");
        }
    }

    #[test]
    fn outside_of_a_transaction_there_is_one_statement() {
        let two = json!({"name": "0001_x", "sql": "VACUUM; VACUUM", "transactional": false});
        assert!(messages(&[two]).contains("2 statements outside of a transaction"));
    }
}
