"""Each database and driver in a real run; passwords have characters that every URL must quote."""
import base64
import sqlite3
import subprocess

import pytest

import requirements
from harness import Space, apply, eventually, revision, space_name, table

ASYNC_ENV = """
import asyncio, os
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

asyncio.run(main())
"""
LINE = [revision("aaaa1111", **table("one")), revision("bbbb2222", "aaaa1111", **table("two"))]


def parts(space, driver):
    """The database by its parts, with user and password from the Secret."""
    key = lambda name: {"secretKeyRef": {"name": "app-db", "key": name}}
    dialect, port = ("mysql", 3306) if space.engine == "mariadb" else ("postgresql", 5432)
    connection = {"dialect": dialect, "host": f"{space.engine}.{space.server}", "port": port, "name": space.database,
                  "usernameFrom": key("username"), "passwordFrom": key("password")}
    return {"connection": connection, "driver": driver, "probe": {"interval": "5s"}}


def up_and_down(space, image, database):
    migration = space.migration(image, database=database, policy={"downgrade": "Allow"})
    migration.wait_ready()
    assert space.rows() == ["bbbb2222"] and space.has_table("two")
    migration.patch(targetRevision="aaaa1111")
    migration.wait_ready()
    assert space.rows() == ["aaaa1111"] and not space.has_table("two")
    assert migration.status["database"]["dialect"] == {"postgres": "postgresql", "mariadb": "mysql"}[space.engine]


@pytest.mark.parametrize("driver, packages, env", [
    ("psycopg", requirements.PSYCOPG3, None),
    ("asyncpg", requirements.ASYNCPG, ASYNC_ENV),
], ids=["psycopg", "asyncpg"])
def test_postgresql_drivers(space, push, driver, packages, env):
    options = {"env": env} if env else {}
    image = push(*LINE, requirements=packages, **options)
    up_and_down(space, image, parts(space, driver))


def test_mariadb(mariadb_space, push):
    image = push(*LINE, requirements=requirements.PYMYSQL_SHA256)
    up_and_down(mariadb_space, image, parts(mariadb_space, "pymysql"))


def test_mariadb_that_is_half_migrated_is_left_alone(mariadb_space, push):
    """DDL can't be taken back there: what was done before the error stays, and a retry would only fail on it."""
    space = mariadb_space
    up = "op.create_table('two', sa.Column('id', sa.Integer))\nop.execute('SELECT * FROM no_such_table')"
    image = push(LINE[0], revision("bbbb2222", "aaaa1111", up=up), requirements=requirements.PYMYSQL)
    migration = space.migration(image)
    migration.wait("PartiallyApplied")
    assert space.rows() == ["aaaa1111"] and space.has_table("two")
    message = migration.message()
    assert "bbbb2222" in message and "no_such_table" in message
    runs = len(space.jobs("run"))
    # The person looks, takes back what is there, and asks for a retry with a corrected image.
    space.sql("DROP TABLE two")
    mended = push(*LINE, requirements=requirements.PYMYSQL)
    assert len(space.jobs("run")) == runs, "nothing was retried by itself"
    migration.patch(image=mended)
    migration.wait_ready()
    assert space.rows() == ["bbbb2222"]


def test_what_is_wrong_with_a_mariadb_server_is_told(mariadb_space, push):
    space = mariadb_space
    image = push(*LINE, requirements=requirements.PYMYSQL)
    migration = space.migration(image, target="aaaa1111")
    migration.wait_ready()
    space.sql(f"ALTER USER {space.database} IDENTIFIED BY 'another'")
    migration.wait("AuthFailed")
    assert space.database not in migration.message().replace(f"/{space.database}", ""), "no user's name is shown"


