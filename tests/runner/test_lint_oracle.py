"""What a real server does with each statement of the linter's corpus: which tables it locks, reads and writes anew. The answers are kept
in tests/lint, where the linter's own tests compare them with what it says. UPDATE=1 writes them. On PostgreSQL and MariaDB."""

import json
import os
import pathlib
import re
import subprocess

from postgres import ServerError

CORPUS = pathlib.Path(__file__).parents[1] / "lint"


def cases(name):
    """The SQL of each case: they begin with a line of codes."""
    parts = ("\n" + (CORPUS / name).read_text()).split("\n===")[1:]
    return [part.partition("\n")[2].strip() for part in parts]


def told(answers, name):
    """The answers are those that are kept, as far as this server could be asked, too: another version refuses other statements."""
    path = CORPUS / name
    if os.environ.get("UPDATE"):
        path.write_text("".join(json.dumps(answer, ensure_ascii=False, sort_keys=True) + "\n" for answer in answers))
    kept = {answer["sql"]: answer for answer in map(json.loads, path.read_text().splitlines())}
    both = [(kept.get(answer["sql"]), answer) for answer in answers]
    assert all(before for before, _ in both), "UPDATE=1 asks the server about new cases"
    asked = [(before, now) for before, now in both if before["problem"] is None and now["problem"] is None]
    assert len(asked) > len(answers) // 2
    assert [now for before, now in asked if before != now] == [], "UPDATE=1 writes what the server answers now into %s" % path


