SELECT CAST(version_num AS CHAR) FROM {table} WHERE version_num IS NOT NULL LIMIT {limit}
