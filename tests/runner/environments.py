"""The Python environments the runner is tried in: one venv per set of pinned packages, made once and kept in the cache.

Touches the network only through pip, and only when an environment is not in the cache yet.
"""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

POSTGRES = ["psycopg2-binary==2.9.13"]

REQUIREMENTS = {
    "1.5.8": ["alembic==1.5.8", "SQLAlchemy==1.4.54"],
    "1.6.5": ["alembic==1.6.5", "SQLAlchemy==1.4.54", *POSTGRES],
    "SQLAlchemy 1.3": ["alembic==1.6.5", "SQLAlchemy==1.3.24", *POSTGRES],
    "1.9.4": ["alembic==1.9.4", "SQLAlchemy==1.4.54", *POSTGRES],
    "1.13.3": ["alembic==1.13.3", "SQLAlchemy==2.0.58", *POSTGRES],
    "1.18.5": ["alembic==1.18.5", "SQLAlchemy==2.0.58", *POSTGRES],
    "1.20.1": [
        "alembic==1.20.1",
        "SQLAlchemy==2.1.9",
        *POSTGRES,
        "psycopg[binary]==3.3.9",
        "asyncpg==0.32.0",
        "aiosqlite==0.22.1",
        "greenlet",
    ],
    "mariadb": ["alembic==1.20.1", "SQLAlchemy==2.1.9", "PyMySQL==1.1.2"],
    "flask": ["alembic==1.18.5", "SQLAlchemy==2.0.58", "Flask==3.1.2", "Flask-Migrate==4.1.0", "Flask-SQLAlchemy==3.1.1", *POSTGRES],
    "extensions": ["alembic==1.18.5", "SQLAlchemy==2.0.58", "alembic-utils==0.8.8", "alembic-postgresql-enum==1.11.0", *POSTGRES],
    "none": [],
}
OLDEST_REFUSED = "1.5.8"
WITHOUT_ALEMBIC = "none"
WITH_PYMYSQL = "mariadb"
WITH_FLASK = "flask"
WITH_EXTENSIONS = "extensions"
OLDEST_SQLALCHEMY = "SQLAlchemy 1.3"
NEWEST = "1.20.1"
SUPPORTED = ["1.6.5", "1.9.4", "1.13.3", "1.18.5", NEWEST]
ENDS = [SUPPORTED[0], NEWEST]  # where the releases in between cannot differ


def cache_folder():
    """Where everything that is expensive to make again is kept."""
    explicit = os.environ.get("ALEMBIC_OPERATOR_CACHE")
    if explicit:
        return pathlib.Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "alembic-operator"


def python_of(name):
    """The interpreter of the environment called `name`, made first when it is not there."""
    requirements = REQUIREMENTS[name]
    key = hashlib.sha256("\n".join([sys.version, *requirements]).encode()).hexdigest()[:16]
    folder = cache_folder() / "venvs" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            make(folder, requirements)
    return folder / "bin" / "python"


def make(folder, requirements):
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if requirements:
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
    (folder / "complete").touch()
