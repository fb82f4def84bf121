use proptest::prelude::*;

use super::*;

#[test]
fn placeholders_become_quoted_names() {
    for (template, text) in [
        (
            "CREATE TABLE {{schema}}.a (u uuid REFERENCES {{tenant_schema}}.users)",
            "CREATE TABLE \"p\".a (u uuid REFERENCES \"t\".users)",
        ),
        (
            "DO $$ BEGIN DELETE FROM {{schema}}.a; END $$",
            "DO $$ BEGIN DELETE FROM \"p\".a; END $$",
        ),
        (
            "SELECT '{{1,2},{3,4}}', 'Hello {{name}}'",
            "SELECT '{{1,2},{3,4}}', 'Hello {{name}}'",
        ),
    ] {
        assert_eq!(fill_in(template, "p", "t").unwrap(), text);
    }
}

#[test]
fn an_unknown_placeholder_is_refused() {
    let error = fill_in("SELECT * FROM {{other_schema}}.a", "p", "t").unwrap_err();
    assert_eq!(
        error,
        "{{other_schema}} stands for nothing; there are {{schema}} and {{tenant_schema}}"
    );
}

#[test]
fn a_statement_is_run_by_execute() {
    assert_eq!(
        inside_transaction("SELECT $q$'$q$"),
        "DO $qqq$\nBEGIN EXECUTE $qq$\nSELECT $q$'$q$\n$qq$; END\n$qqq$"
    );
}

proptest! {
    #[test]
    fn nothing_leaves_its_dollar_signs(text in "[$q;' \n]{0,40}|.*") {
        let quoted = dollar_quoted(&text);
        let tag = &quoted[..quoted.find('\n').unwrap()];
        let inside = &quoted[tag.len()..];
        prop_assert_eq!(inside.find(tag).unwrap(), inside.len() - tag.len());
    }
}
