-- The record of plugins' migrations: docs/decisions/2026-11-21-plugin-migrations.md. Nobody but the operator has any
-- privilege here, so that no script of a plugin can read or forge it.

CREATE TABLE {{schema}}.plugin_migrations (
    -- The plugin's schema.
    schema_name    text        NOT NULL,
    name           text        NOT NULL,
    sha256         text        NOT NULL,
    -- The transaction that the script runs in, noted before its first statement: whether it was committed is asked of
    -- PostgreSQL. NULL for a migration that runs outside of one.
    transaction_id xid8,
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- NULL as long as it is not known to be applied.
    applied_at     timestamptz,
    PRIMARY KEY (schema_name, name)
);
