SELECT CAST(LEFT(version_num, {length}) AS CHAR) FROM {table} LIMIT {limit}
