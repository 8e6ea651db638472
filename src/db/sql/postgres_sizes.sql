-- About how many rows each table has: as the planner guesses it, from the last ANALYZE and today's size. A table that was
-- never analysed is taken for one of narrow rows. Partitioned tables are left out: the sum over their partitions is none
-- of one lock. And the indexes that a failed CREATE INDEX CONCURRENTLY has left.
WITH invalid AS (
    SELECT x.indrelid, i.relname FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid
    WHERE NOT x.indisvalid LIMIT 1000
)
SELECT n.nspname::text || '.' || c.relname::text,
       CASE WHEN c.reltuples >= 0 AND c.relpages > 0
            THEN c.reltuples::float8 / c.relpages * pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::float8
            ELSE pg_catalog.pg_relation_size(c.oid) / 32.0 END::bigint,
       ARRAY(SELECT i.relname::text FROM invalid AS i WHERE i.indrelid = c.oid ORDER BY 1)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
LIMIT 20000
