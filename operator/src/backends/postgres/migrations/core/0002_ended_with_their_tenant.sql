-- What tenants had installed that ended before the operator wrote this down itself.

UPDATE core.tenant_plugins AS p SET enabled = false, status = 'UNINSTALLED'
FROM core.tenants AS t
WHERE t.id = p.tenant_id AND t.status IN ('PENDING_DELETION', 'DELETED') AND (p.enabled OR p.status <> 'UNINSTALLED');