def test_sqlite_in_a_file_on_a_volume(space, push, tmp_path):
    """The operator can't reach the file: Jobs read it, as they migrate it."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    size = {"storage": "1Gi"}
    apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": space.name},
           "spec": {"capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(data)}, "storageClassName": "",
                    "claimRef": {"namespace": space.name, "name": "data"}}})
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": space.name},
           "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": space.name, "resources": {"requests": size}}})
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "file", "namespace": space.name},
           "stringData": {"url": "sqlite:////data/shop.db"}})
    pod = {"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
                    "containers": [{"name": "alembic", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}
    database = {"urlFrom": {"secretKeyRef": {"name": "file", "key": "url"}}}
    image = push(*LINE, requirements=requirements.ALEMBIC)
    migration = space.migration(image, database=database, podTemplate=pod, policy={"downgrade": "Allow"})
    migration.wait("UnsupportedDialect")
    assert "spec.database.probe.mode: Job" in migration.message()

    migration.patch(database={"probe": {"mode": "Job", "interval": "10s"}})
    migration.wait_ready(90)
    rows = lambda: sqlite3.connect(data / "shop.db").execute("SELECT version_num FROM alembic_version").fetchall()
    assert rows() == [("bbbb2222",)] and migration.status["database"]["dialect"] == "sqlite"
    migration.patch(targetRevision="aaaa1111")
    migration.wait_ready(90)
    assert rows() == [("aaaa1111",)] and migration.condition("Drifted")["status"] == "False"

    # So it is with the schema.
    with sqlite3.connect(data / "shop.db") as connection:
        connection.execute("CREATE TABLE by_hand (id INTEGER)")
    eventually("the table is noticed", lambda: "table by_hand" in migration.condition("Drifted")["message"], 60)
    with sqlite3.connect(data / "shop.db") as connection:
        connection.execute("DROP TABLE by_hand")
    eventually("it is gone", lambda: migration.condition("Drifted")["reason"] == "InSync", 60)

    # What others do is seen at the next look, and looks leave no heap of Jobs behind.
    with sqlite3.connect(data / "shop.db") as connection:
        connection.execute("CREATE TABLE two (id INTEGER)")
        connection.execute("UPDATE alembic_version SET version_num = 'bbbb2222'")
    eventually("the change is noticed", lambda: space.events("RevisionChanged"), 60)
    migration.wait_ready(90)
    assert rows() == [("aaaa1111",)] and len(space.jobs("probe")) <= 2


def test_a_server_that_only_the_pods_can_reach(space, push):
    image = push(*LINE)
    database = {**parts(space, "psycopg2"), "probe": {"mode": "Job", "interval": "1h"}}
    migration = space.migration(image, database=database)
    migration.wait_ready(90)
    assert space.jobs("probe")
    assert space.rows() == ["bbbb2222"] and migration.status["database"]["version"].startswith("15.")
    space.sql("UPDATE alembic_version SET version_num = 'aaaa1111'")
    space.sql("DROP TABLE two")
    migration.annotate("look again")
    eventually("it is seen and mended", lambda: space.rows() == ["bbbb2222"], 60)
    migration.wait_ready(90)


def certificates(folder, name):
    """A private CA, and a certificate of its for one name."""
    openssl = lambda *arguments: subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, cwd=folder)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", "tls.key", "-out", "tls.csr")
    (folder / "san").write_text(f"subjectAltName=DNS:{name}\n")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", 2, "-extfile", "san", "-out", "tls.crt")
    return {file: (folder / file).read_text() for file in ("ca.crt", "tls.crt", "tls.key")}


@pytest.mark.parametrize("engine, parameters, packages", [
    ("postgres", "sslmode=verify-full", requirements.PSYCOPG2),
    ("mariadb", "ssl_ca=/alembic-operator-tls/ca.crt", requirements.PYMYSQL),
], ids=["postgres", "mariadb"])
def test_tls_with_a_private_ca(request, push, tmp_path, engine, parameters, packages):
    name = f"{space_name(request)}-{engine}"
    files = certificates(tmp_path, f"{engine}.{name}")
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{engine}-tls", "namespace": name}, "stringData": files})
    space = Space(name, server=name, engine=engine)
    url = base64.b64decode(space.secret("app-db")["url"]).decode()
    secret = lambda name, **values: apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": space.name}, "stringData": values})
    secret("with-tls", url=f"{url}?{parameters}")
    secret("ca", **{"ca.crt": files["ca.crt"]})
    secret("another-ca", **{"ca.crt": certificates(tmp_path, "elsewhere")["ca.crt"]})
    database = {"urlFrom": {"secretKeyRef": {"name": "with-tls", "key": "url"}}, "probe": {"interval": "5s"},
                "tls": {"caFrom": {"secretKeyRef": {"name": "another-ca", "key": "ca.crt"}}}}
    image = push(*LINE, requirements=packages)
    migration = space.migration(image, database=database)
    migration.wait("TLSFailed")
    database["tls"]["caFrom"]["secretKeyRef"]["name"] = "ca"
    migration.patch(database=database)
    migration.wait_ready()
    assert space.rows() == ["bbbb2222"]
    # The right certificate under a name that it is not for.
    secret("with-tls", url=f"{url.replace(f'{engine}.{name}', f'{engine}.{name}.svc')}?{parameters}")
    migration.wait("TLSFailed")
