-- $1 a regular expression. The schemas of the database but for the server's own.
SELECT nspname::text FROM pg_catalog.pg_namespace
WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND nspname ~ $1 ORDER BY 1 LIMIT 10001
