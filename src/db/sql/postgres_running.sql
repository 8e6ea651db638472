-- $1 the version table, $2 its schema or NULL. Whether a runner holds the lock of this version table: see PostgresqlLock.
SELECT EXISTS (
    SELECT 1 FROM pg_locks AS l JOIN pg_namespace AS n
      ON ((l.classid::bigint << 32) | l.objid::bigint)
       = ('x' || left(encode(sha256(convert_to('alembic-operator:' || n.nspname || '.' || $1, 'UTF8')), 'hex'), 16))::bit(64)::bigint
    WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND n.nspname = COALESCE($2, n.nspname)
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
)
