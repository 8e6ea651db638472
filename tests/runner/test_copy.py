"""The copy of a live database's schema to a scratch database, as the init container of a rehearsal makes it. Touches the private servers."""

import json
import os
import shutil
import subprocess
from unittest import mock

import mariadb as mariadb_server
import postgres as postgresql
import pytest
from project import RUNNER

ROOT = RUNNER.parents[1]
SCRIPT = ROOT / "src" / "jobs" / "copy.sh"


MARK = "alembic-operator-scratch"


def copy(server, tmp_path, path=(), shell=("sh",), **environ):
    """With an environment of its own, as in a container."""
    settings = dict({"PATH": os.pathsep.join([*map(str, path), os.environ["PATH"]]), "TMPDIR": str(tmp_path), "VERSION_TABLE": "alembic_version",
                     "SCRATCH_HOST": "127.0.0.1", "SCRATCH_PORT": str(server.port), "SCRATCH_PASSWORD": "scratch", "SCRATCH_NAME": "scratch",
                     "SCRATCH_MARK": MARK}, **environ)
    result = run(shell, settings)
    assert not list(tmp_path.glob("live.sql*"))
    return result.returncode, result.stdout


def run(shell, environ):
    return subprocess.run([*shell, str(SCRIPT)], env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)


@pytest.fixture(scope="module")
def beside():
    """The server beside the container: it says that it is one, and its database has been filled by its image."""
    running = postgresql.running
    with mock.patch.object(postgresql, "running", lambda command, *rest: running([*command, "-c", "cluster_name=" + MARK], *rest)):
        with postgresql.server() as server:
            server.sql("ALTER ROLE postgres PASSWORD 'scratch'")
            server.sql("CREATE DATABASE scratch")
            server.sql("CREATE SCHEMA audit; CREATE TABLE goods (id INTEGER)", "scratch")
            yield server


@pytest.fixture
def of_pg(pg, beside, tmp_path):
    return lambda **environ: copy(beside, tmp_path, [beside.binaries], **dict({"DIALECT": "postgresql", "SCRATCH_USER": "postgres"}, **environ))


URLS = ["://", "+psycopg2://", "+asyncpg://"]


@pytest.mark.parametrize("scheme", URLS)
def test_postgresql(pg_project, pg, beside, of_pg, scheme):
    pg_project.revision("r1", None, ["CREATE TABLE goods (id SERIAL PRIMARY KEY, name TEXT UNIQUE)", "CREATE INDEX by_name ON goods (lower(name))"])
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    pg.execute("CREATE SCHEMA audit; CREATE TABLE audit.log (id INTEGER); INSERT INTO goods (name) VALUES ('secret row')")
    code, output = of_pg(LIVE_URL=pg.url.replace("://", scheme) + "?sslmode=prefer&application_name=x")
    assert code == 0, output
    assert beside.sql("SELECT version_num FROM alembic_version", "scratch") == [["r1"]]
    assert beside.sql("SELECT count(*) FROM goods", "scratch") == beside.sql("SELECT count(*) FROM audit.log", "scratch") == [["0"]]
    assert beside.sql("SELECT indexname FROM pg_indexes WHERE indexname = 'by_name'", "scratch") == [["by_name"]]


def test_postgresql_by_its_parts_and_with_a_table_of_another_name(pg_project, pg, beside, of_pg):
    from postgres import DATABASE, PASSWORD, USER

    pg.execute("CREATE SCHEMA \"o'd d\"")
    pg_project.env(options="version_table='my \"history', version_table_schema=\"o'd d\"")
    pg_project.tables("r1")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    code, output = of_pg(LIVE_HOST="127.0.0.1", LIVE_PORT=str(pg.server.port), LIVE_NAME=DATABASE, LIVE_USER=USER, LIVE_PASSWORD=PASSWORD,
                         VERSION_TABLE='my "history', VERSION_SCHEMA="o'd d")
    assert code == 0, output
    assert beside.sql("SELECT * FROM \"o'd d\".\"my \"\"history\"", "scratch") == [["r1"]]


