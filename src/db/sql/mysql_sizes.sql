-- About how many rows each table has, as the engine guesses it. Partitioned tables are left out.
SELECT CAST(table_name AS CHAR), CAST(COALESCE(table_rows, 0) AS SIGNED) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND create_options NOT LIKE '%partitioned%'
LIMIT 20000
