-- The cluster's own number with the database's in it. The transaction ends here, so that a pooler keeps the session.
SELECT s.system_identifier::text || '/' || d.oid::text
FROM pg_catalog.pg_control_system() AS s, pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database();
COMMIT
