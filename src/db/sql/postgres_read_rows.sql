SELECT left(version_num::text, {length}) FROM {table} LIMIT {limit}