def test_no_secret_and_no_copy_with_a_wrong_password(pg, of_pg):
    code, output = of_pg(LIVE_URL=pg.server.url("wr@ng/%25 \u00fc"))
    assert code != 0 and "password authentication failed" in output and "wr@ng" not in output and "%40" not in output


@pytest.mark.parametrize("shell", [["bash", "--posix"], ["busybox", "ash"]], ids=lambda shell: shell[0])
def test_in_other_shells(pg, of_pg, shell):
    if not shutil.which(shell[0]):
        pytest.skip("not installed")
    assert of_pg(LIVE_URL=pg.url, VERSION_TABLE="", shell=shell)[0] == 0


def test_another_server_at_its_place_is_left_alone(pg, beside, of_pg):
    beside.sql("CREATE TABLE IF NOT EXISTS of_the_user (id INTEGER)", "scratch")
    code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="", SCRATCH_MARK="other")
    assert code == 1 and output.splitlines()[-1] == "alembic-operator: another server listens at the place of the scratch database"
    assert beside.sql("SELECT count(*) FROM of_the_user", "scratch") == [["0"]]


def test_a_new_database_has_no_version_table(pg, beside, of_pg):
    code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="")
    assert code == 0, output
    assert beside.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", "scratch") == [["0"]]
    code, output = of_pg(LIVE_URL=pg.url)
    assert code == 1 and output.splitlines()[-1] == "alembic-operator: the schema could not be read from the live database"


def test_a_database_without_the_schema_public(pg, beside, of_pg):
    pg.server.sql("DROP SCHEMA public; CREATE SCHEMA app", pg.name)
    code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="")
    assert code == 0, output
    assert beside.sql("SELECT nspname FROM pg_namespace WHERE nspname IN ('public', 'app')", "scratch") == [["app"]]


def test_the_roles_that_a_policy_names(pg, beside, of_pg):
    pg.server.sql("DROP ROLE IF EXISTS \"o'd \"\"d$$\"; CREATE ROLE \"o'd \"\"d$$\" LOGIN PASSWORD 'p'")
    try:
        pg.execute("CREATE TABLE goods (id INTEGER); ALTER TABLE goods ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON goods TO \"o'd \"\"d$$\" USING (true)")
        code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="")
        assert code == 0, output
        assert beside.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'o''d \"d$$'") == [["f"]]
    finally:
        pg.server.sql("DROP OWNED BY \"o'd \"\"d$$\"", pg.name)
        pg.server.sql("DROP ROLE \"o'd \"\"d$$\"")


def test_no_function_of_the_application_s_writes_what_is_run(pg, beside, of_pg):
    pg.execute("CREATE FUNCTION public.format(text, name) RETURNS text LANGUAGE sql AS $$ SELECT 'CREATE ROLE forged;'::text $$; "
               "CREATE FUNCTION public.format(text, text) RETURNS text LANGUAGE sql AS $$ SELECT 'CREATE ROLE forged;'::text $$")
    pg.server.sql("ALTER ROLE shop IN DATABASE shop SET search_path = public, pg_catalog")
    code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="")
    assert code == 0, output
    assert beside.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'forged'") == [["0"]]


def test_no_way_to_a_foreign_server(pg, beside, of_pg):
    # A wrapper without a library: the package with postgres_fdw need not be there.
    pg.execute("CREATE TABLE \" USER MAPPING \" (id INTEGER)")
    pg.server.sql("CREATE FOREIGN DATA WRAPPER far; CREATE SERVER remote FOREIGN DATA WRAPPER far; "
                  "CREATE USER MAPPING FOR shop SERVER remote OPTIONS (\"user\" 'u', password 'secret')", pg.name)
    try:
        code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="")
        assert code == 0, output
        assert beside.sql("SELECT srvname FROM pg_foreign_server", "scratch") == [["remote"]]
        assert beside.sql("SELECT count(*) FROM pg_user_mapping", "scratch") == [["0"]]
        assert beside.sql("SELECT count(*) FROM pg_tables WHERE tablename = ' USER MAPPING '", "scratch") == [["1"]]
    finally:
        pg.server.sql("DROP FOREIGN DATA WRAPPER far CASCADE", pg.name)


