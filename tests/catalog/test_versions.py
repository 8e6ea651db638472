"""The same on PostgreSQL 12, 15 and 18: changes that are seen, and the work of others that is none. Each server is started once."""

import pytest
from conftest import Database
from postgres import DATABASE, server

SCHEMA = """
CREATE SCHEMA shop; CREATE TYPE shop.mood AS ENUM ('good', 'bad'); CREATE DOMAIN shop.word AS text; CREATE TYPE shop.place AS (x integer, y integer);
CREATE TYPE shop.words AS RANGE (subtype = text); CREATE SEQUENCE shop.numbers;
CREATE TABLE shop.makers (id integer PRIMARY KEY, code text NOT NULL, CONSTRAINT coded UNIQUE (code));
CREATE TABLE shop.goods (
    id integer PRIMARY KEY, maker integer, state varchar(10), price numeric(10,2), name text, code varchar(5), tags text[],
    total integer GENERATED ALWAYS AS (maker * 2) STORED,
    CONSTRAINT of_maker FOREIGN KEY (maker) REFERENCES shop.makers (id), CONSTRAINT known CHECK (state IN ('new', 'old')), CONSTRAINT other CHECK (price IN (1, 2, -3)),
    CONSTRAINT whole CHECK (price::integer = price), CONSTRAINT tagged CHECK (tags <> ARRAY['a', 'b']::varchar[]::text[] AND name = ANY (ARRAY[state, code])));
CREATE INDEX by_price ON shop.goods ((price::integer)) WHERE state IN ('new', 'old'); CREATE UNIQUE INDEX by_name ON shop.goods (name) INCLUDE (state);
CREATE FUNCTION shop.noted() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER noted BEFORE UPDATE ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.noted();
CREATE VIEW shop.cheap AS SELECT id FROM shop.goods WHERE price < 10 AND state NOT IN ('odd', 'lost');
CREATE RULE quiet AS ON DELETE TO shop.makers DO INSTEAD NOTHING;
CREATE AGGREGATE shop.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0');
CREATE TEXT SEARCH DICTIONARY shop.plain (TEMPLATE = simple);
CREATE PUBLICATION changes FOR TABLE shop.makers; CREATE PUBLICATION inserts FOR TABLE shop.goods WITH (publish = 'insert');
CREATE TABLE shop.log (at date NOT NULL, what text DEFAULT 'x') PARTITION BY RANGE (at); CREATE INDEX log_at ON shop.log (at);
CREATE TRIGGER logged BEFORE INSERT ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.noted();
CREATE TABLE shop.log_old PARTITION OF shop.log FOR VALUES FROM ('2000-01-01') TO ('2020-01-01');
CREATE TABLE shop.log_new PARTITION OF shop.log FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
CREATE INDEX own ON shop.log_new (what); ALTER TABLE shop.log_new ADD CONSTRAINT filled CHECK (what <> ''); CREATE POLICY all_of_it ON shop.log_new USING (true);
CREATE TRIGGER after_log AFTER INSERT ON shop.log FOR EACH ROW EXECUTE FUNCTION shop.noted();
CREATE FOREIGN DATA WRAPPER far; CREATE SERVER away FOREIGN DATA WRAPPER far; CREATE FOREIGN TABLE shop.distant (id integer) SERVER away;
CREATE TABLE shop.alembic_version (version_num varchar(32) PRIMARY KEY);
"""

