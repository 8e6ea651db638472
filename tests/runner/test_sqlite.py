"""SQLite as people use it: BEGIN IMMEDIATE, batch mode, constraints by a naming convention. Touches a file of its own."""

import pytest
from environments import NEWEST
from test_rehearsal import catalog

SETUP = """
from sqlalchemy import *
from sqlalchemy import event
from sqlalchemy.engine import Engine
@event.listens_for(Engine, "connect")
def connect(raw, record):
    raw.isolation_level = None
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA journal_mode=WAL")
@event.listens_for(Engine, "begin")
def begin(connection):
    connection.execute(text("BEGIN IMMEDIATE"))
metadata = MetaData(naming_convention={"ix": "ix_%(column_0_label)s", "uq": "uq_%(table_name)s_%(column_0_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s",
                                       "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s", "pk": "pk_%(table_name)s"})
Table("users", metadata, Column("id", Integer, primary_key=True), Column("mail", String(50), nullable=False, unique=True), Column("age", Integer),
      CheckConstraint("age > 0", name="positive"), Column("active", Boolean, nullable=False, server_default=text("1")))
Table("orders", metadata, Column("id", Integer, primary_key=True), Column("user_id", Integer, ForeignKey("users.id", ondelete="CASCADE"), index=True),
      Column("total", Numeric(10, 2), server_default="0"), UniqueConstraint("user_id", "total"))
"""
R1 = ["import sqlalchemy as sa",
      "op.create_table('users', sa.Column('id', sa.Integer, nullable=False), sa.Column('mail', sa.String(20)), sa.PrimaryKeyConstraint('id', name=op.f('pk_users')))",
      "op.create_table('orders', sa.Column('id', sa.Integer, nullable=False), sa.Column('user_id', sa.Integer), sa.PrimaryKeyConstraint('id', name=op.f('pk_orders')),"
      " sa.ForeignKeyConstraint(['user_id'], ['users.id'], name=op.f('fk_orders_user_id_users'), ondelete='CASCADE'))"]
R2 = ["import sqlalchemy as sa",
      "with op.batch_alter_table('users') as b:\n"
      "        b.add_column(sa.Column('age', sa.Integer))\n"
      "        b.add_column(sa.Column('active', sa.Boolean, nullable=False, server_default=sa.text('1')))\n"
      "        b.alter_column('mail', existing_type=sa.String(20), type_=sa.String(50), nullable=False)\n"
      "        b.create_unique_constraint(b.f('uq_users_mail'), ['mail'])\n"
      "        b.create_check_constraint('positive', 'age > 0')"]
R2_BACK = ["import sqlalchemy as sa",
           "with op.batch_alter_table('users') as b:\n"
           "        b.drop_constraint('positive', type_='check')\n"
           "        b.drop_constraint(b.f('uq_users_mail'), type_='unique')\n"
           "        b.alter_column('mail', existing_type=sa.String(50), type_=sa.String(20), nullable=True)\n"
           "        b.drop_column('active')\n"
           "        b.drop_column('age')"]
R3 = ["import sqlalchemy as sa",
      "with op.batch_alter_table('orders') as b:\n"
      "        b.add_column(sa.Column('total', sa.Numeric(10, 2), server_default='0'))\n"
      "        b.create_unique_constraint(b.f('uq_orders_user_id'), ['user_id', 'total'])\n"
      "        b.create_index(b.f('ix_orders_user_id'), ['user_id'])"]
R3_BACK = ["with op.batch_alter_table('orders') as b:\n"
           "        b.drop_index(b.f('ix_orders_user_id'))\n"
           "        b.drop_constraint(b.f('uq_orders_user_id'), type_='unique')\n"
           "        b.drop_column('total')"]


def made(make_project, sqlite, name, seed):
    """`seed`: batch mode writes the constraints of a table in the order of a set."""
    project = make_project(sqlite, name)
    project.url = "%s.%s" % (sqlite.url, name)
    project.environ["PYTHONHASHSEED"] = str(seed)
    project.env(setup=SETUP, options="render_as_batch=True")
    project.revision("r1", None, R1, ["op.drop_table('orders')", "op.drop_table('users')"])
    project.revision("r2", "r1", R2, R2_BACK)
    project.revision("r3", "r2", R3, R3_BACK)
    return project


def plan(project):
    return {"steps": 2, "steps_digest": project.digest(["r2", "r3"]), "targets": ["r3"], "end": ["r3"], "from": ["r1"], "direction": "upgrade"}


@pytest.mark.parametrize("release", ["1.9.4", NEWEST])  # older ones read no CHECK back
def test_nothing_is_locked_nor_differs(make_project, sqlite, release):
    project = made(make_project, sqlite, "one", 1)
    entries = {entry["id"]: entry for entry in project.inspect().done().payload["revisions"]}
    assert all(len(entry["sql"]["upgrade"]["opaque"]) == (name != "r1") for name, entry in entries.items()), entries
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    phases = project.start(action="rehearse", source="dump", catalog=catalog("sqlite"), **plan(project)).outcome().done().payload["phases"]
    assert [(phase["name"], phase["leaves"]) for phase in phases] == [("upgrade", None), ("downgrade", []), ("upgrade again", [])]
    assert not project.compare().done().message["drift"]["objects"]
    other = made(make_project, sqlite, "two", 2)
    other.upgrade([], ["r3"], ["r3"], ["r1", "r2", "r3"]).done()
    seen = [each.probe(catalog=catalog("sqlite")).done() for each in (project, other)]
    assert not any("catalog_error" in outcome.message["look"] for outcome in seen)
    assert seen[0].payload["objects"] == seen[1].payload["objects"]
