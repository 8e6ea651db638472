-- $1 schema or NULL, $2 table. The name comes back quoted, or NULL when there is no such table; without a schema it is
-- looked for along the search_path, as Alembic's has_table does.
SELECT current_setting('server_version'),
       CASE WHEN t.oid IS NULL THEN NULL ELSE format('%I.%I', n.nspname, c.relname) END
FROM (SELECT to_regclass(concat_ws('.', quote_ident($1::text), quote_ident($2::text)))::oid AS oid) AS t
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.oid
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
