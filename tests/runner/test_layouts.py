"""Where a project keeps its configuration and its revisions: every layout that Alembic itself accepts."""

import pytest
from environments import ENDS, NEWEST

REVISION = '"""m"""\nrevision = %r\ndown_revision = %r\nbranch_labels = %r\ndef upgrade():\n    pass\ndef downgrade():\n    pass\n'


def revision_in(project, folder, revision, down=None, labels=None):
    project.write("%s/%s_.py" % (folder, revision), REVISION % (revision, down, labels))


def ids(outcome):
    return [entry["id"] for entry in outcome.done().payload["revisions"]]


@pytest.mark.parametrize("release", ENDS)
def test_several_version_locations(sqlite_project, sqlite, release):
    revision_in(sqlite_project, "core", "c1", labels=("core",))
    revision_in(sqlite_project, "plugins/billing", "b1", labels=("billing",))
    ini = "[alembic]\nscript_location = migrations\nversion_locations = %(here)s/core %(here)s/plugins/billing\nprepend_sys_path = .\n"
    sqlite_project.write("alembic.ini", ini)
    assert sorted(ids(sqlite_project.inspect())) == ["b1", "c1"]


@pytest.mark.parametrize("release", [NEWEST])
@pytest.mark.parametrize("separator, written", [("newline", "\n    %(here)s/core\n    %(here)s/more"), (":", "%(here)s/core:%(here)s/more"), (";", "%(here)s/core;%(here)s/more")])
def test_path_separators(sqlite_project, sqlite, release, separator, written):
    revision_in(sqlite_project, "core", "c1")
    revision_in(sqlite_project, "more", "c2", "c1")
    ini = "[alembic]\nscript_location = migrations\npath_separator = %s\nversion_locations = %s\nprepend_sys_path = .\n"
    sqlite_project.write("alembic.ini", ini % (separator, written))
    assert sorted(ids(sqlite_project.inspect())) == ["c1", "c2"]


@pytest.mark.parametrize("release", [NEWEST])
def test_recursive_locations(sqlite_project, sqlite, release):
    revision_in(sqlite_project, "migrations/versions/2023", "a1")
    revision_in(sqlite_project, "migrations/versions/2024/may", "a2", "a1")
    ini = "[alembic]\nscript_location = migrations\nrecursive_version_locations = true\nprepend_sys_path = .\n"
    sqlite_project.write("alembic.ini", ini)
    assert sorted(ids(sqlite_project.inspect())) == ["a1", "a2"]


@pytest.mark.parametrize("release", ENDS)
def test_sections_with_a_default(sqlite_project, sqlite, release):
    """Two histories in one file, as multi-service projects have them; the options of [DEFAULT] hold for both."""
    sqlite_project.write("alembic.ini", "[DEFAULT]\nprepend_sys_path = .\nbase = %(here)s\n\n[core]\nscript_location = %(base)s/migrations\n"
                         "version_locations = %(script_location)s/core\n\n[tenant]\nscript_location = %(base)s/migrations\n"
                         "version_locations = %(script_location)s/tenant\n")
    revision_in(sqlite_project, "migrations/core", "c1")
    revision_in(sqlite_project, "migrations/tenant", "t1")
    assert ids(sqlite_project.inspect(section="core")) == ["c1"]
    assert ids(sqlite_project.inspect(section="tenant")) == ["t1"]
    digest = sqlite_project.digest
    sqlite_project.files["t1"] = sqlite_project.folder / "migrations/tenant/t1_.py"
    assert sqlite_project.upgrade([], ["t1"], ["t1"], ["t1"], section="tenant", steps_digest=digest(["t1"])).done().rows == {"t1"}


@pytest.mark.parametrize("release", ENDS)
def test_scripts_inside_a_package(sqlite_project, sqlite, release):
    sqlite_project.write("shop/__init__.py", "")
    sqlite_project.write("shop/db/__init__.py", "")
    revision_in(sqlite_project, "shop/db/alembic/versions", "p1")
    env = (sqlite_project.folder / "migrations" / "env.py").read_text()
    sqlite_project.write("shop/db/alembic/env.py", env)
    sqlite_project.write("alembic.ini", "[alembic]\nscript_location = shop.db:alembic\nprepend_sys_path = .\n")
    assert ids(sqlite_project.inspect()) == ["p1"]


@pytest.mark.parametrize("release", ENDS)
def test_locations_that_env_py_chooses(sqlite_project, sqlite, release):
    """By dialect, as Prefect does: the graph is known only once env.py has run."""
    revision_in(sqlite_project, "migrations/versions_sqlite", "s1")
    sqlite_project.revision("unused")
    setup = ("import os\nfrom alembic.script import ScriptDirectory\nhere = os.path.dirname(os.path.abspath(__file__))\n"
             "context.script.version_locations = [os.path.join(here, 'versions_sqlite')]")
    sqlite_project.env(setup=setup)
    assert ids(sqlite_project.inspect()) == ["s1"]


@pytest.mark.parametrize("release", ENDS)
def test_env_py_that_needs_other_variables(sqlite_project, sqlite, release):
    sqlite_project.tables("r1")
    sqlite_project.env(setup="import os\nassert os.environ['APP_SETTINGS'] == 'production'")
    sqlite_project.inspect().failed("EnvPyFailed", "APP_SETTINGS")
    sqlite_project.environ["APP_SETTINGS"] = "production"
    assert ids(sqlite_project.inspect()) == ["r1"]
