"""Each single change of a MariaDB schema is found under its name and gone when it is taken back; what changes no schema is not found."""

import hashlib
import os
import subprocess

import pytest
from conftest import Database
from postgres import DATABASE, USER

SCHEMA = """
CREATE TABLE makers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL UNIQUE);
CREATE TABLE goods (
    id INT AUTO_INCREMENT PRIMARY KEY, maker INT, name VARCHAR(60) NOT NULL DEFAULT 'x' COMMENT 'as printed', amount INT,
    total INT AS (amount * 2) STORED, mood ENUM('good', 'bad'), changed TIMESTAMP DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
    CONSTRAINT of_maker FOREIGN KEY (maker) REFERENCES makers (id), CONSTRAINT some CHECK (amount > 0), INDEX by_name (name), FULLTEXT INDEX words (name));
CREATE VIEW names AS SELECT id, name FROM goods WHERE amount > 0;
CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2;
CREATE PROCEDURE tidy() DELETE FROM goods WHERE FALSE;
CREATE TRIGGER goods_noted BEFORE UPDATE ON goods FOR EACH ROW SET NEW.name = TRIM(NEW.name);
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM goods WHERE FALSE;
CREATE SEQUENCE numbers START WITH 5;
CREATE TABLE log (at DATE NOT NULL) PARTITION BY RANGE (YEAR(at)) (PARTITION old VALUES LESS THAN (2020));
CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO makers VALUES (1, 'one'); INSERT INTO goods (name, amount, maker) VALUES ('a', 10, 1), ('b', 20, 1);
"""

