"""The systems that this project must serve, each as a small project of its own."""
import re

import requirements
from harness import eventually, revision, table

A, B, C = "aaaa1111", "bbbb2222", "cccc3333"


def test_a_column_that_was_added_before_the_container_died(space, push):
    """The version row was not written, so every retry says that the column is there already."""
    up = "op.add_column('users', sa.Column('mail', sa.Text))"
    image = push(revision(A, **table("users")), revision(B, A, up=up, dn="op.drop_column('users', 'mail')"))
    migration = space.migration(image, target=A)
    migration.wait_ready()
    space.sql("ALTER TABLE users ADD COLUMN mail text")
    migration.patch(targetRevision="head")
    migration.wait("MigrationFailed")
    assert B in migration.message() and 'column "mail" of relation "users" already exists' in migration.message()
    jobs = len(space.jobs("run"))
    # The person sees that the step is done, and says so in the version table.
    space.sql(f"UPDATE alembic_version SET version_num = '{B}'")
    migration.wait_ready()
    assert space.rows() == [B] and len(space.jobs("run")) == jobs


SQLMODEL_ENV = """
import os
from alembic import context
from sqlmodel import Field, SQLModel, create_engine

class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    nick: str | None = None

with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_a_sqlmodel_project_run_by_uv_goes_up_down_and_up(space, push):
    create = """
        op.create_table('hero', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.String, nullable=False))
        op.execute("INSERT INTO hero (name) VALUES ('Deadpond'), ('Spider-Boy')")
    """
    data = """
        op.add_column('hero', sa.Column('nick', sa.String))
        op.execute("UPDATE hero SET nick = lower(name)")
    """
    image = push(revision(A, up=create, dn="op.drop_table('hero')"),
                 revision(B, A, up=data, dn="op.drop_column('hero', 'nick')"),
                 env=SQLMODEL_ENV, requirements=requirements.SQLMODEL_UV)
    migration = space.migration(image, policy={"downgrade": "Allow"},
                                alembic={"command": ["uv", "run", "--no-project", "--offline", "python3"]})
    migration.wait_ready()
    nicks = lambda: space.sql("SELECT nick FROM hero ORDER BY id").split("\n")
    assert nicks() == ["deadpond", "spider-boy"]
    migration.patch(targetRevision=A)
    migration.wait_ready()
    assert space.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'hero' AND column_name = 'nick'") == "0"
    migration.patch(targetRevision="head")
    migration.wait_ready()
    assert nicks() == ["deadpond", "spider-boy"]


def test_a_project_run_by_poetry(space, push):
    about = '[tool.poetry]\nname = "shop"\nversion = "1.0.0"\ndescription = ""\nauthors = []\npackage-mode = false\n'
    image = push(revision(A, **table("users")), requirements=requirements.POETRY, **{"pyproject.toml": about})
    # The image's own Python has the packages, and the root file system may be read-only.
    env = [{"name": name, "value": value} for name, value in
           {"POETRY_VIRTUALENVS_CREATE": "false", "POETRY_CACHE_DIR": "/tmp/poetry", "HOME": "/tmp"}.items()]
    migration = space.migration(image, alembic={"command": ["poetry", "run", "python3"]}, env=env)
    migration.wait_ready()
    assert space.rows() == [A]


def careful(number, down):
    """A revision that looks before it creates, and of which every third can't be taken back."""
    up = f"""
        if not sa.inspect(op.get_bind()).has_table('t{number}'):
            op.create_table('t{number}', sa.Column('id', sa.Integer, primary_key=True))
    """
    return revision(f"r{number:02}x", down, up=up, dn="pass" if number % 3 == 0 else f"op.drop_table('t{number}')")


def long_history():
    """Sixteen revisions and two merges: 3 and 4 branch off 2 and meet in 6, 9 and 10 off 8 and meet in 12."""
    downs = {1: None, 2: 1, 3: 2, 4: 2, 5: 4, 6: (3, 5), 7: 6, 8: 7, 9: 8, 10: 8, 11: 10, 12: (9, 11), 13: 12, 14: 13, 15: 14, 16: 15}
    name = lambda n: n and (tuple(f"r{i:02}x" for i in n) if isinstance(n, tuple) else f"r{n:02}x")
    return [careful(number, name(down)) for number, down in downs.items()]


def test_a_long_history_written_by_introspection(space, push):
    image = push(*long_history())
    # CI made this one by create_all: every table is there and no version row.
    everything = "".join(f"CREATE TABLE t{n} (id serial PRIMARY KEY);" for n in range(1, 17))
    space.sql(f"SET ROLE {space.database}; {everything}")
    migration = space.migration(image, policy={"downgrade": "Allow"})
    migration.wait("DatabaseUnmanaged")
    # Its revisions look before they create, so they can run from the first one on.
    migration.patch(adopt={"revision": "base"})
    migration.wait_ready()
    assert space.rows() == ["r16x"] and migration.status["lastRun"]["result"] == "Succeeded"
    migration.patch(targetRevision="r08x")
    migration.wait_ready()
    tables = space.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^t[0-9]'")
    left = {int(n) for n in re.findall(r"t(\d+)", tables)}
    assert left == set(range(1, 9)) | {9, 12, 15}, "what an empty downgrade leaves is left"
    migration.patch(targetRevision="head")
    migration.wait_ready()
    assert space.rows() == ["r16x"]


MODELS_ENV = """
import os
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine

metadata = MetaData()
Table("one", metadata, Column("id", Integer, primary_key=True))
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""


def test_tables_that_are_not_the_models(space, push):
    """What `alembic check` finds is shown object by object, and Ready does not depend on it."""
    image = push(revision(A, **table("one")), env=MODELS_ENV)
    migration = space.migration(image, drift={"mode": "Models", "interval": "2s"})
    migration.wait_ready()
    drifted = lambda status: lambda: migration.condition("Drifted")["status"] == status and migration.condition("Drifted")
    assert eventually("compared", drifted("False"))["reason"] == "InSync"
    space.sql(f"SET ROLE {space.database}; ALTER TABLE one ADD COLUMN mail text; CREATE TABLE extra (id integer)")
    found = eventually("the change is found", drifted("True"))
    assert found["reason"] == "Unexpected" and "column one.mail" in found["message"] and "table extra" in found["message"]
    assert migration.status["drift"]["unexpected"] == 2 and migration.is_at("AtTarget") and space.told("DriftDetected")
    space.sql("ALTER TABLE one DROP COLUMN mail; DROP TABLE extra")
    eventually("it is in sync again", drifted("False"))
    assert "drift" not in migration.status and space.told("DriftResolved") and len(space.jobs("compare")) <= 2
    # Below the heads there are no models to compare with, and when nobody asks nothing is left behind.
    migration.patch(policy={"downgrade": "Allow"}, targetRevision="base")
    migration.wait_ready()
    assert eventually("no models", drifted("Unknown"))["reason"] == "NotApplicable"
    migration.patch(drift=None)
    eventually("the Jobs are gone", lambda: not space.jobs("compare"))
