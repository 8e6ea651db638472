-- ? the version table. What else is in the database that the connection is in; a few names are enough.
SELECT CAST(table_name AS CHAR) FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_name <> ?
ORDER BY table_name LIMIT 6