# The release from which it can be, the change, what takes it back, how it is told.
CHANGES = [
    # A cast is a part of what it stands in.
    (12, "ALTER TABLE shop.goods DROP CONSTRAINT whole; ALTER TABLE shop.goods ADD CONSTRAINT whole CHECK (price = price)",
     "ALTER TABLE shop.goods DROP CONSTRAINT whole; ALTER TABLE shop.goods ADD CONSTRAINT whole CHECK (price::integer = price)", "Modified constraint shop.goods.whole"),
    (12, "DROP INDEX shop.by_price; CREATE INDEX by_price ON shop.goods (price) WHERE state IN ('new', 'old')",
     "DROP INDEX shop.by_price; CREATE INDEX by_price ON shop.goods ((price::integer)) WHERE state IN ('new', 'old')", "Modified index shop.by_price"),
    # Rules that are switched off.
    (12, "ALTER TABLE shop.goods DISABLE TRIGGER ALL", "ALTER TABLE shop.goods ENABLE TRIGGER ALL", "Modified constraint shop.goods.of_maker"),
    (12, "ALTER TABLE shop.makers DISABLE TRIGGER ALL", "ALTER TABLE shop.makers ENABLE TRIGGER ALL", "Modified constraint shop.goods.of_maker"),
    (12, "ALTER TABLE shop.goods DISABLE TRIGGER USER", "ALTER TABLE shop.goods ENABLE TRIGGER USER", "Modified trigger shop.goods.noted"),
    (12, "ALTER TABLE shop.log_new DISABLE TRIGGER after_log", "ALTER TABLE shop.log_new ENABLE TRIGGER after_log", "Unexpected trigger shop.log_new.after_log"),
    (12, f"ALTER DATABASE {DATABASE} SET session_replication_role = replica", f"ALTER DATABASE {DATABASE} RESET session_replication_role", "Unexpected setting session_replication_role"),
    (12, "ALTER TABLE shop.makers DISABLE RULE quiet", "ALTER TABLE shop.makers ENABLE RULE quiet", "Modified rule shop.makers.quiet"),
    # Partitions, and what they have for themselves.
    (12, "CREATE TABLE shop.log_next PARTITION OF shop.log FOR VALUES FROM ('2030-01-01') TO ('2040-01-01')", "DROP TABLE shop.log_next", "Unexpected partition shop.log_next"),
    (12, "DROP TABLE shop.log_old", "CREATE TABLE shop.log_old PARTITION OF shop.log FOR VALUES FROM ('2000-01-01') TO ('2020-01-01')", "Missing partition shop.log_old"),
    (12, "ALTER TABLE shop.log DETACH PARTITION shop.log_old", "ALTER TABLE shop.log ATTACH PARTITION shop.log_old FOR VALUES FROM ('2000-01-01') TO ('2020-01-01')",
     "Missing partition shop.log_old"),
    (12, "ALTER TABLE shop.log DETACH PARTITION shop.log_old; ALTER TABLE shop.log ATTACH PARTITION shop.log_old FOR VALUES FROM ('2010-01-01') TO ('2020-01-01')",
     "ALTER TABLE shop.log DETACH PARTITION shop.log_old; ALTER TABLE shop.log ATTACH PARTITION shop.log_old FOR VALUES FROM ('2000-01-01') TO ('2020-01-01')",
     "Modified partition shop.log_old"),
    (12, "DROP INDEX shop.own", "CREATE INDEX own ON shop.log_new (what)", "Missing index shop.own"),
    (12, "ALTER TABLE shop.log_new DROP CONSTRAINT filled", "ALTER TABLE shop.log_new ADD CONSTRAINT filled CHECK (what <> '')", "Missing constraint shop.log_new.filled"),
    (12, "DROP POLICY all_of_it ON shop.log_new", "CREATE POLICY all_of_it ON shop.log_new USING (true)", "Missing policy shop.log_new.all_of_it"),
    (12, "ALTER TABLE shop.log_new ALTER what SET DEFAULT 'y'", "ALTER TABLE shop.log_new ALTER what SET DEFAULT 'x'", "Unexpected column shop.log_new.what"),
    (12, "ALTER TABLE shop.log_new ENABLE ROW LEVEL SECURITY", "ALTER TABLE shop.log_new DISABLE ROW LEVEL SECURITY", "Modified partition shop.log_new"),
    # Details of everything else.
    (12, "DROP DOMAIN shop.word; CREATE DOMAIN shop.word AS text COLLATE \"C\"", "DROP DOMAIN shop.word; CREATE DOMAIN shop.word AS text", "Modified domain shop.word"),
    (12, "DROP TYPE shop.words; CREATE TYPE shop.words AS RANGE (subtype = text, collation = \"C\")", "DROP TYPE shop.words; CREATE TYPE shop.words AS RANGE (subtype = text)",
     "Modified range type shop.words"),
    (12, "ALTER TABLE shop.makers REPLICA IDENTITY USING INDEX coded", "ALTER TABLE shop.makers REPLICA IDENTITY DEFAULT", "Modified constraint shop.makers.coded"),
    (12, "CREATE TABLE shop.typed OF shop.place", "DROP TABLE shop.typed", "Unexpected table shop.typed"),
    (12, "ALTER FOREIGN TABLE shop.distant ALTER id OPTIONS (ADD name 'x')", "ALTER FOREIGN TABLE shop.distant ALTER id OPTIONS (DROP name)", "Modified column shop.distant.id"),
    (12, "CREATE USER MAPPING FOR PUBLIC SERVER away", "DROP USER MAPPING FOR PUBLIC SERVER away", "Unexpected user mapping away.public"),
    (12, "DROP AGGREGATE shop.total(integer); CREATE AGGREGATE shop.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0', PARALLEL = SAFE)",
     "DROP AGGREGATE shop.total(integer); CREATE AGGREGATE shop.total(integer) (SFUNC = int4pl, STYPE = integer, INITCOND = '0')", "Modified aggregate shop.total(integer)"),
    (12, "ALTER TEXT SEARCH DICTIONARY shop.plain (accept = false)", "DROP TEXT SEARCH DICTIONARY shop.plain; CREATE TEXT SEARCH DICTIONARY shop.plain (TEMPLATE = simple)",
     "Modified text search dictionary shop.plain"),
    (12, "CREATE OPERATOR CLASS shop.odd FOR TYPE integer USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(integer, integer)",
     "DROP OPERATOR FAMILY shop.odd USING btree", "Unexpected operator class shop.odd using btree"),
    (12, "COMMENT ON SCHEMA shop IS 'x'", "COMMENT ON SCHEMA shop IS NULL", "Modified schema shop"),
    (12, "COMMENT ON RULE quiet ON shop.makers IS 'x'", "COMMENT ON RULE quiet ON shop.makers IS NULL", "Modified rule shop.makers.quiet"),
    (12, f"ALTER DATABASE {DATABASE} SET timezone = 'Asia/Tokyo'", f"ALTER DATABASE {DATABASE} RESET timezone", "Unexpected setting TimeZone"),
    (12, "CREATE SUBSCRIPTION copy CONNECTION 'host=nowhere' PUBLICATION changes WITH (connect = false)", "ALTER SUBSCRIPTION copy SET (slot_name = NONE); DROP SUBSCRIPTION copy",
     "Unexpected subscription copy"),
    (14, "ALTER TABLE shop.goods ALTER name SET COMPRESSION pglz", "ALTER TABLE shop.goods ALTER name SET COMPRESSION default", "Modified column shop.goods.name"),
    (15, "ALTER SEQUENCE shop.numbers SET UNLOGGED", "ALTER SEQUENCE shop.numbers SET LOGGED", "Modified sequence shop.numbers"),
    (15, "ALTER PUBLICATION changes SET TABLE shop.makers WHERE (id > 0)", "ALTER PUBLICATION changes SET TABLE shop.makers", "Modified publication changes"),
    (15, "ALTER PUBLICATION changes SET TABLE shop.makers (id)", "ALTER PUBLICATION changes SET TABLE shop.makers", "Modified publication changes"),
    (15, "ALTER PUBLICATION changes SET TABLES IN SCHEMA shop", "ALTER PUBLICATION changes SET TABLE shop.makers", "Modified publication changes"),
    (13, "ALTER PUBLICATION changes SET (publish_via_partition_root = true)", "ALTER PUBLICATION changes SET (publish_via_partition_root = false)", "Modified publication changes"),
    (18, "ALTER TABLE shop.goods DROP total; ALTER TABLE shop.goods ADD total integer GENERATED ALWAYS AS (maker * 2) VIRTUAL",
     "ALTER TABLE shop.goods DROP total; ALTER TABLE shop.goods ADD total integer GENERATED ALWAYS AS (maker * 2) STORED", "Modified column shop.goods.total"),
    (18, "ALTER TABLE shop.goods ADD CONSTRAINT named NOT NULL name NOT VALID", "ALTER TABLE shop.goods DROP CONSTRAINT named", "Modified column shop.goods.name"),
    (18, "ALTER TABLE shop.makers RENAME CONSTRAINT makers_code_not_null TO must", "ALTER TABLE shop.makers RENAME CONSTRAINT must TO makers_code_not_null",
     "Modified column shop.makers.code"),
    (18, "ALTER TABLE shop.goods ALTER CONSTRAINT of_maker NOT ENFORCED", "ALTER TABLE shop.goods ALTER CONSTRAINT of_maker ENFORCED", "Modified constraint shop.goods.of_maker"),
]

