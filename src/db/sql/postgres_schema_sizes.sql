-- $1 schemas. About how many rows the largest table of each name has, in any of them.
SELECT 'public.' || c.relname::text,
       max(CASE WHEN c.reltuples >= 0 AND c.relpages > 0
                THEN c.reltuples::float8 / c.relpages * pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::float8
                ELSE pg_catalog.pg_relation_size(c.oid) / 32.0 END)::bigint
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname = ANY ($1) GROUP BY 1 LIMIT 20000
