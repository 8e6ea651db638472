-- $1 schemas, $2 the version table. Whether each has that table, and others.
SELECT n.nspname::text, COALESCE(bool_or(c.relname = $2), false), COALESCE(bool_or(c.relname <> $2), false)
FROM pg_catalog.pg_namespace AS n LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p')
WHERE n.nspname = ANY ($1) GROUP BY 1