@pytest.mark.parametrize("option, path, schema, expected", [
    ("", '"$user", public', "public", "shop, public"),
    ("", 'tenant, "o\'\'d, d", public', "tenant", 'tenant, "o\'\'d, d", public'),
    ("?options=-c+search_path%3Dtenant", "public", "tenant", "tenant"),
    ("", '"\'; DROP TABLE x; --"', "", '"\'; DROP TABLE x; --"'),
    ("", "\'\'", "", '""'),
])
def test_the_search_path_is_that_of_the_live_database(pg, beside, of_pg, option, path, schema, expected):
    pg.execute("CREATE SCHEMA tenant")
    pg.server.sql("ALTER ROLE shop IN DATABASE shop SET search_path = %s" % path)
    code, output = of_pg(LIVE_URL=pg.url + option, VERSION_TABLE="")
    assert code == 0, output
    assert beside.sql("SHOW search_path", "scratch") == [[expected]]
    assert "".join(*beside.sql("SELECT current_schema()", "scratch")) == schema


def test_what_can_not_be_written_is_said(pg, beside, of_pg):
    code, output = of_pg(LIVE_URL=pg.url, VERSION_TABLE="", SCRATCH_NAME="template1")
    assert code == 1 and output.splitlines()[-1] == "alembic-operator: the schema could not be written to the scratch database"


@pytest.fixture
def seen(tmp_path):
    """What the clients are given for a URL, or what is said where they are given nothing: these tell, and end."""
    for name, said in (("pg_dump", '"$PGUSER" "$PGPASSWORD" "$PGHOST" "$PGPORT" "$PGDATABASE" "${PGSSLMODE:-}" "${PGOPTIONS:-}"'), ("mariadb-dump", '"$MYSQL_PWD" "$@"')):
        fake = tmp_path / name
        fake.write_text('#!/bin/sh\ncase $* in *--version | *--help) exit 0 ;; esac\nprintf "%%s|" %s >&2\nexit 1\n' % said)
        fake.chmod(0o755)
    (tmp_path / "mariadb").symlink_to(tmp_path / "mariadb-dump")

    def look(shell, url, dialect="postgresql"):
        environ = {"PATH": "%s:%s" % (tmp_path, os.environ["PATH"]), "TMPDIR": str(tmp_path), "DIALECT": dialect, "VERSION_TABLE": "v", "LIVE_URL": url}
        result = run(shell, environ)
        assert result.returncode == 1
        found = [line.split("|")[:-1] for line in result.stdout.splitlines() if "|" in line]
        return found[0] if found else result.stdout.splitlines()[-1]

    return look


SHELLS = [shell for shell in (["dash"], ["bash", "--posix"], ["busybox", "ash"]) if shutil.which(shell[0])]
CASES = json.loads((ROOT / "tests" / "fixtures" / "urls.json").read_text())


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
def test_every_url_of_the_table(seen, shell):
    for case in CASES:
        if "refused" in case:
            if case.get("copy", True) and case["url"]:
                assert str(seen(shell, case["url"])).startswith("alembic-operator: the URL of the live database"), case
            continue
        told, dialect = case["is"], case["is"]["dialect"]
        found = seen(shell, case["url"], dialect)
        assert isinstance(found, list), (case, found)
        hosts, ports = zip(*told["servers"])
        if dialect == "postgresql":
            user, password, host, port, name, tls, options = found
            assert (host, port, tls) == (",".join(hosts), ",".join(map(str, ports)), told.get("tls", "")), case
            # libpq reads them by itself.
            assert all(word in options.replace("\\", "") for word in (told.get("searchPath", ""), told.get("role", ""))), case
        else:
            password, name = found[0], found[-1]
            of = lambda option: next(word.partition("=")[2] for word in found if word.startswith(option + "="))
            user = of("--user")
            assert (of("--host"), of("--port")) == (hosts[0], str(ports[0])), case
        assert (user, password, name) == (told["user"], told.get("password", ""), told["database"]), case


