"""The packages of every image that a test builds. They are made before the first test, which is no time to wait for pip."""
import pathlib

PSYCOPG2 = (pathlib.Path(__file__).resolve().parents[2] / "migrations" / "requirements.txt").read_text()
ALEMBIC = "alembic==1.20.1\n"
PYMYSQL = f"{ALEMBIC}pymysql\n"
PYMYSQL_SHA256 = f"{ALEMBIC}pymysql\ncryptography\n"
PSYCOPG3 = f"{ALEMBIC}sqlalchemy[asyncio]\npsycopg[binary]\n"
ASYNCPG = f"{ALEMBIC}sqlalchemy[asyncio]\nasyncpg\n"
SQLMODEL_UV = f"{ALEMBIC}sqlmodel\npsycopg2-binary\nuv\n"
POETRY = f"{ALEMBIC}psycopg2-binary\npoetry\n"
NO_ALEMBIC = "SQLAlchemy==2.1.9\n"
ALL = {name: value for name, value in globals().items() if name.isupper()}
