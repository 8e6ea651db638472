SELECT version_num::text FROM {table} WHERE version_num IS NOT NULL LIMIT {limit}
