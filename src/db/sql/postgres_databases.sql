-- $1 a regular expression. The databases of the server that take connections.
SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate AND datname ~ $1 ORDER BY 1 LIMIT 10001
