-- ? the version table, several times. Every object of the database's schema as kind, name and definition, in one query; what this user
-- may not see comes as of the kind "unseen".
-- Left out: AUTO_INCREMENT, sizes and statistics, definers and privileges, and what pt-online-schema-change and gh-ost have beside a table.
WITH names AS (
    SELECT t.table_name FROM information_schema.tables AS t WHERE t.table_schema = DATABASE()
), shadows AS (
    -- Of a table that is there: another one with such a name is the application's.
    SELECT s.table_name, MIN(n.table_name) AS of_table FROM names AS s JOIN names AS n
      ON n.table_name <> s.table_name AND TRIM(LEADING '_' FROM n.table_name) = REGEXP_REPLACE(TRIM(LEADING '_' FROM s.table_name), '(_[0-9]{14})?_(gho|ghc|del|new|old)$', '')
    WHERE s.table_name REGEXP '^_.*_(gho|ghc|del|new|old)$'
    GROUP BY s.table_name
), own AS (
    SELECT t.table_name, t.table_type, t.engine, t.table_collation, t.create_options, t.table_comment
    FROM information_schema.tables AS t
    WHERE t.table_schema = DATABASE() AND t.table_name <> {version_table} AND t.table_name NOT LIKE '\_alembic\_tmp\_%'
  AND (t.table_name NOT REGEXP '^_.*_(gho|ghc|del|new|old)$' OR t.table_name NOT IN (SELECT x.table_name FROM shadows AS x))
), rights AS (
    SELECT p.privilege_type FROM (
        SELECT u.grantee, u.privilege_type FROM information_schema.user_privileges AS u
        UNION ALL SELECT s.grantee, s.privilege_type FROM information_schema.schema_privileges AS s WHERE DATABASE() LIKE s.table_schema) AS p
    WHERE p.grantee = CONCAT('''', LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)) - 1), '''@''', SUBSTRING_INDEX(CURRENT_USER(), '@', -1), '''')
       OR p.grantee LIKE CONCAT('%', CURRENT_ROLE(), '%')
)
SELECT kind, name, CASE WHEN definition IS NULL THEN 'longer than max_allowed_packet'
                        -- Whatever somebody has put into their database, what is sent of it is short.
                        WHEN LENGTH(definition) > 65536 THEN CONCAT(LENGTH(definition), ' bytes, sha256 ', SHA2(definition, 256))
                        ELSE definition END AS definition
FROM (
SELECT CAST(IF(t.table_type = 'SEQUENCE', 'sequence', 'table') AS CHAR) AS kind, CAST(t.table_name AS CHAR) AS name, CAST(CONCAT_WS(' ', NULLIF(t.table_type, 'BASE TABLE'), t.engine, t.table_collation,
           NULLIF(REPLACE(t.create_options, 'partitioned', ''), ''),
           CONCAT('partition by ', p.partitioning),
           CONCAT('comment ', QUOTE(NULLIF(t.table_comment, '')))) AS CHAR) AS definition
FROM own AS t
LEFT JOIN (SELECT p.table_name, GROUP_CONCAT(DISTINCT CONCAT_WS(' ', p.partition_method, p.partition_expression, p.subpartition_method, p.subpartition_expression) SEPARATOR ', ') AS partitioning
           FROM information_schema.partitions AS p
           WHERE p.table_schema = DATABASE() AND p.partition_method IS NOT NULL GROUP BY p.table_name) AS p ON p.table_name = t.table_name
WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')

UNION ALL
-- Those of SYSTEM_TIME come and go by themselves.
SELECT 'partition', CONCAT_WS('.', p.table_name, p.partition_name, p.subpartition_name), CAST(CONCAT_WS(' ', p.partition_description,
           CONCAT('comment ', QUOTE(NULLIF(p.partition_comment, '')))) AS CHAR)
FROM information_schema.partitions AS p
WHERE p.table_schema = DATABASE() AND p.partition_name IS NOT NULL AND p.partition_method <> 'SYSTEM_TIME' AND p.table_name <> {version_table} AND p.table_name NOT LIKE '\_alembic\_tmp\_%'
  AND (p.table_name NOT REGEXP '^_.*_(gho|ghc|del|new|old)$' OR p.table_name NOT IN (SELECT x.table_name FROM shadows AS x))

UNION ALL
SELECT 'column', CONCAT(c.table_name, '.', c.column_name), CAST(CONCAT_WS(' ', c.column_type, CONCAT('collate ', c.collation_name),
           IF(c.is_nullable = 'NO', 'not null', NULL), CONCAT('default ', c.column_default), NULLIF(c.extra, ''),
           CONCAT('as ', NULLIF(c.generation_expression, '')), CONCAT('comment ', QUOTE(NULLIF(c.column_comment, '')))) AS CHAR)
-- Joined with the tables these would take ten times as long.
FROM information_schema.columns AS c
WHERE c.table_schema = DATABASE() AND c.table_name <> {version_table} AND c.table_name NOT LIKE '\_alembic\_tmp\_%'
  AND (c.table_name NOT REGEXP '^_.*_(gho|ghc|del|new|old)$' OR c.table_name NOT IN (SELECT x.table_name FROM shadows AS x))

UNION ALL
SELECT 'index', CONCAT(s.table_name, '.', TRIM(LEADING '_' FROM s.index_name)), CAST(CONCAT_WS(' ', IF(MAX(s.non_unique) = 0, 'unique', NULL), MAX(s.index_type), 'on',
           GROUP_CONCAT(CONCAT(COALESCE(s.column_name, {expression}), COALESCE(CONCAT('(', s.sub_part, ')'), ''), IF(s.collation = 'D', ' desc', ''))
                        ORDER BY s.seq_in_index SEPARATOR ', '), {visible},
           CONCAT('comment ', QUOTE(NULLIF(MAX(s.index_comment), '')))) AS CHAR)
FROM information_schema.statistics AS s
WHERE s.table_schema = DATABASE() AND s.table_name <> {version_table} AND s.table_name NOT LIKE '\_alembic\_tmp\_%'
  AND (s.table_name NOT REGEXP '^_.*_(gho|ghc|del|new|old)$' OR s.table_name NOT IN (SELECT x.table_name FROM shadows AS x))
GROUP BY s.table_name, s.index_name

UNION ALL
-- pt-online-schema-change puts a line before a constraint's name or takes one away (and so before that of its index), and a
-- constraint follows the table that it works on.
SELECT 'foreign key', CONCAT(r.table_name, '.', TRIM(LEADING '_' FROM r.constraint_name)), CAST(CONCAT_WS(' ',
           GROUP_CONCAT(k.column_name ORDER BY k.ordinal_position SEPARATOR ', '), 'to',
           CONCAT_WS('.', NULLIF(MAX(k.referenced_table_schema), DATABASE()), COALESCE(MAX(x.of_table), r.referenced_table_name)),
           GROUP_CONCAT(k.referenced_column_name ORDER BY k.ordinal_position SEPARATOR ', '),
           'on update', r.update_rule, 'on delete', r.delete_rule, CONCAT('match ', NULLIF(r.match_option, 'NONE'))) AS CHAR)
FROM information_schema.referential_constraints AS r
JOIN information_schema.key_column_usage AS k
  ON k.constraint_schema = r.constraint_schema AND k.table_name = r.table_name AND k.constraint_name = r.constraint_name
LEFT JOIN shadows AS x ON x.table_name = r.referenced_table_name
WHERE r.constraint_schema = DATABASE() AND k.table_schema = DATABASE() AND r.table_name <> {version_table} AND r.table_name NOT LIKE '\_alembic\_tmp\_%'
  AND (r.table_name NOT REGEXP '^_.*_(gho|ghc|del|new|old)$' OR r.table_name NOT IN (SELECT x.table_name FROM shadows AS x))
GROUP BY r.table_name, r.constraint_name, r.referenced_table_name, r.update_rule, r.delete_rule, r.match_option

UNION ALL
SELECT 'constraint', CONCAT({check_table}, '.', TRIM(LEADING '_' FROM k.constraint_name)), CAST(CONCAT_WS(' ', 'check', k.check_clause, {enforced}) AS CHAR)
FROM information_schema.check_constraints AS k {check_join}
WHERE k.constraint_schema = DATABASE()

UNION ALL
SELECT IF(v.view_definition = '', 'unseen', 'view'), CONCAT(IF(v.view_definition = '', 'view ', ''), v.table_name),
       CAST(CONCAT_WS(' ', v.view_definition, 'check', v.check_option, v.security_type{algorithm}) AS CHAR)
FROM information_schema.views AS v WHERE v.table_schema = DATABASE()

UNION ALL
SELECT 'trigger', g.trigger_name, CAST(CONCAT_WS(' ', g.action_timing, g.event_manipulation, 'on', g.event_object_table, g.action_order, g.action_statement) AS CHAR)
FROM information_schema.triggers AS g JOIN own AS t ON t.table_name = g.event_object_table
WHERE g.trigger_schema = DATABASE() AND g.trigger_name NOT LIKE 'pt\_osc\_%'

UNION ALL
SELECT LOWER(r.routine_type), r.routine_name, CAST(CONCAT_WS(' ',
           (SELECT GROUP_CONCAT(CONCAT_WS(' ', p.parameter_mode, p.parameter_name, p.dtd_identifier) ORDER BY p.ordinal_position SEPARATOR ', ')
            FROM information_schema.parameters AS p
            WHERE p.specific_schema = r.routine_schema AND p.specific_name = r.specific_name AND p.routine_type = r.routine_type),
           IF(r.is_deterministic = 'YES', 'deterministic', NULL), r.sql_data_access, r.security_type,
           CONCAT('comment ', QUOTE(NULLIF(r.routine_comment, '')))) AS CHAR)
FROM information_schema.routines AS r WHERE r.routine_schema = DATABASE()

UNION ALL
-- MariaDB shows it to the definer, and to few others.
SELECT IF(r.routine_definition IS NULL, 'unseen', CONCAT('body of ', LOWER(r.routine_type))),
       CONCAT(IF(r.routine_definition IS NULL, CONCAT('body of ', LOWER(r.routine_type), ' '), ''), r.routine_name), COALESCE(r.routine_definition, '')
FROM information_schema.routines AS r WHERE r.routine_schema = DATABASE()

UNION ALL
SELECT 'event', e.event_name, CAST(CONCAT_WS(' ', e.event_type, e.interval_value, e.interval_field, e.execute_at, CONCAT('ends ', e.ends), e.status, e.on_completion, e.event_definition) AS CHAR)
FROM information_schema.events AS e WHERE e.event_schema = DATABASE()

UNION ALL
SELECT 'database', 'default', CAST(CONCAT_WS(' ', d.default_character_set_name, d.default_collation_name) AS CHAR)
FROM information_schema.schemata AS d WHERE d.schema_name = DATABASE()

UNION ALL
-- Kinds of which this user sees nothing, and has no right to.
SELECT 'unseen', 'event *', '' FROM (SELECT 1) AS one
WHERE NOT EXISTS (SELECT 1 FROM rights AS p WHERE p.privilege_type = 'EVENT') AND NOT EXISTS (SELECT 1 FROM information_schema.events AS e WHERE e.event_schema = DATABASE())

UNION ALL
SELECT 'unseen', 'trigger *', '' FROM (SELECT 1) AS one
WHERE NOT EXISTS (SELECT 1 FROM rights AS p WHERE p.privilege_type = 'TRIGGER') AND NOT EXISTS (SELECT 1 FROM information_schema.triggers AS g WHERE g.trigger_schema = DATABASE())

UNION ALL
SELECT 'unseen', 'foreign key *', '' FROM (SELECT 1) AS one
WHERE NOT EXISTS (SELECT 1 FROM rights AS p WHERE p.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'CREATE', 'ALTER', 'DROP', 'INDEX', 'REFERENCES'))
  AND NOT EXISTS (SELECT 1 FROM information_schema.referential_constraints AS r WHERE r.constraint_schema = DATABASE())

UNION ALL
SELECT 'unseen', k.name, '' FROM (SELECT 'function *' AS name UNION ALL SELECT 'procedure *' UNION ALL SELECT 'body of *') AS k
WHERE NOT EXISTS (SELECT 1 FROM rights AS p WHERE p.privilege_type IN ('EXECUTE', 'CREATE ROUTINE', 'ALTER ROUTINE'))
  AND NOT EXISTS (SELECT 1 FROM information_schema.routines AS r WHERE r.routine_schema = DATABASE())
) AS objects