# What a statement needs is made when the server misses it. Then it runs in a transaction that is rolled back, and what it has
# locked, read and written is asked for within.
SEEDED = r"""
SET client_min_messages = error;
CREATE TABLE pg_temp.cases (number int, sql text);
CREATE TABLE pg_temp.answers (number int, answer jsonb);
INSERT INTO pg_temp.cases VALUES %(cases)s;
CREATE FUNCTION pg_temp.seed(problem text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    m text[]; tables text[] := ARRAY(SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_schema)');
BEGIN
    m := regexp_match(problem, '^(?:materialized view|relation|table|view|sequence) "(?:([^".]+)\.)?([^".]+)" does not exist$');
    IF m IS NOT NULL THEN
        IF m[1] IS NOT NULL AND to_regnamespace(quote_ident(m[1])) IS NULL THEN RETURN format('CREATE SCHEMA %%I', m[1]); END IF;
        IF problem ~ '^sequence' THEN RETURN format('CREATE SEQUENCE %%I', m[2]); END IF;
        IF problem ~ '^(materialized )?view' THEN RETURN format('CREATE %%s %%I AS SELECT 1 AS a', CASE WHEN problem ~ '^m' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END, m[2]); END IF;
        RETURN format('CREATE TABLE %%s%%I (id int, seeded int)', COALESCE(quote_ident(m[1]) || '.', ''), m[2]);
    END IF;
    m := regexp_match(problem, '^schema "([^"]+)" does not exist$');
    IF m IS NOT NULL THEN RETURN format('CREATE SCHEMA %%I', m[1]); END IF;
    m := regexp_match(problem, '^column "([^"]+)" of relation "([^"]+)" does not exist$');
    IF m IS NULL THEN m := ARRAY[(regexp_match(problem, '^column "?(?:[^". ]+\.)?([^". ]+)"? (?:does not exist|named in key does not exist|referenced in foreign key constraint does not exist|named in partition key does not exist)$'))[1], NULL]; END IF;
    IF m[1] IS NOT NULL AND cardinality(tables) > 0 THEN
        RETURN (SELECT string_agg(format('ALTER TABLE %%s ADD COLUMN IF NOT EXISTS %%I int', t, m[1]), '; ') FROM unnest(tables) AS t);
    END IF;
    m := regexp_match(problem, '^column "([^"]+)" of relation "([^"]+)" already exists$');
    IF m IS NOT NULL THEN RETURN format('ALTER TABLE %%I DROP COLUMN %%I', m[2], m[1]); END IF;
    m := regexp_match(problem, '^index "(?:[^".]+\.)?([^".]+)" does not exist$');
    IF m IS NOT NULL THEN
        RETURN format('CREATE TABLE IF NOT EXISTS indexed (id int NOT NULL, a int NOT NULL); CREATE UNIQUE INDEX %%I ON %%s (%%s)', m[1],
                      COALESCE(tables[1], 'indexed'), CASE WHEN tables[1] IS NULL THEN 'a' ELSE 'id' END);
    END IF;
    m := regexp_match(problem, '^constraint "([^"]+)" of relation "([^"]+)" does not exist$');
    IF m IS NOT NULL THEN RETURN format('ALTER TABLE %%I ADD CONSTRAINT %%I CHECK (true) NOT VALID', m[2], m[1]); END IF;
    m := regexp_match(problem, '^type "(?:[^".]+\.)?([^".]+)" does not exist$');
    IF m IS NOT NULL THEN RETURN format('CREATE TYPE %%I AS ENUM (''a'')', m[1]); END IF;
    m := regexp_match(problem, '^there is no unique constraint matching given keys for referenced table "([^"]+)"$');
    IF m IS NOT NULL THEN
        RETURN (SELECT string_agg(format('ALTER TABLE %%I ADD UNIQUE (%%I)', m[1], attname), '; ') FROM pg_attribute WHERE attrelid = m[1]::regclass AND attnum > 0);
    END IF;
    RETURN NULL;
END $$;
DO $$
DECLARE
    one record; problem text; made text; before jsonb; answer jsonb;
BEGIN
    FOR one IN SELECT * FROM pg_temp.cases ORDER BY number LOOP
        FOR attempt IN 1..40 LOOP
            before := (SELECT COALESCE(jsonb_object_agg(c.oid::text, jsonb_build_object('name', c.relname, 'node', pg_relation_filenode(c.oid), 'scans', COALESCE(pg_stat_get_xact_numscans(c.oid), 0))), '{}') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                       WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|information_schema)');
            BEGIN
                EXECUTE one.sql;
                answer := (SELECT COALESCE(jsonb_object_agg(x.name, x.facts), '{}') FROM (
                    SELECT b.name, jsonb_build_object(
                        'lock', (SELECT l.mode FROM pg_locks AS l WHERE l.pid = pg_backend_pid() AND l.relation = b.oid AND l.locktype = 'relation'
                                 ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'ShareUpdateExclusiveLock',
                                                               'RowExclusiveLock', 'RowShareLock', 'AccessShareLock'], l.mode) LIMIT 1),
                        'rewritten', pg_relation_filenode(b.oid) IS DISTINCT FROM b.node, 'read', COALESCE(pg_stat_get_xact_numscans(b.oid), 0) > b.scans) AS facts
                    FROM (SELECT key::oid AS oid, (value ->> 'node')::oid AS node, value ->> 'name' AS name, (value ->> 'scans')::bigint AS scans FROM jsonb_each(before)) AS b) AS x
                    WHERE x.facts ->> 'lock' IS NOT NULL);
                RAISE EXCEPTION 'measured';
            EXCEPTION WHEN others THEN
                problem := SQLERRM;
            END;
            EXIT WHEN problem = 'measured';
            made := pg_temp.seed(problem);
            answer := NULL;
            EXIT WHEN made IS NULL;
            BEGIN
                EXECUTE made;
            EXCEPTION WHEN others THEN
                EXIT;
            END;
            COMMIT;
        END LOOP;
        INSERT INTO pg_temp.answers VALUES (one.number, jsonb_build_object('sql', one.sql, 'tables', answer, 'problem', NULLIF(problem, 'measured')));
        FOR made IN SELECT format('DROP SCHEMA %%I CASCADE', nspname) FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)' LOOP EXECUTE made; END LOOP;
        CREATE SCHEMA public;
        COMMIT;
    END LOOP;
END $$;
SELECT answer FROM pg_temp.answers ORDER BY number;
"""


