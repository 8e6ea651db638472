-- ? a regular expression. The databases that the user may see, without the server's own.
SELECT CONVERT(schema_name USING utf8mb4) FROM information_schema.schemata WHERE schema_name REGEXP ? AND schema_name NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1 LIMIT 10001
