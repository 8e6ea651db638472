-- $1 the version table, quoted. NULL for a type without a limit.
SELECT information_schema._pg_char_max_length(a.atttypid, a.atttypmod)::int
FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $1::regclass AND a.attname = 'version_num'
