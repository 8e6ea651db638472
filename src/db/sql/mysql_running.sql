-- ? the schema of the version table or NULL, and the table. Whether a runner holds its lock: see MysqlLock.
SELECT IS_USED_LOCK(CONCAT('alembic-operator:', LEFT(SHA2(CONCAT(COALESCE(?, DATABASE()), '.', ?), 256), 40))) IS NOT NULL