# The work of others, with what takes it back; nothing is told in between.
WORK = [
    # A partition that is being filled before it is attached.
    ("CREATE TABLE shop.log_next (LIKE shop.log INCLUDING ALL)", "DROP TABLE shop.log_next"),
    # pg_repack.
    ("CREATE SCHEMA repack; CREATE TABLE repack.log_16385 (id bigint); CREATE TYPE repack.pk_16385 AS (id integer);"
     "CREATE TRIGGER repack_trigger AFTER INSERT ON shop.goods FOR EACH ROW EXECUTE FUNCTION shop.noted();"
     "DO $$BEGIN EXECUTE 'CREATE INDEX index_' || 'shop.by_name'::regclass::oid || ' ON shop.goods (name)'; END$$",
     "DROP TRIGGER repack_trigger ON shop.goods; DROP SCHEMA repack CASCADE; DO $$BEGIN EXECUTE 'DROP INDEX shop.index_' || 'shop.by_name'::regclass::oid; END$$"),
    # TimescaleDB.
    ("CREATE SCHEMA _timescaledb_internal; CREATE TABLE _timescaledb_internal._hyper_1_1_chunk (CHECK (id > 0)) INHERITS (shop.makers);"
     "CREATE INDEX ON _timescaledb_internal._hyper_1_1_chunk (code)", "DROP SCHEMA _timescaledb_internal CASCADE"),
    # pg_partman: its tables, and partitions that it makes from a template.
    ("CREATE SCHEMA partman; CREATE TABLE partman.part_config (parent_table text); CREATE TABLE partman.template_shop_log (at date);"
     "CREATE TABLE shop.log_p2031_01_01 PARTITION OF shop.log FOR VALUES FROM ('2031-01-01') TO ('2032-01-01'); CREATE INDEX ON shop.log_p2031_01_01 (what);"
     "CREATE TABLE shop.log_default PARTITION OF shop.log DEFAULT", "DROP TABLE shop.log_p2031_01_01, shop.log_default; DROP SCHEMA partman CASCADE"),
    ("VACUUM shop.log_new", "ANALYZE shop.log"), ("REINDEX INDEX CONCURRENTLY shop.own", "REINDEX TABLE shop.log_old"),
    (f"ALTER DATABASE {DATABASE} SET work_mem = '8MB'", f"ALTER DATABASE {DATABASE} RESET work_mem"),
]