CHANGES = [
    ("ALTER TABLE makers ADD SYSTEM VERSIONING", "ALTER TABLE makers DROP SYSTEM VERSIONING", "Modified table makers"),
    (f"ALTER DATABASE {DATABASE} COLLATE utf8mb4_bin", None, "Modified database default"),
    ("ALTER EVENT nightly ON SCHEDULE EVERY 1 DAY ENDS '2037-01-01'", None, "Modified event nightly"),
    ("CREATE TABLE extra (id INT)", "DROP TABLE extra", "Unexpected table extra"),
    ("RENAME TABLE log TO logs", "RENAME TABLE logs TO log", "Missing table log"),
    ("ALTER TABLE log REMOVE PARTITIONING", "ALTER TABLE log PARTITION BY RANGE (YEAR(at)) (PARTITION old VALUES LESS THAN (2020))", "Modified table log"),
    ("ALTER TABLE goods COMMENT 'x'", "ALTER TABLE goods COMMENT ''", "Modified table goods"),
    ("ALTER TABLE log ENGINE MyISAM", "ALTER TABLE log ENGINE InnoDB", "Modified table log"),
    ("ALTER TABLE log COLLATE utf8mb4_bin", None, "Modified table log"),
    ("ALTER TABLE goods ROW_FORMAT = COMPRESSED", "ALTER TABLE goods ROW_FORMAT = DEFAULT", "Modified table goods"),
    ("ALTER TABLE goods ADD COLUMN extra INT", "ALTER TABLE goods DROP COLUMN extra", "Unexpected column goods.extra"),
    ("ALTER TABLE goods DROP COLUMN mood", "ALTER TABLE goods ADD COLUMN mood ENUM('good', 'bad')", "Missing column goods.mood"),
    ("ALTER TABLE goods MODIFY amount BIGINT", "ALTER TABLE goods MODIFY amount INT", "Modified column goods.amount"),
    ("ALTER TABLE goods MODIFY amount INT NOT NULL", "ALTER TABLE goods MODIFY amount INT", "Modified column goods.amount"),
    ("ALTER TABLE goods MODIFY amount INT DEFAULT 7", "ALTER TABLE goods MODIFY amount INT", "Modified column goods.amount"),
    ("ALTER TABLE goods MODIFY amount INT UNSIGNED", "ALTER TABLE goods MODIFY amount INT", "Modified column goods.amount"),
    ("ALTER TABLE goods MODIFY amount INT COMMENT 'x'", "ALTER TABLE goods MODIFY amount INT", "Modified column goods.amount"),
    ("ALTER TABLE goods MODIFY amount INT INVISIBLE", "ALTER TABLE goods MODIFY amount INT", "Modified column goods.amount"),
    ("ALTER TABLE goods MODIFY mood ENUM('good', 'bad', 'so so')", "ALTER TABLE goods MODIFY mood ENUM('good', 'bad')", "Modified column goods.mood"),
    ("ALTER TABLE goods MODIFY total INT AS (amount * 3) STORED", None, "Modified column goods.total"),
    ("ALTER TABLE goods MODIFY changed TIMESTAMP DEFAULT CURRENT_TIMESTAMP", None, "Modified column goods.changed"),
    ("ALTER TABLE makers MODIFY name VARCHAR(40) COLLATE utf8mb4_bin NOT NULL", None, "Modified column makers.name"),
    ("ALTER TABLE goods DROP INDEX by_name", "ALTER TABLE goods ADD INDEX by_name (name)", "Missing index goods.by_name"),
    ("ALTER TABLE goods DROP INDEX by_name, ADD UNIQUE INDEX by_name (name)", None, "Modified index goods.by_name"),
    ("ALTER TABLE goods DROP INDEX by_name, ADD INDEX by_name (name(5))", None, "Modified index goods.by_name"),
    ("ALTER TABLE goods DROP INDEX by_name, ADD INDEX by_name (name DESC)", None, "Modified index goods.by_name"),
    ("ALTER TABLE goods DROP INDEX by_name, ADD INDEX by_name (name, amount)", None, "Modified index goods.by_name"),
    ("ALTER TABLE goods ALTER INDEX by_name IGNORED", "ALTER TABLE goods ALTER INDEX by_name NOT IGNORED", "Modified index goods.by_name"),
    ("ALTER TABLE goods DROP INDEX words", "ALTER TABLE goods ADD FULLTEXT INDEX words (name)", "Missing index goods.words"),
    ("ALTER TABLE makers DROP PRIMARY KEY, ADD PRIMARY KEY (id, name)", None, "Modified index makers.PRIMARY"),
    ("ALTER TABLE goods DROP FOREIGN KEY of_maker", "ALTER TABLE goods ADD CONSTRAINT of_maker FOREIGN KEY (maker) REFERENCES makers (id)", "Missing foreign key goods.of_maker"),
    ("ALTER TABLE goods DROP FOREIGN KEY of_maker, ADD CONSTRAINT of_maker2 FOREIGN KEY (maker) REFERENCES makers (id) ON DELETE CASCADE", None,
     "Unexpected foreign key goods.of_maker2"),
    ("ALTER TABLE goods DROP CONSTRAINT some", "ALTER TABLE goods ADD CONSTRAINT some CHECK (amount > 0)", "Missing constraint goods.some"),
    ("ALTER TABLE goods DROP CONSTRAINT some, ADD CONSTRAINT some CHECK (amount > 1)", None, "Modified constraint goods.some"),
    ("ALTER TABLE goods MODIFY amount INT CHECK (amount < 99)", "ALTER TABLE goods MODIFY amount INT", "Unexpected constraint goods.amount"),
    ("CREATE OR REPLACE VIEW names AS SELECT id, name FROM goods WHERE amount > 1", "CREATE OR REPLACE VIEW names AS SELECT id, name FROM goods WHERE amount > 0",
     "Modified view names"),
    ("DROP VIEW names", "CREATE VIEW names AS SELECT id, name FROM goods WHERE amount > 0", "Missing view names"),
    ("CREATE OR REPLACE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x + x", "CREATE OR REPLACE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN x * 2",
     "Modified body of function twice"),
    ("CREATE OR REPLACE FUNCTION twice(x BIGINT) RETURNS INT DETERMINISTIC RETURN x * 2", None, "Modified function twice"),
    ("ALTER FUNCTION twice SQL SECURITY INVOKER", "ALTER FUNCTION twice SQL SECURITY DEFINER", "Modified function twice"),
    ("DROP PROCEDURE tidy", "CREATE PROCEDURE tidy() DELETE FROM goods WHERE FALSE", "Missing procedure tidy"),
    ("CREATE OR REPLACE TRIGGER goods_noted BEFORE UPDATE ON goods FOR EACH ROW SET NEW.name = 'x'", None, "Modified trigger goods_noted"),
    ("DROP TRIGGER goods_noted", None, "Missing trigger goods_noted"),
    ("ALTER EVENT nightly DISABLE", "ALTER EVENT nightly ENABLE", "Modified event nightly"),
    ("ALTER EVENT nightly ON SCHEDULE EVERY 2 DAY", None, "Modified event nightly"),
    ("CREATE SEQUENCE extra", "DROP SEQUENCE extra", "Unexpected sequence extra"),
    ("ALTER SEQUENCE numbers INCREMENT 7", None, "Modified sequence numbers"),
    ("ALTER SEQUENCE numbers CYCLE", None, "Modified sequence numbers"),
    ("ALTER TABLE log ADD PARTITION (PARTITION young VALUES LESS THAN (2030))", "ALTER TABLE log DROP PARTITION young", "Unexpected partition log.young"),
    ("ALTER TABLE log PARTITION BY RANGE (YEAR(at)) (PARTITION old VALUES LESS THAN (2019))", None, "Modified partition log.old"),
    ("CREATE TABLE _archive_old (id INT)", "DROP TABLE _archive_old", "Unexpected table _archive_old"),
    ("ALTER TABLE goods DROP FOREIGN KEY of_maker; ALTER TABLE goods ADD CONSTRAINT of_maker FOREIGN KEY (maker) REFERENCES makers (id) ON UPDATE CASCADE", None, "Modified foreign key goods.of_maker"),
]

