-- $1 the version table. Every object of the database as kind, name and definition, in one query.
-- Left out: SQLite's own objects, and the table that Alembic's batch mode copies into.
WITH own AS (
    SELECT m.type, m.name, m.tbl_name, m.sql FROM sqlite_master AS m
    WHERE m.tbl_name <> $1 AND substr(m.name, 1, 7) <> 'sqlite_' AND substr(m.tbl_name, 1, 13) <> '_alembic_tmp_'
)
SELECT type AS kind, name, COALESCE(sql, '') AS definition FROM own

UNION ALL
SELECT 'column', m.name || '.' || c.name,
       c.type || CASE WHEN c."notnull" THEN ' not null' ELSE '' END || COALESCE(' default ' || c.dflt_value, '')
       || CASE WHEN c.pk > 0 THEN ' primary key ' || c.pk ELSE '' END || CASE WHEN c.hidden > 1 THEN ' generated' ELSE '' END
FROM own AS m, pragma_table_xinfo(m.name) AS c WHERE m.type = 'table'
