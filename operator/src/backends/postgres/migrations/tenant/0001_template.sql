-- The tables that every tenant has. Contract of the platform: data-model.md.
-- {{schema}} is the tenant's schema as a quoted identifier. Runs as the schema's owner.

CREATE TABLE {{schema}}.users (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    keycloak_id text        NOT NULL UNIQUE,
    email       text        NOT NULL,
    name        text,
    avatar_url  text,
    preferences jsonb       NOT NULL DEFAULT '{}',
    status      text        NOT NULL DEFAULT 'ACTIVE' CHECK (status IN ('ACTIVE', 'INACTIVE', 'SUSPENDED')),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE {{schema}}.teams (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text        NOT NULL,
    description text,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE {{schema}}.team_members (
    team_id uuid NOT NULL REFERENCES {{schema}}.teams (id) ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES {{schema}}.users (id) ON DELETE CASCADE,
    role    text NOT NULL DEFAULT 'MEMBER' CHECK (role IN ('ADMIN', 'MEMBER')),
    PRIMARY KEY (team_id, user_id)
);

CREATE TABLE {{schema}}.roles (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text        NOT NULL UNIQUE,
    description text,
    is_system   boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE {{schema}}.permissions (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    key         text        NOT NULL UNIQUE,
    name        text        NOT NULL,
    description text,
    plugin_id   text,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE {{schema}}.role_permissions (
    role_id       uuid NOT NULL REFERENCES {{schema}}.roles (id) ON DELETE CASCADE,
    permission_id uuid NOT NULL REFERENCES {{schema}}.permissions (id) ON DELETE CASCADE,
    PRIMARY KEY (role_id, permission_id)
);

CREATE TABLE {{schema}}.user_roles (
    user_id uuid NOT NULL REFERENCES {{schema}}.users (id) ON DELETE CASCADE,
    role_id uuid NOT NULL REFERENCES {{schema}}.roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);

CREATE TABLE {{schema}}.policies (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name        text        NOT NULL,
    description text,
    resource    text        NOT NULL,
    effect      text        NOT NULL CHECK (effect IN ('ALLOW', 'DENY')),
    conditions  jsonb       NOT NULL DEFAULT '{}',
    priority    integer     NOT NULL DEFAULT 0,
    source      text        NOT NULL CHECK (source IN ('CORE', 'PLUGIN', 'SUPER_ADMIN', 'TENANT_ADMIN')),
    plugin_id   text,
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- The record outlives the user it speaks of.
CREATE TABLE {{schema}}.audit_logs (
    id            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id       uuid        REFERENCES {{schema}}.users (id) ON DELETE SET NULL,
    action        text        NOT NULL,
    resource_type text,
    resource_id   text,
    details       jsonb       DEFAULT '{}',
    ip_address    text,
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX users_keycloak_id_idx ON {{schema}}.users (keycloak_id);
CREATE INDEX users_email_idx ON {{schema}}.users (email);
CREATE INDEX users_status_idx ON {{schema}}.users (status);
CREATE INDEX team_members_user_id_idx ON {{schema}}.team_members (user_id);
CREATE INDEX team_members_team_id_idx ON {{schema}}.team_members (team_id);
CREATE INDEX user_roles_user_id_idx ON {{schema}}.user_roles (user_id);
CREATE INDEX role_permissions_role_id_idx ON {{schema}}.role_permissions (role_id);
CREATE INDEX audit_logs_user_id_idx ON {{schema}}.audit_logs (user_id);
CREATE INDEX audit_logs_created_at_idx ON {{schema}}.audit_logs (created_at DESC);
CREATE INDEX audit_logs_action_idx ON {{schema}}.audit_logs (action);
