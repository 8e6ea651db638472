"""The linter on a live database, which it only reads, and on a project, which the runner renders."""

import json
import os
import subprocess

import environments
import project as projects
import pytest
from conftest import BINARY, Database


@pytest.fixture
def database(postgres, tmp_path):
    postgres.empty_database()
    return Database(postgres, tmp_path)


def codes(done):
    assert done.returncode in (0, 1), done.stderr
    return [(finding["code"], finding["severity"]) for finding in json.loads(done.stdout)]


def lint(url, *options, sql=None, cwd=None):
    environ = dict(os.environ, DATABASE_URL=url, RUST_BACKTRACE="0")
    command = [str(BINARY), "lint", *options, "--format", "json"]
    return subprocess.run(command, env=environ, input=sql, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_live_database_tells_the_old_columns(database):
    database.sql("CREATE TABLE goods (id bigint NOT NULL, name varchar(50)); INSERT INTO goods SELECT n, 'a' FROM generate_series(1, 20000) AS n; ANALYZE goods")
    live = ("-", "--dialect", "postgres", "--url-env", "DATABASE_URL")
    wider, narrower = ("ALTER TABLE goods ALTER name TYPE varchar(%d)" % size for size in (60, 40))
    assert codes(lint(database.url, *live[:3], sql=wider))[0][0] == "D04"
    assert codes(lint(database.url, *live, sql=wider)) == []
    assert codes(lint(database.url, *live, sql=narrower))[0] == ("D04", "critical")
    assert codes(lint(database.url, *live, sql="DROP TABLE nowhere; CREATE INDEX i ON goods (id)")) == [("B01", "high")]
    unreachable = lint("postgresql://u:hunter2@127.0.0.1:1/x", *live, sql=wider)
    assert unreachable.returncode == 2 and "hunter2" not in unreachable.stderr


def test_a_project_is_rendered_and_judged(database, tmp_path):
    python = environments.python_of(environments.NEWEST)
    project = projects.Project(tmp_path / "shop", python, database.url)
    project.write("alembic.ini", projects.INI + "sqlalchemy.url = %s\n" % database.url.replace("%", "%%"))
    project.revision("a1", None, "CREATE TABLE goods (id INTEGER, name VARCHAR(50))", "DROP TABLE goods")
    project.revision("b1", "a1", "op.alter_column('goods', 'name', type_=__import__('sqlalchemy').String(60), existing_type=__import__('sqlalchemy').String(50))",
                     "op.drop_column('goods', 'name')")
    options = ("--project", str(project.folder), "--python", str(python))
    assert codes(lint(database.url, *options, "--range", "a1:b1")) == [("I02", "low")]
    back = lint(database.url, *options, "--range", "b1:a1")
    assert back.returncode == 1 and codes(back) == [("D02", "critical")]
    # A database without tables has nothing to lose.
    assert codes(lint(database.url, *options, "--range", "b1:base", "--url-env", "DATABASE_URL")) == []
    assert lint(database.url, *options, "--range", "a1:nowhere").returncode == 2
    assert database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [["0"]]
