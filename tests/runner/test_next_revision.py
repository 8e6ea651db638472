"""The next revision's file, as `alembic revision --autogenerate` and `alembic merge` write it, without a file; changes nothing."""

import os

import pytest
from environments import ENDS
from project import models_of

TEMPLATE = '''"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}

"""
from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''
MODELS = """
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Boolean
metadata = MetaData()
Table("r1", metadata, Column("id", Integer), Column("nick", String(20), nullable=False), Index("by_nick", "nick"))
Table("guests", metadata, Column("id", Integer, primary_key=True), Column("vip", Integer))
"""


@pytest.fixture(autouse=True)
def template(request):
    for name in ("project", "pg_project", "sqlite_project"):
        if name in request.fixturenames:
            request.getfixturevalue(name).write("migrations/script.py.mako", TEMPLATE)


def written(project, action="revision", **task):
    """The payload; the project's folder and the database are as before."""
    before = sorted(str(path) for path in project.folder.rglob("*") if "__pycache__" not in str(path))
    payload = project.start(**dict({"action": action, "message": "more of it"}, **task)).outcome().done().payload
    assert sorted(str(path) for path in project.folder.rglob("*") if "__pycache__" not in str(path)) == before
    return payload


def notes(payload, kind):
    return [note["text"] for note in payload["review"] if note["kind"] == kind]


def run_it(project, payload):
    """The file is put where it belongs, and the database goes up and down with it."""
    file = payload["files"][0]
    project.files[file["revision"]] = project.write("migrations/" + file["path"], file["text"])
    down = file["down"]
    project.upgrade(down, [file["revision"]], [file["revision"]], [file["revision"]]).done()
    assert written(project)["files"] == []
    project.downgrade([file["revision"]], down, down, [file["revision"]]).done()
    project.upgrade(down, [file["revision"]], [file["revision"]], [file["revision"]]).done()


@pytest.mark.parametrize("release", ENDS)
def test_what_the_models_have_and_the_database_has_not(project, database, release):
    project.tables("r1")
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    project.env(setup=MODELS)
    tables = database.tables()
    payload = written(project)
    file, = payload["files"]
    assert os.path.basename(file["path"]) == file["revision"] + "_more_of_it.py" and file["path"].startswith("versions/") and file["down"] == ["r1"]
    assert "op.create_table('guests'" in file["text"] and "op.drop_table('guests')" in file["text"] and "down_revision = 'r1'" in file["text"]
    assert any("r1.nick is NOT NULL without a server default" in text for text in notes(payload, "fails"))
    assert any("CHECK" in text for text in notes(payload, "not seen"))
    assert database.tables() == tables and database.rows() == {"r1"}
    if database.dialect == "postgresql":
        run_it(project, payload)


@pytest.mark.parametrize("release", ENDS)
def test_nothing_to_write(sqlite_project, release):
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite_project.env(setup=models_of("r1"))
    assert written(sqlite_project)["files"] == []


def test_what_is_dropped_and_what_may_be_a_rename(pg_project, pg):
    pg_project.tables("r1", "r2")
    pg_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done()
    pg.execute("ALTER TABLE r1 ADD COLUMN nickname varchar(20)")
    pg_project.env(setup=MODELS)
    payload = written(pg_project)
    assert set(notes(payload, "drops")) == {"column r1.nickname, with what is in it", "table r2, with its rows"}
    checks = notes(payload, "check")
    assert any("r1 loses nickname and gets nick" in text for text in checks) and any("r2 goes and guests comes" in text for text in checks)
    assert any("makes r2 again, empty" in text for text in notes(payload, "downgrade"))


def test_a_database_that_is_not_at_the_head_is_refused(sqlite_project, sqlite):
    sqlite_project.tables("r1", "r2")
    sqlite_project.env(setup=MODELS)
    sqlite_project.start(action="revision", message="m").outcome().refused("RevisionRefused", "2 of the image's revisions", "r1, r2")
    sqlite.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    sqlite.execute("INSERT INTO alembic_version VALUES ('unknown1')")
    sqlite_project.start(action="revision", message="m").outcome().refused("RevisionRefused", "unknown1", "does not know")


def test_without_models_or_template(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite_project.start(action="revision", message="m").outcome().refused("ModelsMissing", "target_metadata")
    sqlite_project.env(setup=MODELS)
    (sqlite_project.folder / "migrations/script.py.mako").unlink()
    sqlite_project.start(action="revision", message="m").outcome().refused("RevisionRefused", "script.py.mako is not in the image")


@pytest.mark.parametrize("release", ENDS)
def test_the_projects_own_wishes_count(sqlite_project, sqlite, release):
    """file_template, include_object, process_revision_directives, revision_environment and cmd_opts; the command's own options."""
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite.execute("CREATE TABLE theirs (id INTEGER)")
    sqlite_project.write("alembic.ini", "[alembic]\nscript_location = %(here)s/migrations\nfile_template = %%(year)d_%%(rev)s\n"
                         "[post_write_hooks]\nhooks = black\nblack.type = console_scripts\nblack.entrypoint = black\n")
    hook = ("def hook(context, revision, directives):\n    assert config.cmd_opts.autogenerate and config.cmd_opts.message == 'more of it'\n"
            "    directives[0].message = 'by the hook'\n")
    sqlite_project.env(setup=MODELS + hook, options="include_object=lambda thing, name, kind, reflected, other: name not in ('theirs', 'guests'), process_revision_directives=hook")
    payload = written(sqlite_project, rev_id="f00d", branch_label="sales", head="r1", depends_on=None)
    file, = payload["files"]
    assert file["path"].endswith("_f00d.py") and file["path"].startswith("versions/20")
    assert "by the hook" in file["text"] and "branch_labels = ('sales',)" in file["text"] and "theirs" not in file["text"] and "guests" not in file["text"]
    assert any("post_write_hooks" in text for text in notes(payload, "by hand"))


def test_two_files_that_build_on_one_another(sqlite_project):
    """As process_revision_directives may make them."""
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    hook = """
def hook(context, revision, directives):
    from alembic.operations import ops
    directives[0].rev_id = 'first1'
    directives.append(ops.MigrationScript('second2', ops.UpgradeOps([]), ops.DowngradeOps([]), message='then', head='first1'))
"""
    sqlite_project.env(setup=MODELS + hook, options="process_revision_directives=hook")
    payload = written(sqlite_project)
    assert [(file["revision"], file["down"]) for file in payload["files"]] == [("first1", ["r1"]), ("second2", ["first1"])]


def test_a_type_that_nobody_imports(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite_project.write("money.py", "from sqlalchemy.types import TypeDecorator, Integer\nclass Money(TypeDecorator):\n    impl = Integer\n    cache_ok = True\n")
    sqlite_project.env(setup="from sqlalchemy import *\nimport money\nmetadata = MetaData()\nTable('r1', metadata, Column('id', Integer), Column('price', money.Money))\n")
    payload = written(sqlite_project)
    assert notes(payload, "fails") == ["the file uses money and does not import it: add the import, also to script.py.mako"]


@pytest.mark.parametrize("release", ENDS)
def test_several_heads(sqlite_project, release):
    sqlite_project.tables("r1")
    sqlite_project.revision("a2", "r1", message="branch a")
    sqlite_project.revision("b2", "r1", message="branch b")
    sqlite_project.env(setup=MODELS)
    sqlite_project.start(action="revision", message="m").outcome().refused("RevisionRefused", "2 heads", "a2, b2", "--head")
    sqlite_project.env(setup="raise RuntimeError('no database is needed')")
    payload = written(sqlite_project, "merge", message=None)
    file, = payload["files"]
    assert sorted(file["down"]) == ["a2", "b2"] and "merge a2 and b2" in file["text"]
    assert notes(payload, "joins") == ["a2 branch a", "b2 branch b"]
    sqlite_project.start(action="merge", revisions=["a2"]).outcome().refused("RevisionRefused", "nothing to merge")


HAND = ["ALTER TABLE r1 ADD COLUMN hot integer", "CREATE INDEX hotfix ON r1 (hot)", "CREATE VIEW seen AS SELECT 1 AS one"]
OBJECTS = ["column public.r1.hot", "index public.hotfix", "view public.seen"]


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("keep", [True, False])
def test_what_was_changed_by_hand(pg_project, pg, release, keep):
    pg_project.tables("r1")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    for statement in HAND:
        pg.execute(statement)
    setup = models_of("r1", "extra")
    pg_project.env(setup=setup)
    payload = written(pg_project, by_hand={"keep": keep, "objects": OBJECTS})
    text = payload["files"][0]["text"]
    upgrade = text.partition("def upgrade")[2].partition("def downgrade")[0]
    assert ("op.add_column('r1'" in upgrade) is keep and ("op.drop_column('r1', 'hot'" in upgrade) is not keep and "extra" not in text
    assert any("view public.seen was changed by hand and is not in the file" in note for note in notes(payload, "not seen"))
    assert any("add table extra" in note for note in notes(payload, "left out"))
    assert any("models" in note for note in notes(payload, "by hand")) is keep
    if release == ENDS[-1]:  # older ones have no if_exists for it, and say so
        file = payload["files"][0]
        project = pg_project
        project.files[file["revision"]] = project.write("migrations/" + file["path"], file["text"])
        # Where it was changed by hand, and where nobody did.
        project.upgrade(["r1"], [file["revision"]], [file["revision"]], [file["revision"]]).done()
        project.downgrade([file["revision"]], ["r1"], ["r1"], [file["revision"]]).done()
        project.upgrade(["r1"], [file["revision"]], [file["revision"]], [file["revision"]]).done()
    else:
        assert any("the step fails where it is done already" in note for note in notes(payload, "fails"))
