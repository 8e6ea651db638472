#!/usr/bin/env bash
# Asks a PostgreSQL server which changes of a type write the table anew: a new relfilenode. A cast is written out where
# the server asks for one. Writes types_postgresql.txt, which a unit test of src/lint/types.rs reads.
#   PSQL="psql -h … -At" ./types_postgresql.sh
set -euo pipefail
cd "$(dirname "$0")"
$PSQL -q <<'SQL' > types_postgresql.txt
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS citext;
SET TimeZone = 'Europe/Berlin';
CREATE TEMP TABLE said (line text);
DO $$
DECLARE
    types text[] := ARRAY['boolean','smallint','integer','bigint','numeric','numeric(10,2)','numeric(12,2)','numeric(12,4)',
        'numeric(8,2)','real','double precision','character(5)','character(9)','character varying','character varying(5)',
        'character varying(9)','text','citext','bytea','bit(4)','bit(8)','bit varying(4)','bit varying(8)','date',
        'time without time zone','time(3) without time zone','timestamp without time zone','timestamp(3) without time zone',
        'timestamp with time zone','timestamp(3) with time zone','interval','interval(3)','uuid','json','jsonb','xml','inet','cidr',
        'money','integer[]','bigint[]','text[]','character varying(5)[]','character varying(9)[]'];
    old text; new text; before oid; after oid; outcome text;
BEGIN
    FOREACH old IN ARRAY types LOOP
        FOREACH new IN ARRAY types LOOP
            EXECUTE format('CREATE TEMP TABLE t (a %s)', old);
            before := pg_relation_filenode('t'::regclass);
            BEGIN
                EXECUTE format('ALTER TABLE t ALTER a TYPE %s', new);
                after := pg_relation_filenode('t'::regclass);
                outcome := CASE WHEN before = after THEN 'kept' ELSE 'rewritten' END;
            EXCEPTION WHEN others THEN
                BEGIN
                    EXECUTE format('ALTER TABLE t ALTER a TYPE %s USING a::%s', new, new);
                    after := pg_relation_filenode('t'::regclass);
                    outcome := CASE WHEN before = after THEN 'kept by cast' ELSE 'rewritten by cast' END;
                EXCEPTION WHEN others THEN
                    outcome := 'refused';
                END;
            END;
            INSERT INTO said VALUES (format('%s -> %s: %s', old, new, outcome));
            DROP TABLE t;
        END LOOP;
    END LOOP;
END $$;
SELECT line FROM said ORDER BY line COLLATE "C";
SQL
