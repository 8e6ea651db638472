"""kubectl dbmigration has Alembic write the next revision, in a Job in the object's image that changes nothing and is deleted."""
import os
import pathlib

from conftest import BINARY
from harness import eventually, items, run, table, revision
from lib import KUBECONFIG, inside

ENV = """
from alembic import context
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine
import os
metadata = MetaData()
Table("goods", metadata, Column("id", Integer, primary_key=True))
Table("labels", metadata, Column("id", Integer, primary_key=True), Column("text", String(20)))
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
TEMPLATE = '"""${message}"""\nfrom alembic import op\nimport sqlalchemy as sa\nrevision = ${repr(up_revision)}\ndown_revision = ${repr(down_revision)}\n' \
           "def upgrade():\n    ${upgrades or 'pass'}\n\ndef downgrade():\n    ${downgrades or 'pass'}\n"


def plugin(space, *arguments, check=True):
    binary = pathlib.Path(os.environ.get("ALEMBIC_OPERATOR_PLUGIN", pathlib.Path(BINARY).with_name("kubectl-dbmigration")))
    return run(*inside(binary, "--kubeconfig", KUBECONFIG, "-n", space.name, *arguments), check=check)


def test_the_next_revision_is_written_in_the_image(space, push, tmp_path):
    image = push(revision("a1", **table("goods")), env=ENV, **{"script.py.mako": TEMPLATE})
    app = space.migration(image, drift={"interval": "2s"})
    app.wait_ready()

    written = plugin(space, "revision", app.name, "-m", "labels of goods")
    assert "op.create_table('labels'" in written.stdout and "down_revision = 'a1'" in written.stdout
    assert "labels_of_goods.py" in written.stderr and "not seen" in written.stderr and not space.has_table("labels")

    space.sql(f"SET ROLE {space.database}; CREATE INDEX by_hand ON goods (id)")
    eventually("the index is drift", lambda: app.condition("Drifted")["status"] == "True")
    plugin(space, "drift", app.name, "-o", "revision", "--keep", "--out", tmp_path)
    file, = tmp_path.glob("*.py")
    text = file.read_text()
    assert "op.create_index(" in text and "by_hand" in text and "if_not_exists=True" in text and "labels" not in text

    refused = plugin(space, "merge", app.name, check=False)
    assert refused.returncode == 2 and "nothing to merge" in refused.stderr
    eventually("its Jobs are gone", lambda: not items("jobs", space.name, "alembic-operator.dev/action=revision"))
    assert app.is_at("AtTarget") and space.rows() == ["a1"]
