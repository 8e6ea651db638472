-- ? the schema or NULL, ? the version table
SELECT CAST(character_maximum_length AS UNSIGNED) FROM information_schema.columns
WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND column_name = 'version_num'