def quoted(text):
    return "$case$%s$case$" % text


def test_postgresql_answers_as_is_kept(pg):
    listed = cases("postgresql.sql")
    rows = ", ".join("(%d, %s)" % (number, quoted(sql)) for number, sql in enumerate(listed))
    script = SEEDED % {"cases": rows}
    server = pg.server
    command = [server.binaries / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", server.folder, "-p", str(server.port), "-U", "postgres", "-d", pg.name, "-f", "-"]
    result = subprocess.run(command, input=script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(listed)
    told(answers, "oracle_postgresql.jsonl")


# How an ALTER TABLE can be done at the least, the cheapest first: ALGORITHM=COPY is what is left.
WAYS = {"instant": "ALGORITHM=INSTANT", "beside writes": "ALGORITHM=INPLACE, LOCK=NONE", "while writes wait": "ALGORITHM=INPLACE", "by a copy": "ALGORITHM=COPY"}
SEEDS = (
    (r"Table 'shop\.([^']+)' doesn't exist", "CREATE TABLE `{0}` (seeded INT, id INT NOT NULL, KEY (id))"),
    (r"Unknown column '([^']+)' in '([^']+)'", "ALTER TABLE `{table}` ADD COLUMN `{0}` INT"),
    (r"Key column '([^']+)' doesn't exist in table", "ALTER TABLE `{table}` ADD COLUMN `{0}` INT"),
    (r"Can't DROP COLUMN `([^`]+)`; check that it exists", "ALTER TABLE `{table}` ADD COLUMN `{0}` INT"),
    (r"Can't DROP INDEX `PRIMARY`; check that it exists", "ALTER TABLE `{table}` ADD PRIMARY KEY (id)"),
    (r"Can't DROP INDEX `([^`]+)`; check that it exists", "ALTER TABLE `{table}` ADD KEY `{0}` (id)"),
    (r"Can't DROP FOREIGN KEY `([^`]+)`; check that it exists", "ALTER TABLE `{table}` ADD CONSTRAINT `{0}` FOREIGN KEY (id) REFERENCES `{table}` (id)"),
    (r"Can't DROP CONSTRAINT `([^`]+)`; check that it exists", "ALTER TABLE `{table}` ADD CONSTRAINT `{0}` CHECK (id > 0)"),
    (r"Duplicate column name '([^']+)'", "ALTER TABLE `{table}` DROP COLUMN `{0}`"),
)


def way_of(mariadb, sql):
    """The cheapest way, or what keeps the statement from running at all."""
    table = re.match(r"(?is)alter\s+table\s+(?:if\s+exists\s+)?`?(\w+)`?", sql).group(1)
    problem = None
    for way in list(WAYS):
        for _ in range(20):
            try:
                mariadb.query("%s, %s" % (sql.rstrip("; \n"), WAYS[way]))
                return way, None
            except ServerError as error:
                problem = re.sub(r"^ERROR \d+ \(\w+\) at line \d+: ", "", str(error).strip().splitlines()[-1])
            seeds = [(re.search(pattern, problem), seed) for pattern, seed in SEEDS]
            made = next((seed.format(*found.groups(), table=table) for found, seed in seeds if found), None)
            if made is None:
                break
            try:
                mariadb.query(made)
            except ServerError:
                return None, problem
    return None, problem


def test_mariadb_answers_as_is_kept(mariadb):
    answers = []
    for sql in dict.fromkeys(cases("mariadb.sql") + cases("mysql.sql")):
        # What names a way itself, or is more than one statement, is not asked for.
        if not re.match(r"(?i)alter\s+table\s+`?\w+`?\s", sql) or re.search(r"(?i);\s*\S|algorithm|lock\s*=|partition|tablespace", sql):
            continue
        mariadb.server.empty_database()
        way, problem = way_of(mariadb, sql)
        answers.append({"sql": sql, "way": way, "problem": problem})
    assert sum(answer["way"] is not None for answer in answers) > 40, answers[:5]
    told(answers, "oracle_mariadb.jsonl")
