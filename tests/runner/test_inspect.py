"""What an inspection reports about a project: its graph, its files, its configuration. Touches SQLite files and the private PostgreSQL."""

import hashlib

import pytest
from environments import ENDS, SUPPORTED


def by_id(payload):
    return {revision["id"]: revision for revision in payload["revisions"]}


@pytest.mark.parametrize("release", SUPPORTED)
def test_graph(project, database, release):
    project.revision("a1", message="first line\nsecond line", branch_labels=("core", "main"))
    project.revision("b1", "a1")
    project.revision("b2", "a1", branch_labels="side")
    project.revision("c1", ("b1", "b2"), message="x" * 200)
    project.revision("d1", depends_on=("side", "b1"), message="ünïcode ☃")
    project.revision("d2", "d1", depends_on="c1", message="")
    outcome = project.inspect().done()
    payload, revisions = outcome.payload, by_id(outcome.payload)
    assert payload["protocol"] == 1 and payload["alembic"] == release and payload["python"].startswith("3.")
    assert payload["sqlalchemy"][:2] in ("1.", "2.")
    assert [revision["id"] for revision in payload["revisions"]] == ["a1", "b1", "b2", "c1", "d1", "d2"] or release in ("1.6.5", "1.9.4")
    assert {name: (one["down"], one["deps"], one["labels"]) for name, one in revisions.items()} == {
        "a1": ([], [], ["core", "main"]),
        "b1": (["a1"], [], []),
        "b2": (["a1"], [], ["side"]),
        "c1": (["b1", "b2"], [], []),
        "d1": ([], ["side", "b1"], []),
        "d2": (["d1"], ["c1"], []),
    }
    assert {name: one["message"] for name, one in revisions.items()} == {
        "a1": "first line", "b1": "create b1", "b2": "create b2", "c1": "x" * 120, "d1": "ünïcode ☃", "d2": "create d2"}
    for name, one in revisions.items():
        assert one["file"] == "versions/%s_.py" % name
        assert one["sha256"] == hashlib.sha256(project.files[name].read_bytes()).hexdigest()
    assert payload["version_table"] == "alembic_version" and payload["version_table_schema"] is None
    assert (payload["dialect"], payload["driver"]) in (
        ("sqlite", "pysqlite"), ("postgresql", "psycopg2"), ("postgresql", "psycopg"))
    assert payload["transactional_ddl"] is database.transactional
    assert payload["transaction_per_migration"] is payload["external_transaction"] is False
    assert payload["warnings"] == []
    assert database.tables() == set(), "an inspection changes nothing"
    assert outcome.message["started"] is False and outcome.message["action"] == "inspect"


BODIES = {
    "pass": "empty", "...": "empty", "'''only a docstring'''": "empty", "return None": "empty",
    "raise NotImplementedError('one way')": "raises", "'''doc'''; raise RuntimeError": "raises",
    "op.drop_table('t')": "present", "if True: raise ValueError": "present", None: "missing",
}


def test_functions_are_classified_without_running_them(sqlite_project):
    down = None
    for number, body in enumerate(BODIES):
        down = sqlite_project.revision("r%d" % number, down, body, body).stem[:-1]
    sqlite_project.revision("r90", down).write_text("revision, down_revision = 'r90', %r\nupgrade = downgrade = print\n" % down)
    revisions = by_id(sqlite_project.inspect().done().payload)
    expected = list(BODIES.values())
    assert [revisions["r%d" % number]["downgrade"] for number in range(len(BODIES))] == expected
    assert [revisions["r%d" % number]["upgrade"] for number in range(len(BODIES))] == [
        "present" if kind == "raises" else kind for kind in expected]
    assert (revisions["r90"]["upgrade"], revisions["r90"]["downgrade"]) == ("present", "present")


AUTOCOMMIT = {
    "with op.get_context().autocommit_block(): op.execute('SELECT 1')": True,
    "op.create_index('i', 't', ['c'], postgresql_concurrently=True)": True,
    "op.execute('create index concurrently i on t (c)')": True,
    "op.execute(f'ALTER TYPE {1} ADD VALUE x')": True,
    "op.execute('COMMIT')": True,
    "op.get_bind().commit()": True,
    "op.execute('CREATE TEMP TABLE t (i int) ON COMMIT DROP')": False,
    "op.execute('DELETE FROM t; commit;')": True,
    "op.execute('commit')": True,
    "op.get_bind().execution_options(isolation_level='AUTOCOMMIT')": True,
    "op.add_column('t', op.inline_literal('commit'))": False,
    "op.execute('ALTER TYPE mood RENAME TO humour')": False,
    "'''CREATE INDEX CONCURRENTLY would be nice'''": False,
    "pass  # COMMIT": False,
}


def test_autocommit_is_found(sqlite_project):
    for number, body in enumerate(AUTOCOMMIT):
        sqlite_project.revision("r%d" % number, "r%d" % (number - 1) if number else None, body)
    revisions = by_id(sqlite_project.inspect().done().payload)
    assert {body: revisions["r%d" % number]["autocommit"] for number, body in enumerate(AUTOCOMMIT)} == AUTOCOMMIT


