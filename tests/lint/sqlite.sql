=== D01
DROP TABLE users;
=== D01
DROP TABLE IF EXISTS [users];
=== D01
drop/**/table main."Users";
=== D02
ALTER TABLE users DROP COLUMN name;
=== D02
ALTER TABLE `users` DROP name;
=== D03 B10
DELETE FROM users;
=== D03 B10
DELETE FROM users WHERE 1;
=== D05
DROP VIEW v;
=== D05
DROP TRIGGER t;
=== D06
DROP INDEX i;
=== B01
CREATE INDEX i ON users (name);
=== B01 C04 F01
CREATE UNIQUE INDEX IF NOT EXISTS main.i ON users (name);
=== B06
VACUUM;
=== B10
UPDATE users SET name = 'x' WHERE id = 1;
=== B10
UPDATE OR IGNORE users SET name = 'x';
=== B10
INSERT OR REPLACE INTO users (id) VALUES (1);
=== B10
REPLACE INTO users (id) VALUES (1);
=== B10
INSERT INTO users SELECT * FROM old;
=== B10
INSERT INTO users (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2;
=== C01
ALTER TABLE users RENAME COLUMN a TO b;
=== C01
ALTER TABLE users RENAME a TO b;
=== C02
ALTER TABLE users RENAME TO people;
=== C03
ALTER TABLE users ADD COLUMN email TEXT NOT NULL;
=== O02
PRAGMA writable_schema=ON;
=== O02
ATTACH DATABASE 'x.db' AS x;
=== O02
SELECT load_extension('x');
=== O02
SELEC 1;
=== B06 F02
CREATE TABLE _alembic_tmp_users (id INTEGER NOT NULL, name VARCHAR(20), PRIMARY KEY (id));
INSERT INTO _alembic_tmp_users (id, name) SELECT users.id, users.name FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== B06 F02
PRAGMA foreign_keys=OFF;
CREATE TABLE new_users (id INTEGER PRIMARY KEY);
INSERT INTO new_users SELECT id FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
PRAGMA foreign_keys=ON;
=== B06 D07 F02
PRAGMA foreign_keys = ON;
CREATE TABLE _alembic_tmp_users (id INTEGER NOT NULL);
INSERT INTO _alembic_tmp_users (id) SELECT users.id FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== B06 D04 F02
CREATE TABLE _alembic_tmp_users (id INTEGER, age INTEGER);
INSERT INTO _alembic_tmp_users (id, age) SELECT users.id, CAST(users.age AS INTEGER) AS age FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== B06 D03 F02
CREATE TABLE _alembic_tmp_users (id INTEGER);
INSERT INTO _alembic_tmp_users (id) SELECT users.id FROM users WHERE id < 10;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== B06 D02 F02
CREATE TABLE _alembic_tmp_users (id INTEGER, name TEXT);
INSERT INTO _alembic_tmp_users (id, name) SELECT users.id, users.name FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
CREATE TABLE _alembic_tmp_users (id INTEGER);
INSERT INTO _alembic_tmp_users (id) SELECT users.id FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== D01 F02
CREATE TABLE _alembic_tmp_users (id INTEGER);
INSERT INTO _alembic_tmp_users (id) SELECT users.id FROM users;
DROP TABLE users;
=== D01 F02
CREATE TABLE _alembic_tmp_users (id INTEGER);
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== D01 F02
CREATE TABLE _alembic_tmp_users (id INTEGER);
INSERT INTO _alembic_tmp_users (id) SELECT other.id FROM other;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== B06 D01 F02
CREATE TABLE _alembic_tmp_users (id INTEGER);
INSERT INTO _alembic_tmp_users (id) SELECT users.id FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
DROP TABLE users;
=== ok
CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, "drop" TEXT NOT NULL, FOREIGN KEY (id) REFERENCES users (id));
=== ok
SELECT 'DROP TABLE users; it''s' AS [delete from x];
=== ok
-- DROP TABLE users;
SELECT 1; /* TRUNCATE */
=== ok
ALTER TABLE users ADD COLUMN a INTEGER;
=== ok
ALTER TABLE users ADD COLUMN a INTEGER NOT NULL DEFAULT 0;
=== ok
ALTER TABLE users ADD COLUMN owner INTEGER REFERENCES people (id);
=== ok
INSERT INTO users (id, name) VALUES (1, 'x'';DROP TABLE y;--');
=== ok
INSERT OR IGNORE INTO users (id) VALUES (1);
=== ok
CREATE TRIGGER t AFTER INSERT ON users BEGIN UPDATE log SET n = CASE WHEN n > 1 THEN 1 ELSE 0 END; DELETE FROM old; END;
=== ok
CREATE VIEW v AS SELECT * FROM users;
=== ok
PRAGMA foreign_keys=OFF;
=== ok
CREATE TEMP TABLE t (id); DROP TABLE t;
=== ok
BEGIN TRANSACTION; SELECT count(*) FROM users; COMMIT;
=== ok
UPDATE alembic_version SET version_num='b' WHERE alembic_version.version_num = 'a';
=== ok
CREATE VIRTUAL TABLE search USING fts5(title, body);
=== B06 F02
CREATE TABLE new_users (id INTEGER, name TEXT);
INSERT INTO new_users SELECT * FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
CREATE TABLE new_users (id INTEGER, name VARCHAR(20));
INSERT INTO new_users SELECT * FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
=== D02
ALTER TABLE users DROP key;
=== D01
.bail on
DROP TABLE users;
=== ok
SELECT .5;
=== B06 D03 F02
CREATE TABLE new_users (id INTEGER PRIMARY KEY);
INSERT OR IGNORE INTO new_users SELECT id FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
=== B06 D03 F02
CREATE TABLE new_users (id INTEGER PRIMARY KEY);
INSERT INTO new_users SELECT DISTINCT id FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
=== D07 B06
PRAGMA foreign_keys=ON;
BEGIN;
PRAGMA foreign_keys=OFF;
CREATE TABLE new_users (id INTEGER PRIMARY KEY);
INSERT INTO new_users SELECT id FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
COMMIT;
=== B06
PRAGMA foreign_keys=ON;
PRAGMA foreign_keys=OFF;
BEGIN;
CREATE TABLE new_users (id INTEGER PRIMARY KEY);
INSERT INTO new_users SELECT id FROM users;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;
COMMIT;
=== F01
ALTER TABLE users ADD COLUMN created DATETIME DEFAULT CURRENT_TIMESTAMP;
=== F01
ALTER TABLE users ADD COLUMN created TEXT NOT NULL DEFAULT (datetime('now'));
=== F01
ALTER TABLE users ADD COLUMN owner INTEGER NOT NULL DEFAULT 1 REFERENCES people (id);
=== F01
ALTER TABLE users ADD COLUMN total INTEGER GENERATED ALWAYS AS (a + b) STORED;
=== ok
ALTER TABLE users ADD COLUMN total INTEGER NOT NULL DEFAULT (-1);
=== ok
ALTER TABLE users ADD COLUMN owner INTEGER DEFAULT NULL REFERENCES people (id);
=== ok
BEGIN; CREATE TABLE a (x int); CREATE TABLE b (x int); COMMIT;
=== D04 B06 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, NULL FROM users;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== D04 B06 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, substr(users.a, 1, 3) FROM users;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== D04 B06 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n SELECT id, id FROM users;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== D03 B06 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, a FROM users;
DELETE FROM n;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== B06 B10 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, a FROM users;
DROP TABLE users;
DELETE FROM n WHERE a = 'x';
ALTER TABLE n RENAME TO users;
=== D04 B06 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, a FROM users;
UPDATE n SET a = NULL;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== D01 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, a FROM users;
DROP TABLE n;
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== D01
BEGIN;
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
SAVEPOINT s;
INSERT INTO n (id, a) SELECT id, a FROM users;
ROLLBACK TO s;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
COMMIT;
=== B06 F02
CREATE TABLE "_alembic_tmp_users" (id INTEGER NOT NULL, a VARCHAR(10));
INSERT INTO _alembic_tmp_users (id, a) SELECT users.id, CAST(users.a AS VARCHAR(10)) AS a FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== D04 B06 F02
CREATE TABLE "_alembic_tmp_users" (id INTEGER NOT NULL, a SMALLINT);
INSERT INTO _alembic_tmp_users (id, a) SELECT users.id, CAST(users.a AS SMALLINT) AS a FROM users;
DROP TABLE users;
ALTER TABLE _alembic_tmp_users RENAME TO users;
=== B06 F02
CREATE TABLE n (id INTEGER PRIMARY KEY, a TEXT);
INSERT INTO n (id, a) SELECT id, coalesce(a, '') FROM users;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== F01
ALTER TABLE t ADD COLUMN a TEXT DEFAULT (datetime('now'));
=== B01
CREATE INDEX IF NOT EXISTS i ON t(a) WHERE a NOT NULL;
=== D05
DROP VIEW IF EXISTS v;
=== B10
UPDATE t SET a = 1 WHERE rowid = 3;
=== B10
INSERT OR REPLACE INTO t (id, a) VALUES (1, 2);
=== B10 O02
PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'x' WHERE name = 't';
=== O02
ATTACH DATABASE 'x.db' AS x;
=== C02
ALTER TABLE t RENAME TO u;
=== D03 B10
DELETE FROM t WHERE 1;
=== ok
REINDEX t;
=== ok
CREATE TRIGGER r AFTER INSERT ON t BEGIN DELETE FROM u; END;
=== ok
INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING;
=== B10
WITH x AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM x);
=== C01
ALTER TABLE t RENAME COLUMN a TO b;
=== ok
ALTER TABLE t ADD COLUMN a INTEGER NOT NULL DEFAULT 0;
=== C03
ALTER TABLE t ADD COLUMN a INTEGER NOT NULL;
=== D05
DROP TRIGGER r;
=== D01
DROP TABLE IF EXISTS "t";
=== D06
DROP INDEX i;
=== ok
BEGIN IMMEDIATE; CREATE TABLE x (a); INSERT INTO x VALUES (1); COMMIT;
=== O02
.load ./evil
=== B10
UPDATE t SET a = (SELECT b FROM u WHERE u.id = t.id);
=== ok
INSERT INTO t (a) SELECT 'x' WHERE 1 NOT IN (SELECT id FROM t);
=== O02
VACUUM INTO 'copy.db';
=== B10
UPDATE OR REPLACE users SET name = 'x' WHERE id = 2;
=== B06 C04 F02
ALTER TABLE t RENAME TO old; CREATE TABLE t (id INTEGER); INSERT INTO t SELECT id FROM old; DROP TABLE old;
=== B06 C04 D03 F02
ALTER TABLE t RENAME TO old; CREATE TABLE t (id INTEGER); INSERT INTO t SELECT id FROM old WHERE id > 5; DROP TABLE old;
=== C02 D01 F02
ALTER TABLE t RENAME TO old; CREATE TABLE t (id INTEGER); DROP TABLE old;
=== C02 D01 F02
ALTER TABLE t RENAME TO old; CREATE TABLE u (id INTEGER); INSERT INTO u SELECT id FROM old; DROP TABLE old;
=== ok
DROP TABLE IF EXISTS temp.t;
=== D04 B06 F02
CREATE TABLE n (id int, a text);
INSERT INTO n (id, a) SELECT id, 'x' FROM users;
DROP TABLE users;
ALTER TABLE n RENAME TO users;
=== B06 F02
CREATE TABLE n (id int);
INSERT INTO n SELECT * FROM t UNION ALL SELECT * FROM u;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== B06 D03 F02
CREATE TABLE n (id int);
INSERT INTO n SELECT * FROM t UNION ALL SELECT * FROM u LIMIT 10;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== B06 D03 F02
CREATE TABLE n (id int);
INSERT INTO n SELECT * FROM t UNION ALL SELECT * FROM u EXCEPT SELECT * FROM v;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== B06 D03 F02
CREATE TABLE n (id int);
INSERT INTO n SELECT * FROM t UNION ALL SELECT * FROM u UNION SELECT * FROM v;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== B06 D03 F02
CREATE TABLE n (id int);
INSERT INTO n SELECT t.id FROM t, u ORDER BY t.id, u.id;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== B06 F02
CREATE TABLE n (id int);
INSERT INTO n SELECT id FROM t ORDER BY id, 1;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
=== B06 D03 D04 F02
CREATE TABLE n (id int);
INSERT INTO n WITH t AS (SELECT * FROM main.t WHERE id > 5) SELECT id FROM t;
DROP TABLE t;
ALTER TABLE n RENAME TO t;
