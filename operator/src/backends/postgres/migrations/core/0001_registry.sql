-- The platform's registry. Contract of the platform: data-model.md; columns below the line are the operator's own.

CREATE TABLE core.tenants (
    id         uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    slug       text        NOT NULL UNIQUE,
    name       text        NOT NULL,
    status     text        NOT NULL DEFAULT 'PROVISIONING'
               CHECK (status IN ('PROVISIONING', 'ACTIVE', 'SUSPENDED', 'PENDING_DELETION', 'DELETED')),
    settings   jsonb       NOT NULL DEFAULT '{}',
    theme      jsonb       NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    -- The operator's own:
    postgres_pool       text NOT NULL,
    keycloak_pool       text,
    s3_pool             text NOT NULL,
    purge_at            timestamptz,
    object_uid          text,
    observed_generation bigint
);

CREATE TABLE core.plugins (
    id         text        NOT NULL,
    version    text        NOT NULL,
    name       text        NOT NULL,
    manifest   jsonb       NOT NULL DEFAULT '{}',
    status     text        NOT NULL DEFAULT 'AVAILABLE' CHECK (status IN ('AVAILABLE', 'INSTALLED', 'DEPRECATED')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, version)
);

CREATE TABLE core.tenant_plugins (
    tenant_id     uuid        NOT NULL REFERENCES core.tenants (id) ON DELETE CASCADE,
    plugin_id     text        NOT NULL,
    version       text        NOT NULL,
    enabled       boolean     NOT NULL DEFAULT true,
    configuration jsonb       NOT NULL DEFAULT '{}',
    status        text        NOT NULL CHECK (status IN ('IN_PROGRESS', 'INSTALLED', 'FAILED', 'UNINSTALLED')),
    installed_at  timestamptz NOT NULL DEFAULT now(),
    installed_by  text,
    PRIMARY KEY (tenant_id, plugin_id)
);

CREATE TABLE core.super_admins (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    keycloak_id text        NOT NULL UNIQUE,
    email       text        NOT NULL,
    name        text,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX tenants_slug_idx ON core.tenants (slug);
CREATE INDEX tenants_status_idx ON core.tenants (status);
