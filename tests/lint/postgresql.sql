=== D01
DROP TABLE users;
=== D01
drop table if exists "Users" cascade;
=== D01
DROP/**/TABLE/* a comment */users;
=== D01
DROP -- why not
TABLE users
=== D01
DROP TABLE public.a, "b c".d;
=== D01
DROP SCHEMA app CASCADE;
=== D01
DROP DATABASE shop;
=== D01
DROP OWNED BY shop;
=== D01
CREATE TABLE IF NOT EXISTS perhaps (id int); DROP TABLE perhaps;
=== D01
CREATE TEMP TABLE users (id int); DROP TABLE public.users;
=== D01
CREATE TABLE "Users" (id int); DROP TABLE users;
=== D01
SET search_path TO other; CREATE TABLE users (id int); DROP TABLE public.users;
=== D01
SELECT 'it\'; DROP TABLE a; --';
=== D01
CREATE TABLE t (id int); DROP TABLE t; DROP TABLE t;
=== D01 B10
CREATE TABLE t2 (id int); INSERT INTO t2 SELECT * FROM t; DROP TABLE t; ALTER TABLE t2 RENAME TO t; DROP TABLE t;
DELETE FROM t WHERE id = 1;
=== D01 F02 O02
BEGIN; CREATE TABLE t (id int); ROLLBACK; DROP TABLE t; VACUUUM;
=== D01 O02
DO $$ BEGIN DROP TABLE users; END $$;
=== D01 O02
DO $do$ BEGIN IF true THEN EXECUTE format('DROP TABLE %I', 'users'); END IF; END $do$;
=== D01 O02
DO LANGUAGE plpgsql 'BEGIN EXECUTE ''DROP TABLE users''; END';
=== D01 O02
SELECT 'never ends; DROP TABLE users;
=== D01 O02
DROP TABLE (((;
=== D02
ALTER TABLE users DROP COLUMN name;
=== D02
alter table only app.users drop column if exists "Name" cascade;
=== D02
ALTER TABLE users DROP name;
=== D02
ALTER TABLE IF EXISTS users ADD COLUMN a int, DROP COLUMN b, ADD COLUMN c text;
=== D02
ALTER TYPE address DROP ATTRIBUTE street;
=== D02
ALTER TABLE users
    /* DROP TABLE */ DROP
    COLUMN name;
=== D03
TRUNCATE users;
=== D03
TRUNCATE TABLE ONLY a, b RESTART IDENTITY;
=== D03
TRUNCATE TABLE a CASCADE;
=== D03
CREATE TABLE a (id int PRIMARY KEY); TRUNCATE a CASCADE;
=== D03 B10
DELETE FROM users;
=== D03 B10
DELETE FROM ONLY public.users WHERE true;
=== D03 B10
DELETE FROM users WHERE 1 = 1 RETURNING id;
=== D03 B10
DELETE FROM users WHERE (id = id) OR name = 'x';
=== D03 B10
DELETE FROM users WHERE NOT false AND 'a' = 'a';
=== D03 B10
WITH gone AS (DELETE FROM users RETURNING *) INSERT INTO log SELECT * FROM gone;
=== D03 B10
WITH RECURSIVE x AS (SELECT 1), y AS ( DELETE FROM users RETURNING id ) SELECT count(*) FROM y;
=== D03 B10
EXPLAIN ANALYZE DELETE FROM users;
=== D03 B10
EXPLAIN (ANALYZE, BUFFERS) DELETE FROM users;
=== D03 B10
MERGE INTO users u USING old o ON true WHEN MATCHED THEN DELETE;
=== D03 B10
COPY (DELETE FROM users RETURNING id) TO STDOUT;
=== D03 B10 O02
PREPARE gone AS DELETE FROM users;
=== B10
MERGE INTO users u USING old o ON u.id = o.id WHEN MATCHED THEN DELETE;
=== B10
WITH old AS (SELECT id FROM users WHERE created < now()) DELETE FROM users USING old WHERE users.id = old.id;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN age TYPE smallint;
=== D04 B06 F01
ALTER TABLE users ALTER age SET DATA TYPE integer USING age::integer;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN name TYPE VARCHAR(20);
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN price TYPE NUMERIC(10, 2);
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN seen TYPE date USING seen::date;
=== B06
ALTER TABLE users ALTER COLUMN name TYPE TEXT;
=== B06
ALTER TABLE users ALTER COLUMN name TYPE character varying;
=== B06
ALTER TABLE users ALTER COLUMN id TYPE BIGINT;
=== B06 F01
ALTER TABLE users ALTER COLUMN seen TYPE TIMESTAMP WITH TIME ZONE USING seen AT TIME ZONE 'UTC';
=== D05
DROP VIEW active;
=== D05
DROP MATERIALIZED VIEW IF EXISTS totals CASCADE;
=== D05
DROP SEQUENCE ids;
=== D05
DROP TYPE mood;
=== D05
DROP FUNCTION IF EXISTS f(integer, text);
=== D05 B07
DROP TRIGGER t ON users;
=== D05
DROP EXTENSION hstore;
=== D05
DROP DOMAIN email;
=== D05
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION f(text);
=== D06
ALTER TABLE users DROP CONSTRAINT users_pkey;
=== D06
ALTER TABLE users DROP CONSTRAINT IF EXISTS fk CASCADE;
=== D06 B07
DROP INDEX users_name;
=== D06
DROP INDEX CONCURRENTLY IF EXISTS users_name;
=== D06
ALTER DOMAIN email DROP CONSTRAINT shape;
=== D08
REVOKE SELECT ON users FROM reader;
=== D08
ALTER TABLE users DISABLE ROW LEVEL SECURITY;
=== D08
DROP POLICY own ON users;
=== D08
ALTER POLICY own ON users USING (true);
=== D08
ALTER DEFAULT PRIVILEGES IN SCHEMA app REVOKE SELECT ON TABLES FROM reader;
=== D08
DROP ROLE reader;
=== B01
CREATE INDEX users_name ON users (name);
=== B01 C04 F01
CREATE UNIQUE INDEX ON public.users USING btree (lower(name)) WHERE active;
=== B01
CREATE INDEX IF NOT EXISTS i ON ONLY users (name);
=== B02
BEGIN; CREATE INDEX CONCURRENTLY i ON users (name); COMMIT;
=== B02 D06
START TRANSACTION; DROP INDEX CONCURRENTLY i;
=== B02
BEGIN; REINDEX INDEX CONCURRENTLY i; END;
=== B03 F01 C04
ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0);
=== B03 F01 C04
ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
=== B03 F01 C04
ALTER TABLE ONLY public.orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id);
=== B03
ALTER TABLE orders ADD COLUMN user_id int REFERENCES users (id);
=== B03 F01 C04
ALTER DOMAIN email ADD CONSTRAINT shape CHECK (value ~ '@');
=== B04 F01 C04
ALTER TABLE users ADD CONSTRAINT u UNIQUE (name);
=== B04 F01 C04
ALTER TABLE users ADD PRIMARY KEY (id);
=== B04 F01 C04
ALTER TABLE bookings ADD CONSTRAINT x EXCLUDE USING gist (room WITH =, during WITH &&);
=== B04
ALTER TABLE users ADD COLUMN code text UNIQUE;
=== B05 F01 C04
ALTER TABLE users ALTER COLUMN name SET NOT NULL;
=== B05 F01 C04
ALTER TABLE users ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID; ALTER TABLE users ALTER COLUMN name SET NOT NULL;
=== B06
ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();
=== B06
ALTER TABLE users ADD COLUMN id BIGSERIAL;
=== B06
ALTER TABLE users ADD COLUMN id int GENERATED ALWAYS AS IDENTITY;
=== B06
ALTER TABLE users ADD COLUMN full_name text GENERATED ALWAYS AS (a || b) STORED;
=== B06
ALTER TABLE users SET LOGGED;
=== B06
ALTER TABLE users SET UNLOGGED;
=== B06
ALTER TABLE users SET TABLESPACE fast;
=== B06
VACUUM FULL users;
=== B06
VACUUM (FULL, ANALYZE) users;
=== B06
CLUSTER users USING users_pkey;
=== B07
LOCK TABLE users IN ACCESS EXCLUSIVE MODE;
=== B07
REINDEX TABLE users;
=== B07
REFRESH MATERIALIZED VIEW totals;
=== B07
ALTER TABLE events DETACH PARTITION events_2020;
=== B07
ALTER TABLE events ATTACH PARTITION events_2030 FOR VALUES FROM (1) TO (2);
=== B07
CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
=== B07
CREATE TABLE events_2030 PARTITION OF events FOR VALUES FROM (1) TO (2);
=== B08 B10
BEGIN; ALTER TABLE users ADD COLUMN a int; UPDATE users SET a = 1 WHERE id < 10; COMMIT;
=== B08 B01
BEGIN; ALTER TABLE users ADD COLUMN a int; CREATE INDEX i ON users (a); COMMIT;
=== B08
BEGIN; ALTER TABLE a ADD COLUMN x int; ALTER TABLE b ADD COLUMN x int; ALTER TABLE c ADD COLUMN x int; COMMIT;
=== B10
UPDATE users SET name = 'x';
=== B10
UPDATE ONLY users AS u SET name = 'x' FROM old o WHERE o.id = u.id;
=== B10
DELETE FROM users WHERE id = 3;
=== B10
DELETE FROM users WHERE name = '1=1' OR id = 2;
=== B10
INSERT INTO users (id, name) SELECT id, name FROM old;
=== B10
INSERT INTO users (id) (SELECT id FROM old);
=== B10
INSERT INTO users (id, n) VALUES (1, 2) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
=== B10
WITH x AS (UPDATE users SET a = 1 WHERE id = 2 RETURNING *) SELECT * FROM x;
=== C01
ALTER TABLE users RENAME COLUMN name TO full_name;
=== C01
ALTER TABLE users RENAME name TO full_name;
=== C01
ALTER VIEW active RENAME COLUMN a TO b;
=== C01
ALTER TYPE address RENAME ATTRIBUTE street TO road;
=== C02
ALTER TABLE users RENAME TO people;
=== C02
ALTER TABLE users SET SCHEMA app;
=== C02
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
=== C02
ALTER SCHEMA app RENAME TO shop;
=== C02
ALTER SEQUENCE ids RENAME TO numbers;
=== C02
ALTER TYPE mood RENAME TO feeling;
=== C03
ALTER TABLE users ADD COLUMN email VARCHAR(100) NOT NULL;
=== C03 D02
ALTER TABLE users ADD email text NOT NULL, DROP old_email;
=== C03 B04
ALTER TABLE users ADD COLUMN id int PRIMARY KEY;
=== C04
ALTER TABLE users ALTER COLUMN a DROP DEFAULT;
=== C04
ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;
=== C04
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
=== C05
ALTER TABLE users ALTER COLUMN name DROP NOT NULL;
=== C05
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'happy' AFTER 'sad';
=== C06
ALTER TABLE users ADD COLUMN extra JSON;
=== C04 F01
CREATE UNIQUE INDEX CONCURRENTLY i ON users (name);
=== F02
BEGIN; SELECT 1; COMMIT; CREATE INDEX CONCURRENTLY i ON users (name); BEGIN; SELECT 1; COMMIT;
=== O02
SELECT setval('ids', 1);
=== O02
SELECT pg_terminate_backend(3);
=== O02
SELECT dblink_exec('x', 'y');
=== O02
SELECT lo_unlink(1);
=== O02
SELECT app.repair();
=== O02
CALL repair();
=== O02
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
=== O02
CREATE FUNCTION f(t text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'ANALYZE ' || t; END $$;
=== O02
CREATE FUNCTION f() RETURNS void LANGUAGE plpython3u AS $$ import os $$;
=== O02
COPY users FROM PROGRAM 'curl x';
=== O02
DO $$ BEGIN PERFORM 1; END $$;
=== O02
THIS IS NO SQL;
=== O02
ALTER SYSTEM SET wal_level = minimal;
=== O02
SET session_replication_role = replica;
=== B07
CREATE RULE r AS ON INSERT TO users DO INSTEAD NOTHING;
=== O02
ALTER TABLE users FROBNICATE;
=== O02
ALTER SEQUENCE ids RESTART WITH 1;
=== O02
ALTER TABLE users DISABLE TRIGGER ALL;
=== ok
SELECT 1;
=== ok
SELECT 'DROP TABLE users; DELETE FROM users';
=== ok
SELECT $x$DROP TABLE users; TRUNCATE a$x$;
=== ok
/* DROP TABLE users; /* TRUNCATE b; */ DELETE FROM c; */ SELECT 1;
=== ok
-- DROP TABLE users;
COMMENT ON TABLE users IS 'DROP TABLE users; it''s old';
=== ok
CREATE TABLE "drop table users" (id int, "truncate" text);
=== B07
CREATE TABLE t (id SERIAL PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE, extra JSON, owner int REFERENCES users (id));
=== ok
CREATE TABLE t (id int); CREATE INDEX i ON t (id); ALTER TABLE t ADD COLUMN a int NOT NULL; DROP TABLE t;
=== ok
CREATE TABLE t (id int); ALTER TABLE public.t ADD CONSTRAINT u UNIQUE (id);
=== ok
CREATE TABLE t (id int); ALTER TABLE t RENAME TO t2; ALTER TABLE t2 DROP COLUMN id; DELETE FROM t2;
=== ok
CREATE TABLE t (id int); UPDATE t SET id = 1; INSERT INTO t SELECT id FROM users; ALTER TABLE t ALTER COLUMN id TYPE smallint;
=== ok
CREATE TEMPORARY TABLE t (id int); INSERT INTO t VALUES (1); DROP TABLE t;
=== ok
CREATE VIEW v AS SELECT * FROM users; DROP VIEW v;
=== ok
CREATE TYPE mood AS ENUM ('a', 'b'); ALTER TYPE mood ADD VALUE 'c';
=== ok
ALTER TABLE users ADD COLUMN a int;
=== ok
ALTER TABLE users ADD COLUMN a int NOT NULL DEFAULT 0, ADD COLUMN b timestamptz DEFAULT now();
=== ok
ALTER TABLE users ADD COLUMN drop_column text;
=== ok
ALTER TABLE users ADD COLUMN extra JSONB;
=== ok
ALTER TABLE users ALTER COLUMN a SET DEFAULT 3;
=== ok
ALTER TABLE users VALIDATE CONSTRAINT c;
=== ok
ALTER TABLE users ADD CONSTRAINT u UNIQUE USING INDEX users_name;
=== C04
ALTER TABLE users ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT n;
ALTER TABLE users ALTER COLUMN name SET NOT NULL;
=== ok
ALTER TABLE users RENAME CONSTRAINT a TO b;
=== ok
ALTER INDEX a RENAME TO b;
=== D08
ALTER TABLE users OWNER TO shop;
=== ok
ALTER TABLE users ALTER COLUMN a SET STATISTICS 500;
=== ok
CREATE INDEX CONCURRENTLY i ON users (name);
=== ok
REINDEX INDEX CONCURRENTLY i;
=== ok
REFRESH MATERIALIZED VIEW CONCURRENTLY totals;
=== ok
INSERT INTO users (id, name) VALUES (1, 'DELETE FROM users'), (2, E'it\'s; DROP TABLE x');
=== ok
INSERT INTO users (id) VALUES (1) ON CONFLICT DO NOTHING;
=== ok
INSERT INTO users (id) SELECT 1 WHERE NOT EXISTS (SELECT 1);
=== ok
BEGIN; ALTER TABLE users ADD COLUMN a int; COMMENT ON COLUMN users.a IS 'x'; COMMIT;
=== ok
SET lock_timeout = '3s'; SET LOCAL statement_timeout TO 0;
=== B09
SET lock_timeout = 0;
=== B09
SET SESSION lock_timeout TO '0ms';
=== B09
SET LOCAL lock_timeout TO DEFAULT;
=== B09
RESET lock_timeout;
=== ok
SET LOCAL lock_timeout = '500ms';
=== ok
RESET statement_timeout;
=== ok
CREATE EXTENSION IF NOT EXISTS "uuid-ossp";
=== ok
CREATE SEQUENCE ids START 100;
=== ok
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
=== ok
ANALYZE users;
=== ok
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users; DROP TABLE x; RETURN NEW; END $$;
=== ok
CREATE OR REPLACE VIEW v AS SELECT id, lower(name) FROM users WHERE name LIKE '%drop table%';
=== ok
UPDATE alembic_version SET version_num = 'b' WHERE alembic_version.version_num = 'a';
=== ok
CREATE TABLE app.alembic_version (version_num VARCHAR(32) NOT NULL); DELETE FROM app.alembic_version WHERE version_num = 'a'; DROP TABLE app.alembic_version;
=== ok
SELECT nextval('ids'), count(*) FROM users WHERE id IN (SELECT id FROM old) FOR UPDATE;
=== ok
EXPLAIN DELETE FROM users;
=== ok
COPY users (id, name) FROM stdin;
1	DROP TABLE users;
\.
SELECT 1;
=== ok
BEGIN; SAVEPOINT a; ROLLBACK TO SAVEPOINT a; RELEASE a; COMMIT;
=== ok
CREATE SCHEMA IF NOT EXISTS app;
=== ok
CREATE TABLE copy AS SELECT id, upper(name) AS name FROM users;
=== ok
CREATE POLICY own ON users USING (owner = current_user);
=== D03 B10
DELETE FROM users WHERE 't'::boolean;
=== D03 B10
INSERT INTO log WITH gone AS (DELETE FROM users RETURNING *) SELECT * FROM gone;
=== D03 B10 misjudged: D03
DELETE FROM users WHERE id IS NOT NULL OR id IS NULL;
=== ok misjudged: B10
UPDATE users SET name = 'x' WHERE false;
=== D04 B06 F01 misjudged: D04 F01
ALTER TABLE users ALTER COLUMN price TYPE bigint;
=== B06 misjudged: D04 F01
ALTER TABLE users ALTER COLUMN code TYPE VARCHAR(2000000);
=== D01 O02
DO $$ DECLARE q text := 'drop ta' || 'ble users'; BEGIN EXECUTE q; END $$;
=== D01 O02
SELECT $1$ DROP TABLE users $1$;
=== D01 O02
ALTER EXTENSION x DROP TABLE users;
=== O02
CREATE TABLE t AS EXECUTE p;
=== O02
CREATE TABLE t AS SELECT app.repair();
=== O02
\i other.sql
=== O02
SET standard_conforming_strings = off;
=== ok
CREATE VIEW v AS SELECT app.title(name) FROM users;
=== D02
ALTER TABLE users DROP key;
=== D02
ALTER TABLE users DROP period, DROP partition;
=== C01
ALTER TABLE users RENAME index TO place;
=== D04 B06 F01
ALTER TABLE users ALTER index TYPE smallint;
=== C03
ALTER TABLE users ADD partition text NOT NULL;
=== ok
SET search_path TO "$user", public; CREATE TABLE t (id int); DROP TABLE public.t;
=== D01
SAVEPOINT s; CREATE TABLE users (id int); ROLLBACK TO s; DROP TABLE users;
=== ok
CREATE TABLE t (id int); SAVEPOINT s; SELECT 1; ROLLBACK TO SAVEPOINT s; DROP TABLE t;
=== D03 F02
BEGIN; CREATE TEMP TABLE posts (id int) ON COMMIT DROP; COMMIT; TRUNCATE posts;
=== ok
BEGIN; CREATE TEMP TABLE posts (id int) ON COMMIT DROP; TRUNCATE posts; COMMIT;
=== B03 C04
BEGIN; ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT c; COMMIT;
=== B03 C04
ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID, VALIDATE CONSTRAINT d;
=== B03
ALTER TABLE users VALIDATE CONSTRAINT c, ADD COLUMN x int;
=== C04
BEGIN; ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0) NOT VALID; COMMIT; BEGIN; ALTER TABLE users VALIDATE CONSTRAINT c; COMMIT;
=== ok
ALTER TABLE users VALIDATE CONSTRAINT c, VALIDATE CONSTRAINT d;
=== B02
BEGIN; VACUUM ANALYZE users; COMMIT;
=== B02
BEGIN; CREATE DATABASE shop; COMMIT;
=== B02 B07
BEGIN; REINDEX (VERBOSE) DATABASE shop;
=== ok
VACUUM ANALYZE users;
=== B06
CREATE TABLE a (id int); VACUUM FULL a, users;
=== ok
CREATE TABLE IF NOT EXISTS t (id int); CREATE INDEX i ON t (id); ALTER TABLE t ADD CONSTRAINT u UNIQUE (id);
INSERT INTO t SELECT id FROM users; ALTER TABLE t RENAME TO t2; CREATE INDEX j ON t2 (id);
=== D02 D03
CREATE TABLE IF NOT EXISTS t (id int); TRUNCATE t; ALTER TABLE t DROP COLUMN id;
=== B01
CREATE TABLE IF NOT EXISTS t (id int); CREATE INDEX i ON users (id);
=== D01 D03 B10
COPY t (a) FROM stdin;
1	it's "new" $$
\.
DROP TABLE users;
DELETE FROM users;
=== O02 B02
\set ON_ERROR_STOP on
BEGIN;
CREATE INDEX CONCURRENTLY i ON users (name);
=== ok
\echo it's
CREATE TABLE t (id int);
CREATE INDEX i ON t (id);
=== ok
CREATE POLICY own ON users FOR SELECT USING (app.uid() = owner OR EXISTS (SELECT 1 FROM staff));
=== O02
CREATE TABLE policy AS SELECT app.repair();
=== ok
CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN -- prepare
NEW.executed_at := now(); RETURN NEW; END $$;
=== O02
CREATE FUNCTION f(q text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN execute q; END $$;
=== ok
SET search_path TO app,
    public;
=== O02
SELECT st_cleanup_users();
=== O02
SELECT json_wipe_everything();
=== O02
SELECT pg_get_me_out();
=== ok
SELECT st_makepoint(1, 2), jsonb_build_object('a', 1), array_agg(id), pg_get_serial_sequence('users', 'id'), to_regclass('users') FROM users;
=== ok
SET TIME ZONE 'UTC'; SELECT setweight(to_tsvector('a'), 'A'), plainto_tsquery('a'), timezone('utc', now());
=== B02 B10 C05
BEGIN; ALTER TYPE mood ADD VALUE 'b'; UPDATE users SET m = 'b' WHERE id = 1; COMMIT;
=== B02 C05
BEGIN; ALTER TYPE mood ADD VALUE IF NOT EXISTS 'b'; ALTER TABLE users ALTER COLUMN m SET DEFAULT 'b'; COMMIT;
=== B10 C05
BEGIN; ALTER TYPE mood ADD VALUE 'b'; ALTER TYPE mood ADD VALUE 'c' AFTER 'b'; COMMIT; BEGIN; UPDATE users SET m = 'b'; COMMIT;
=== ok
BEGIN; CREATE TYPE mood AS ENUM ('a'); ALTER TYPE mood ADD VALUE 'b'; INSERT INTO users (m) VALUES ('b'); COMMIT;
=== B10
INSERT INTO users (SELECT * FROM old);
=== B10
INSERT INTO users (TABLE old);
=== B10
INSERT INTO users OVERRIDING SYSTEM VALUE SELECT * FROM old;
=== B10
INSERT INTO users SELECT id FROM (SELECT id FROM old) s;
=== ok
INSERT INTO users (id, name) SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v (id, name) WHERE NOT EXISTS (SELECT 1 FROM users);
=== ok
INSERT INTO users (VALUES (1, 'a'));
=== B05 F01
ALTER TABLE users ADD CONSTRAINT pk PRIMARY KEY USING INDEX users_id;
=== D02 D05
DROP TYPE mood CASCADE;
=== D02 D05
DROP EXTENSION IF EXISTS postgis CASCADE;
=== ok
CREATE TYPE mood AS ENUM ('a'); DROP TYPE mood CASCADE;
=== B06
ALTER MATERIALIZED VIEW totals SET TABLESPACE fast;
=== B06
ALTER MATERIALIZED VIEW totals SET ACCESS METHOD columnar;
=== ok
ALTER MATERIALIZED VIEW totals SET (fillfactor = 90);
=== B07
CREATE TABLE p (LIKE big) PARTITION BY RANGE (ts); ALTER TABLE p ATTACH PARTITION big DEFAULT;
=== ok
CREATE TABLE p (ts int) PARTITION BY RANGE (ts); CREATE TABLE c (ts int); ALTER TABLE p ATTACH PARTITION c DEFAULT;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN extra TYPE jsonb USING NULL;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN extra TYPE jsonb USING '{}'::jsonb;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN name TYPE text USING left(name, 10);
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN seen TYPE timestamptz USING now();
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN tags TYPE text[] USING ARRAY[]::text[];
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN name TYPE text USING name::varchar(10)::text;
=== B06 F01
ALTER TABLE users ALTER COLUMN extra TYPE jsonb USING extra::text::jsonb;
=== B06 F01
ALTER TABLE users ALTER COLUMN token TYPE uuid USING (CAST(token AS uuid));
=== B06 F01
ALTER TABLE users ALTER COLUMN extra TYPE jsonb USING to_jsonb(extra);
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN seen TYPE timestamp(0) with time zone;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN price TYPE double precision;
=== B04 F01
ALTER TABLE users ADD COLUMN code text NOT NULL DEFAULT '' UNIQUE;
=== B04 B06
ALTER TABLE users ADD COLUMN code uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE;
=== B03 C04
ALTER TABLE orders ADD COLUMN user_id int; ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY(user_id) REFERENCES users (id);
=== B04 C04
ALTER TABLE orders ADD COLUMN code text, ADD CONSTRAINT u UNIQUE (code);
=== C04
ALTER TABLE orders ADD COLUMN code text; CREATE UNIQUE INDEX CONCURRENTLY i ON orders USING btree (code);
=== B03 B10 C04 F01
ALTER TABLE orders ADD COLUMN user_id int; UPDATE orders SET user_id = 1 WHERE id = 2;
ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id);
=== B03 C04 F01
ALTER TABLE orders ADD COLUMN user_id int DEFAULT 1; ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users (id);
=== B04 C04 F01
ALTER TABLE orders ADD COLUMN id int; ALTER TABLE orders ADD PRIMARY KEY (id);
=== C04 F01
ALTER TABLE orders ADD COLUMN code text; CREATE UNIQUE INDEX CONCURRENTLY i ON orders (coalesce(code, ''));
=== D02 O02
DO $$ BEGIN EXECUTE format('ALTER TABLE %I DROP COLUMN name', 'users'); END $$;
=== D04 B06 F01 O02
DO $$ BEGIN EXECUTE format('ALTER TABLE %1$I.%2$s ALTER COLUMN age TYPE smallint', 'app', t); END $$;
=== D02 O02
DO $$ BEGIN EXECUTE 'ALTER TABLE ' || quote_ident(t) || ' DROP COLUMN name'; END $$;
=== D03 O02
DO $$ BEGIN EXECUTE 'TRUNCATE ' || t; END $$;
=== O02
DO $$ BEGIN EXECUTE format('COMMENT ON TABLE %I IS %L', t, 'kept'); EXECUTE 'ANALYZE ' || t; END $$;
=== ok
CREATE MATERIALIZED VIEW totals AS SELECT 1 AS id; CREATE UNIQUE INDEX i ON totals (id);
=== B01 C04 F01
CREATE MATERIALIZED VIEW IF NOT EXISTS totals AS SELECT 1 AS id; CREATE UNIQUE INDEX i ON totals (id);
=== D05
CREATE MATERIALIZED VIEW totals AS SELECT 1 AS id; DROP MATERIALIZED VIEW totals; DROP MATERIALIZED VIEW old_totals;
=== B06 F01
ALTER TABLE users ALTER COLUMN extra TYPE jsonb USING users.extra::jsonb;
=== D03 B10
CREATE TABLE gone AS WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d;
=== D03 B10
CREATE TEMP TABLE gone AS WITH x AS (SELECT 1), d AS MATERIALIZED (DELETE FROM users RETURNING *) SELECT * FROM d, x;
=== D03 B10
EXPLAIN ANALYZE CREATE TABLE gone AS WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d;
=== B10
INSERT INTO logs (id) WITH d AS (UPDATE users SET a = 1 WHERE id = 3 RETURNING id) SELECT id FROM d;
=== ok
EXPLAIN WITH d AS (DELETE FROM users RETURNING *) SELECT * FROM d;
=== ok
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ WITH d AS (DELETE FROM users RETURNING *) SELECT count(*) FROM d $$;
=== D03 B10
CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ WITH d AS (DELETE FROM users RETURNING *) SELECT count(*) FROM d $$; SELECT f();
=== B04 C04 F01
ALTER TABLE users ADD CONSTRAINT u UNIQUE (name) USING INDEX TABLESPACE fast;
=== B04 C04 F01
ALTER TABLE users ADD CONSTRAINT k PRIMARY KEY (name) WITH (fillfactor = 70) USING INDEX TABLESPACE fast;
=== D01
DROP TABLE alembic_version;
=== D03
TRUNCATE alembic_version;
=== D03 B10
DELETE FROM tenant2.alembic_version;
=== B10
UPDATE alembic_version SET version_num = 'b';
=== ok
BEGIN;
UPDATE alembic_version SET version_num='b' WHERE alembic_version.version_num = 'a';
DELETE FROM alembic_version WHERE alembic_version.version_num = 'b';
DROP TABLE alembic_version;
COMMIT;
=== D01
DELETE FROM alembic_version WHERE alembic_version.version_num = 'b';
DROP TABLE alembic_version;
CREATE TABLE n (id int);
=== ok
ALTER TABLE users ADD COLUMN a int DEFAULT -1, ADD COLUMN b int DEFAULT (5), ADD COLUMN c text DEFAULT ('x' || 'y');
=== ok
ALTER TABLE users ADD COLUMN a timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc');
=== ok
ALTER TABLE users ADD COLUMN a timestamp NOT NULL DEFAULT timezone('utc', now());
=== ok
ALTER TABLE users ADD COLUMN a text DEFAULT current_user, ADD COLUMN b date DEFAULT make_date(2020, 1, 1);
=== ok
ALTER TABLE users ADD COLUMN a text DEFAULT lower('X'), ADD COLUMN b varchar(9) DEFAULT 'x'::varchar(9);
=== B06
ALTER TABLE users ADD COLUMN a timestamptz DEFAULT clock_timestamp();
=== B06
ALTER TABLE users ADD COLUMN a double precision DEFAULT 1 + (random() * 2);
=== B06
ALTER TABLE users ADD COLUMN a text DEFAULT app.label();
=== D05 B07
CREATE TRIGGER x AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f(); DROP TRIGGER x ON users;
=== B07 D06
CREATE TRIGGER x AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f(); DROP INDEX x;
=== C04
ALTER TABLE users REPLICA IDENTITY NOTHING;
=== ok
ALTER TABLE users REPLICA IDENTITY FULL;
=== C04
CREATE PUBLICATION p FOR TABLE users;
=== C04
CREATE POLICY p ON users AS RESTRICTIVE USING (own);
=== D08
GRANT SELECT ON users TO shop, PUBLIC;
=== ok
GRANT SELECT ON users TO shop;
=== B02 O02
BEGIN; CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p;
=== ok
LOCK TABLE users IN ACCESS SHARE MODE;
=== ok
LOCK TABLE users IN ROW EXCLUSIVE MODE NOWAIT;
=== B07
LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE;
=== ok
ALTER TABLE users DETACH PARTITION users_2020 FINALIZE;
=== O02
SELECT setval(pg_get_serial_sequence('users', 'id'), max(id)) FROM users;
=== ok
SELECT pg_advisory_xact_lock(7); ALTER SEQUENCE ids AS bigint;
=== ok
INSERT INTO users (id) SELECT n FROM generate_series(1, 10) AS n;
=== B10
INSERT INTO users (id) SELECT n FROM generate_series(1, 10000000) AS n;
=== O02
EXECUTE prepared_elsewhere;
=== O02
DO $$ DECLARE r record; BEGIN FOR r IN SELECT cmd FROM todo LOOP EXECUTE r.cmd; END LOOP; END $$;
=== D01 O02
CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN DROP TABLE users; END $$; CALL p();
=== D01
DROP INDEX ix_orders_code; DROP TABLE orders;
=== D01
ALTER TABLE orders DROP CONSTRAINT c; DROP TRIGGER t ON orders; DROP TABLE orders;
=== D01 D06 B07
DROP INDEX ix_users_name; DROP TABLE orders;
=== D01 D06 B07
-- Running upgrade a -> b
DROP INDEX ix_orders_code;
-- Running upgrade b -> c
DROP TABLE orders;
=== C04
DROP VIEW active; CREATE VIEW active AS SELECT 1 AS id;
=== D05
DROP VIEW active CASCADE; CREATE VIEW active AS SELECT 1 AS id;
=== C04 B07
DROP TRIGGER t ON users; CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();
=== F01 C04 B03
ALTER TABLE users DROP CONSTRAINT c; ALTER TABLE users ADD CONSTRAINT c CHECK (a > 0);
=== ok
ALTER TABLE users ADD COLUMN a int; ALTER TABLE users DROP COLUMN a;
=== ok
ALTER TABLE users ADD COLUMN a int; ALTER TABLE users RENAME COLUMN a TO b; ALTER TABLE users DROP COLUMN b;
=== D02
ALTER TABLE users DROP COLUMN a, ADD COLUMN a int;
=== D02 O02
DO $$ BEGIN IF EXISTS (SELECT 1) THEN ALTER TABLE users DROP COLUMN IF EXISTS a; END IF; END $$;
=== D04 B06 F01
ALTER TABLE users ALTER COLUMN a TYPE text USING left(a, 3);
=== B06 F01 C06
ALTER TABLE users ALTER COLUMN a TYPE json USING a::json;
=== O02
DO $$ DECLARE q text; BEGIN SELECT cmd INTO q FROM todo; EXECUTE q; END $$;
=== C02
ALTER TABLE IF EXISTS a.users SET SCHEMA b;
=== C02
ALTER VIEW active SET SCHEMA b;
