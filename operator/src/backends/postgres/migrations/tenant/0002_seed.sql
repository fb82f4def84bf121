-- The roles and permissions that every tenant begins with: data-model.md. Rows that are there are left as they are.

INSERT INTO {{schema}}.roles (name, description, is_system) VALUES
    ('admin', 'Everything in this tenant', true),
    ('user', 'Everyday use', true),
    ('guest', 'Looking only', true)
ON CONFLICT (name) DO NOTHING;

INSERT INTO {{schema}}.permissions (key, name) VALUES
    ('users.read', 'See users'),
    ('users.write', 'Make and change users'),
    ('users.delete', 'Delete users'),
    ('roles.read', 'See roles'),
    ('roles.write', 'Make and change roles'),
    ('roles.delete', 'Delete roles'),
    ('settings.read', 'See settings'),
    ('settings.write', 'Change settings'),
    ('plugins.read', 'See plugins'),
    ('plugins.write', 'Install and configure plugins')
ON CONFLICT (key) DO NOTHING;

INSERT INTO {{schema}}.role_permissions (role_id, permission_id)
SELECT r.id, p.id
FROM {{schema}}.roles AS r
JOIN {{schema}}.permissions AS p
    ON (r.name = 'admin' AND p.key IN (
            'users.read', 'users.write', 'users.delete', 'roles.read', 'roles.write', 'roles.delete',
            'settings.read', 'settings.write', 'plugins.read', 'plugins.write'))
    OR (r.name = 'user' AND p.key IN ('users.read', 'settings.read'))
    OR (r.name = 'guest' AND p.key = 'users.read')
ON CONFLICT DO NOTHING;