HARMLESS = [
    "ANALYZE TABLE goods", "OPTIMIZE TABLE goods", "ALTER TABLE goods FORCE", "INSERT INTO goods (name, amount) SELECT name, amount FROM goods", "SELECT NEXTVAL(numbers)",
    "ALTER TABLE goods AUTO_INCREMENT = 1000", "INSERT INTO alembic_version VALUES ('abc')", "ALTER TABLE alembic_version MODIFY version_num VARCHAR(100)",
    "CREATE TABLE _alembic_tmp_goods (id INT)", "TRUNCATE log", "ALTER TABLE goods DROP INDEX by_name, ADD INDEX by_name (name)",
    "ALTER TABLE goods ADD COLUMN gone INT, MODIFY mood ENUM('good', 'bad') FIRST", "ALTER TABLE goods DROP COLUMN gone",
]

# What the two tools do to a table with a foreign key, step by step; after each of them nothing is told.
ONLINE = [
    "CREATE TABLE _goods_ghc (id INT)", "CREATE TABLE _goods_gho LIKE goods", "RENAME TABLE _goods_gho TO _goods_20240229120000_del",
    "DROP TABLE _goods_ghc, _goods_20240229120000_del",
    "CREATE TABLE _goods_new LIKE goods", "ALTER TABLE _goods_new ADD CONSTRAINT _of_maker FOREIGN KEY (maker) REFERENCES makers (id)",
    "CREATE TRIGGER pt_osc_shop_goods_del AFTER DELETE ON goods FOR EACH ROW DELETE IGNORE FROM _goods_new WHERE id = OLD.id",
    "CREATE TRIGGER goods_noted_new BEFORE UPDATE ON _goods_new FOR EACH ROW SET NEW.name = TRIM(NEW.name)", "DROP TRIGGER goods_noted_new",
    "DROP TRIGGER pt_osc_shop_goods_del", "DROP TRIGGER goods_noted", "RENAME TABLE goods TO _goods_old, _goods_new TO goods",
    "CREATE TRIGGER goods_noted BEFORE UPDATE ON goods FOR EACH ROW SET NEW.name = TRIM(NEW.name)", "DROP TABLE _goods_old",
    "CREATE TABLE _makers_new LIKE makers", "RENAME TABLE makers TO _makers_old, _makers_new TO makers",
    "ALTER TABLE goods DROP FOREIGN KEY _of_maker, ADD CONSTRAINT __of_maker FOREIGN KEY (maker) REFERENCES makers (id)", "DROP TABLE _makers_old",
]


class Shop(Database):
    def sql(self, statement):
        """As the application's user: MariaDB shows the body of a function to its definer alone."""
        return super().sql(statement, user=USER)


@pytest.fixture
def shop(mariadb, tmp_path):
    mariadb.empty_database()
    shop = Shop(mariadb, tmp_path)
    shop.sql(SCHEMA)
    return shop