# Each definition as PostgreSQL tells it, made again from that: what a restore does.
AGAIN = """
DO $$DECLARE e record; BEGIN
    FOR e IN SELECT conname, conrelid::regclass::text AS place, pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conrelid = 'shop.goods'::regclass AND contype = 'c' LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', e.place, e.conname); EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I %s', e.place, e.conname, e.text);
    END LOOP;
    FOR e IN SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS text FROM pg_index WHERE indexrelid IN ('shop.by_price'::regclass, 'shop.by_name'::regclass) LOOP
        EXECUTE 'DROP INDEX ' || e.name; EXECUTE e.text;
    END LOOP;
    EXECUTE 'CREATE OR REPLACE VIEW shop.cheap AS ' || pg_get_viewdef('shop.cheap'::regclass);
END$$
"""


def run(shop, statements):
    """Those that may stand in no transaction by themselves."""
    alone = ("VACUUM", "REINDEX", "ALTER DATABASE", "CREATE SUBSCRIPTION", "ALTER SUBSCRIPTION")
    for statement in statements.split("; ") if statements.startswith(alone) else [statements]:
        shop.sql(statement)


@pytest.mark.parametrize("major", [12, None, 18], ids=["12", "installed", "18"])
def test_a_release(major, tmp_path):
    with server(major) as postgres:
        shop = Database(postgres, tmp_path)
        release = int(postgres.sql("SHOW server_version_num")[0][0]) // 10000
        assert major in (None, release)
        shop.sql(SCHEMA)
        baseline = shop.baseline()
        for number in range(2):
            shop.sql(AGAIN)
            assert shop.differences(baseline) == set(), f"made again {number}"
        for since, change, back, told in CHANGES:
            if release < since:
                continue
            run(shop, change)
            found = {" ".join(entry) for entry in shop.differences(baseline)}
            assert told in found, (change, found)
            run(shop, back)
            assert shop.differences(baseline) == set(), back
        for work, end in WORK:
            run(shop, work)
            assert shop.differences(baseline) == set(), work
            run(shop, end)
            assert shop.differences(baseline) == set(), end