@pytest.mark.parametrize("url, said", [
    ("u:secret@h/d", "malformed"),
    ("postgresql://u:secret@h:secret/d", "port"),
    ("postgresql://u:se@cret@h/d", "@"),
    ("postgresql://u:secret@h", "database name"),
    ("postgresql://u:secret@/d", "no host"),
    # SQLAlchemy too takes what is between the first : and the first @ for a password.
    ("postgresql://h:5432/d?user=a&password=secret@y", "database name"),
    ("postgresql://h/d?password=secret", "no user"),
    ("postgresql://u:p@h/d?sslmode=secret", "sslmode"),
])
def test_what_is_wrong_with_a_url_is_said_without_it(seen, url, said):
    line = seen(["sh"], url)
    assert said in line and "secret" not in line and "cret" not in line


@pytest.fixture
def of_mariadb(mariadb, tmp_path):
    """The scratch database is another one of the same server, which does not say that it is one."""
    mariadb.server.sql("CREATE USER IF NOT EXISTS scratch@'%' IDENTIFIED BY 'scratch'; GRANT ALL ON *.* TO scratch@'%'")
    mariadb.server.sql("DROP DATABASE IF EXISTS scratch; CREATE DATABASE scratch")
    yield lambda **environ: copy(mariadb.server, tmp_path, [tmp_path], **dict(
        {"DIALECT": "mysql", "SCRATCH_USER": "scratch", "SCRATCH_MARK": "", "LIVE_URL": mariadb.url + "?charset=utf8mb4"}, **environ))
    mariadb.server.sql("DROP DATABASE scratch")


def test_mariadb(mariadb_project, mariadb, of_mariadb):
    mariadb_project.tables("r1", "r2")
    mariadb_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done()
    mariadb.server.sql("INSERT INTO r1 VALUES (1)", mariadb.name)
    code, output = of_mariadb()
    assert code == 0, output
    assert mariadb.server.sql("SELECT version_num FROM alembic_version", "scratch") == [["r2"]]
    assert mariadb.server.sql("SELECT count(*) FROM r1", "scratch") == [["0"]]


def test_mariadb_another_server_at_its_place_is_left_alone(mariadb, of_mariadb):
    mariadb.server.sql("CREATE TABLE goods (id INTEGER)", mariadb.name)
    code, output = of_mariadb(VERSION_TABLE="", SCRATCH_MARK=MARK)
    assert code == 1 and output.splitlines()[-1] == "alembic-operator: another server listens at the place of the scratch database"
    assert mariadb.server.sql("SHOW TABLES", "scratch") == []
    # What the server says of itself is what is looked at.
    assert of_mariadb(VERSION_TABLE="", SCRATCH_MARK="NULL")[0] == 0


def test_mariadb_has_no_version_table_yet_and_names_like_options(mariadb, of_mariadb):
    assert of_mariadb(VERSION_TABLE="")[0] == 0
    code, output = of_mariadb()
    assert code == 1 and output.splitlines()[-1] == "alembic-operator: the schema could not be read from the live database"
    mariadb.server.sql("CREATE TABLE `--help` (v INT); INSERT INTO `--help` VALUES (7)", mariadb.name)
    code, output = of_mariadb(VERSION_TABLE="--help")
    assert code == 0, output
    assert mariadb.server.sql("SELECT v FROM `--help`", "scratch") == [["7"]]