def test_every_change_is_found_and_gone_again(shop):
    baseline = shop.baseline()
    for change, back, told in CHANGES:
        shop.sql(change)
        found = {" ".join(entry) for entry in shop.differences(baseline)}
        assert told in found, (change, found)
        if back is None:
            shop.server.empty_database()
            shop.sql(SCHEMA)
        else:
            shop.sql(back)
        assert shop.differences(baseline) == set(), back or change


def test_what_changes_no_schema(shop):
    baseline = shop.baseline()
    for statement in HARMLESS[:-2]:
        shop.sql(statement)
        assert shop.differences(baseline) == set(), statement
    shop.sql(HARMLESS[-2])
    shop.sql(HARMLESS[-1])
    assert shop.differences(baseline) == set(), "the order of columns"


def test_online_schema_changes(shop):
    """But for what is so in between: the table stands without its check and its trigger while these are made again."""
    shop.sql("ALTER TABLE goods DROP CONSTRAINT some; INSERT IGNORE INTO makers VALUES (1, 'one')")
    baseline = shop.baseline()
    for statement in ONLINE:
        shop.sql("SET foreign_key_checks = 0; " + statement)
        found = {object for _, object in shop.differences(baseline)} - {"trigger goods_noted"}
        assert found == set(), (statement, found)
    assert shop.differences(baseline) == set()


OTHERS = {"another": "ALL", "reader": "SELECT"}


@pytest.mark.parametrize("name", OTHERS)
def test_another_user(shop, name):
    """A login that was made anew, and one that may only read: what these may not see is no difference, and what they may see still is one."""
    shop.server.sql(f"CREATE OR REPLACE USER {name}@'%' IDENTIFIED BY 'pw'; GRANT {OTHERS[name]} ON {DATABASE}.* TO {name}@'%'")
    url = shop.url.replace(shop.url.split("//")[1].split("@127")[0], f"{name}:pw")
    baseline = shop.baseline()
    compared = lambda: shop.command("--compare", baseline, url=url)
    assert (compared().returncode, compared().stdout) == (0, ""), compared()
    shop.sql("ALTER TABLE goods ADD COLUMN extra INT; DROP VIEW names")
    assert compared().stdout.splitlines() == ["Unexpected column goods.extra", "Missing column names.id", "Missing column names.name", "Missing view names"]
    shop.sql("DROP EVENT nightly; DROP FUNCTION twice; DROP TRIGGER goods_noted")
    told = {"Missing event nightly", "Missing function twice", "Missing trigger goods_noted"}
    assert (told <= set(compared().stdout.splitlines())) == (name == "another")
    shop.server.sql(f"DROP USER {name}@'%'")


def test_dump_and_restore(shop):
    baseline = shop.baseline()
    dump = ["mariadb-dump", "--no-defaults", "--socket", os.path.join(shop.server.folder, "socket"), "-u", "root", "--routines", "--events", "--triggers", DATABASE]
    for _ in range(2):
        text = subprocess.run(dump, check=True, stdout=subprocess.PIPE, text=True).stdout
        shop.server.empty_database()
        client = ["mariadb", "--no-defaults", "--socket", os.path.join(shop.server.folder, "socket"), "-u", "root", DATABASE]
        subprocess.run(client, check=True, input=text, text=True)
        assert shop.differences(baseline) == set()


def test_a_migration_that_runs_is_known_by_its_lock(shop):
    before = shop.command()
    assert (before.returncode, before.stderr) == (0, ""), shop.server.log()
    digest = hashlib.sha256(f"{DATABASE}.alembic_version".encode()).hexdigest()[:40]  # as runner.MysqlLock names it
    session = subprocess.Popen(["mariadb", "--no-defaults", "--socket", os.path.join(shop.server.folder, "socket"), "-u", "root", "-N", "--unbuffered", DATABASE],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    session.stdin.write(f"SELECT GET_LOCK('alembic-operator:{digest}', 0);\n")
    session.stdin.flush()
    assert session.stdout.readline().strip() == "1"
    try:
        during = shop.command()
        assert during.returncode == 0 and "a migration of this database is running" in during.stderr, during.stderr + shop.server.log()
    finally:
        session.stdin.close()
        session.wait(10)