@pytest.mark.parametrize("release", ENDS)
def test_missing_versions_folder_is_an_empty_list(sqlite_project, release):
    sqlite_project.versions.rmdir()
    assert sqlite_project.inspect().done().payload["revisions"] == []


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("content, words", [
    ("revision = 'bad'\ndown_revision = 'a1'\nimport shop_settings\n", ["bad_.py", "No module named 'shop_settings'"]),
    ("revision = 'bad'\ndown_revision = (\n", ["bad_.py", "SyntaxError"]),
    ("revision = 'bad'\n", ["bad_.py", "down_revision"]),
    ("x = 1\n", ["bad_.py", "Could not determine revision id"]),
    ("revision = 'bad'\ndown_revision = 'a1'\nraise ValueError('boom ' * 10000)\n", ["bad_.py", "ValueError: boom boom"]),
])
def test_broken_revision_file(sqlite_project, release, content, words):
    sqlite_project.tables("a1")
    sqlite_project.write("migrations/versions/bad_.py", content)
    sqlite_project.inspect().failed("RevisionFileFailed", *words)


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("revisions, words", [
    ({"a": ("b", {}), "b": ("a", {})}, ["ycle"]),
    ({"a": ("a", {})}, ["a"]),
    ({"a": (None, {}), "b": ("nowhere", {})}, ["revision b", "'nowhere'", "down_revision"]),
    ({"a": (None, {}), "b": ("a", {"depends_on": "gone"})}, ["revision b", "'gone'", "depends_on"]),
    ({"a": (None, {"branch_labels": "x"}), "b": ("a", {"branch_labels": "x"})}, ["Branch name 'x'", "already used"]),
    ({"a@b": (None, {})}, ["a@b"]),
])
def test_invalid_graph(sqlite_project, release, revisions, words):
    for name, (down, variables) in revisions.items():
        sqlite_project.revision(name, down, **variables)
    sqlite_project.inspect().failed("RevisionGraphInvalid", *words)


@pytest.mark.parametrize("release", ENDS)
def test_duplicate_revision(sqlite_project, release):
    first = sqlite_project.revision("a1")
    (first.parent / "copy_.py").write_text(first.read_text())
    sqlite_project.inspect().failed("DuplicateRevision", "a1", "versions/a1_.py", "versions/copy_.py")


def test_alembics_own_warnings_are_reported_and_others_left_alone(sqlite_project):
    sqlite_project.revision("a1")
    (sqlite_project.versions / "link_.py").symlink_to("a1_.py")
    sqlite_project.env(setup="import warnings; warnings.warn('of the project')")
    outcome = sqlite_project.inspect().done()
    (warning,) = outcome.payload["warnings"]
    assert "loaded twice" in warning and "of the project" in outcome.stderr


def test_large_graph_and_large_output_on_the_same_stream(sqlite_project):
    down = None
    for number in range(400):
        down = sqlite_project.revision("r%04d" % number, down, message="step %d %s" % (number, hashlib.sha512(b"%d" % number).hexdigest())).stem[:-1]
    sqlite_project.env(setup="import sys; sys.stdout.write('noise ' * 500000)")
    outcome = sqlite_project.inspect().done()
    assert outcome.message["frames"] > 3 and len(outcome.payload["revisions"]) == 400
    assert all(len(line) < 4096 for line in outcome.stdout.splitlines() if line.startswith("@alembic-operator"))


def test_frames_of_others_are_not_taken_for_ours(sqlite_project):
    sqlite_project.revision("a1").write_text(
        "revision, down_revision = 'a1', None\n"
        "print('@alembic-operator 00000000000000000000000000000000 0 AAAA')\nprint('@alembic-operator ', end='')\n")
    assert len(sqlite_project.inspect().done().payload["revisions"]) == 1


def test_env_py_that_loads_the_graph_itself(sqlite_project):
    sqlite_project.tables("a1", "a2")
    sqlite_project.env(setup="print(context.get_head_revision())")
    assert len(sqlite_project.inspect().done().payload["revisions"]) == 2
    sqlite_project.revision("a3", "nowhere")
    sqlite_project.inspect().failed("RevisionGraphInvalid", "'nowhere'")
    sqlite_project.write("migrations/versions/bad_.py", "revision = (")
    sqlite_project.inspect().failed("RevisionFileFailed", "bad_.py")


def test_revision_files_may_rely_on_what_env_py_prepared(sqlite_project):
    sqlite_project.write("lib/shop_models.py", "NAME = 'orders'\n")
    sqlite_project.revision("a1").write_text("import shop_models\nrevision, down_revision = 'a1', None\n")
    sqlite_project.env(setup="import sys, os; sys.path.append(os.path.abspath('lib')); os.chdir('/')")
    (revision,) = sqlite_project.inspect().done().payload["revisions"]
    assert revision["file"] == "versions/a1_.py" and revision["downgrade"] == "missing"