def test_mariadb_nobody_defines_and_nothing_runs_by_itself(mariadb, of_mariadb):
    # MariaDB shows a view that its definer may not read with the database's name before each column.
    mariadb.server.sql("CREATE OR REPLACE USER `no``body`@`%`; GRANT ALL ON shop.* TO `no``body`@`%`")
    definer = "DEFINER=`no``body`@`%` "
    for statement in ["TABLE goods (id INTEGER)", definer + "VIEW seen AS SELECT * FROM goods", definer + "FUNCTION one() RETURNS INT RETURN 1",
                      definer + "TRIGGER t BEFORE INSERT ON goods FOR EACH ROW SET NEW.id = one()", "EVENT e ON SCHEDULE EVERY 1 HOUR DO SELECT 1"]:
        mariadb.server.sql("CREATE " + statement, mariadb.name)
    # The routines of others are shown only to those who may read the database mysql.
    code, output = of_mariadb(VERSION_TABLE="", LIVE_URL="mysql://scratch:scratch@127.0.0.1:%d/%s" % (mariadb.server.port, mariadb.name))
    assert code == 0, output
    mariadb.server.sql("INSERT INTO goods VALUES (5)", "scratch")
    assert mariadb.server.sql("SELECT id FROM seen", "scratch") == [["1"]]
    for kind in ["table", "routine", "trigger"]:
        listed = "views" if kind == "table" else kind + "s"
        assert mariadb.server.sql("SELECT definer FROM information_schema.%s WHERE %s_schema = 'scratch'" % (listed, kind)) == [["scratch@%"]]
    assert mariadb.server.sql("SHOW EVENTS", "scratch") == []


@pytest.fixture
def dumper(tmp_path):
    """One of which the test says what it is, knows and finds; what it was called with is kept."""

    def make(version, knows, dump=""):
        (tmp_path / "dump").write_text(dump)
        fake = tmp_path / "mariadb-dump"
        told = '*--version) echo "%s" ;; *--help) echo "%s" ;; *) echo "$*" >> %s/calls; cat %s/dump ;;' % (version, knows, tmp_path, tmp_path)
        fake.write_text('#!/bin/sh\ncase "$*" in %s esac\n' % told)
        fake.chmod(0o755)
        return tmp_path / "calls"

    return make


KNOWS = "  --ssl-verify-server-cert"


@pytest.mark.parametrize("version, knows, ca, given", [
    ("mariadb-dump from 11.4.2-MariaDB", KNOWS, "", "--skip-ssl-verify-server-cert "),
    ("mariadb-dump from 11.4.2-MariaDB", KNOWS, "/ca", "--ssl-verify-server-cert --ssl-ca=/ca "),
    ("mysqldump Ver 10.19 Distrib 10.3-MariaDB", "", "", ""),
    ("mysqldump  Ver 8.0.36 for Linux", KNOWS, "", "--set-gtid-purged=OFF "),
    ("mysqldump  Ver 8.0.36 for Linux", KNOWS, "/ca", "--set-gtid-purged=OFF --ssl-mode=VERIFY_IDENTITY --ssl-ca=/ca "),
])
def test_what_each_dumper_is_told(of_mariadb, dumper, version, knows, ca, given):
    calls = dumper(version, knows)
    code, output = of_mariadb(VERSION_TABLE="", LIVE_CA=ca)
    assert code == 0, output
    assert calls.read_text().startswith("--no-defaults %s--host=" % given)
    assert "password" not in calls.read_text() and mariadb_server.PASSWORD not in calls.read_text()


@pytest.mark.parametrize("options", [
    "FEDERATED DEFAULT CHARSET=latin1 CONNECTION='mysql://u:secret@h/d'",
    "CONNECT DEFAULT CHARSET=latin1 `TABLE_TYPE`='MYSQL'",
    "SPIDER COMMENT='password \"secret\"'",
    "OTHER CONNECTION='secret'",
])
def test_tables_of_another_server_are_refused(mariadb, of_mariadb, dumper, options):
    dumper("MariaDB", KNOWS, "CREATE TABLE `far` (\n  `id` int(11) DEFAULT NULL\n) ENGINE=%s;\n" % options)
    code, output = of_mariadb(VERSION_TABLE="")
    assert code == 1 and "rows are on another server" in output.splitlines()[-1] and "secret" not in output
    assert mariadb.server.sql("SHOW TABLES", "scratch") == []
