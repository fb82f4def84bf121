use proptest::prelude::*;

use super::*;

#[test]
fn placeholders_become_quoted_names() {
    let filled = fill_in(
        "CREATE TABLE {{schema}}.a (u uuid REFERENCES {{tenant_schema}}.users)",
        "p",
        "t",
    );
    assert_eq!(filled.unwrap(), "CREATE TABLE \"p\".a (u uuid REFERENCES \"t\".users)");
}

#[test]
fn an_unknown_placeholder_is_refused_and_an_array_is_none() {
    for unknown in [
        "{{tenant}}",
        "{{ schema }}",
        "{{other_schema}}",
        "a {{schema}}.b {{x-y}}",
    ] {
        let error = fill_in(unknown, "p", "t").unwrap_err();
        assert!(error.contains("is no placeholder; there are `{{schema}}`"), "{error}");
    }
    for array in ["'{{1,2},{3,4}}'", "'{{\"a\":{}}}'", "{{", "}} {{{", "'{{}}'"] {
        assert_eq!(fill_in(array, "p", "t").unwrap(), array);
    }
}

#[test]
fn scripts_are_cut_where_psql_cuts_them() {
    for (script, statements) in [
        ("SELECT 1; SELECT 2", vec!["SELECT 1", "SELECT 2"]),
        (" -- ;\n;; /* ; /* ; */ */ SELECT 1 ;\n-- end", vec!["SELECT 1"]),
        (
            "SELECT ';', \"a;b\", E'\\';', $$;$$, $x$;$$;$x$; SELECT 2",
            vec!["SELECT ';', \"a;b\", E'\\';', $$;$$, $x$;$$;$x$", "SELECT 2"],
        ),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            vec!["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        (
            "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
            vec![
                "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END",
                "SELECT 3",
            ],
        ),
        ("BEGIN; COMMIT", vec!["BEGIN", "COMMIT"]),
        ("", vec![]),
    ] {
        assert_eq!(split(script).unwrap(), statements, "{script}");
    }
}

#[test]
fn what_has_no_end_is_refused_with_its_line() {
    for script in ["SELECT 1;\nSELECT 'a", "\n/* a", "\n$$ a", "\nSELECT \"a"] {
        assert!(split(script).unwrap_err().contains("line 2"), "{script}");
    }
}

#[test]
fn a_statement_is_run_by_execute() {
    assert_eq!(
        inside_transaction("SELECT $q$'$q$"),
        "DO $qqq$\nBEGIN EXECUTE $qq$\nSELECT $q$'$q$\n$qq$; END\n$qqq$"
    );
}

#[test]
fn without_a_transaction_only_what_may_run_twice_is_accepted() {
    for accepted in [
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON t (b)",
        "create unique /* x */ index concurrently if not exists a on t (b)",
        "DROP INDEX CONCURRENTLY IF EXISTS a",
        "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
        "VACUUM t",
        "ANALYZE",
    ] {
        assert_eq!(check_repeatable(accepted), Ok(()), "{accepted}");
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
        assert!(check_repeatable(refused).unwrap_err().contains(part), "{refused}");
    }
}

proptest! {
    #[test]
    fn nothing_leaves_its_dollar_signs(text in "[$q;' \n]{0,40}|.*") {
        let quoted = dollar_quoted(&text);
        let tag = &quoted[..quoted.find('\n').unwrap()];
        let inside = &quoted[tag.len()..];
        prop_assert_eq!(inside.find(tag).unwrap(), inside.len() - tag.len());
    }

    #[test]
    fn cutting_loses_nothing_but_what_says_nothing(script in "(SELECT [a-z]{1,3}|-- [a-z;]*\n|;|'[a-z;]*'| ){0,20}") {
        let statements = split(&script).unwrap();
        for statement in &statements {
            prop_assert!(script.contains(statement.as_str()));
            prop_assert!(!statement.trim().is_empty());
        }
    }
}
