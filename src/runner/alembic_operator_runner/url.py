"""The database URL and the variables that carry it. Reads and writes the environment."""

import re
from urllib.parse import quote

from .problems import Problem, unusable_task
from .secrets import SECRETS

URL = re.compile(r"[\w+.-]+://")
FORMS = [  # of what stands in place of a URL; src/db/url.rs has the same
    (r"jdbc:", "a JDBC URL; take another key of the Secret, or give the parts in spec.database.connection"),
    (r"\w+=.*://", "a line of a .env file; leave out the variable's name and the equals sign"),
    (r"psql ", "a psql command; take the URL alone"),
    (r"cG9zdGdyZ|bXlzcWw|bWFyaWFkY", "encoded in base64 once too often (`data` of a Secret is encoded, `stringData` is not)"),
    (r"host=|.* (host|dbname)=", "a connection string of key and value"),
]


def set_url(task, environ):
    """Puts the database URL into every variable that carries it, and returns it by SQLAlchemy's names (None when the task names no variable)."""
    names = task.get("url_env") or []
    connection = task.get("connection")
    if connection:
        url = built_url(connection, environ)
    elif names:
        if not environ.get(names[0]):
            raise unusable_task("the variable %s, which carries the database URL, is not set" % names[0])
        SECRETS.add_url(environ[names[0]])
        url = plain(environ[names[0]])
        if not URL.match(url):
            raise Problem("InvalidUrl", "%s: this is %s; expected dialect+driver://user:password@host:port/database" % (names[0], form(url)))
    else:
        return None
    if task.get("database"):
        url = url_of_member(url, task["database"])
    SECRETS.add_url(url)
    known = with_driver(url, task.get("driver"))
    SECRETS.add_url(known)
    for name in names:
        # An env.py that looks for `postgres://` and puts its own driver there finds it.
        environ[name] = known if task.get("driver") else url
    return known


def plain(text):
    """Without what gets around a URL on its way into a Secret: blanks and line breaks, and the quotes of a .env file."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def form(text):
    """What it is in place of a URL, where that can be told."""
    return next((words for pattern, words in FORMS if re.match(pattern, text, re.S)), "no database URL")


def know_old_name():
    """SQLAlchemy dropped the name `postgres` in 1.4, many Secrets still carry it, and not every env.py replaces it."""
    from sqlalchemy.dialects import registry

    for driver in ("", "psycopg2", "psycopg", "asyncpg", "pg8000"):
        module = "sqlalchemy.dialects.postgresql" + (".%s" % driver if driver else "")
        registry.register("postgres" + (".%s" % driver if driver else ""), module, "dialect")


def built_url(connection, environ):
    user = environ.pop(connection.get("username_env") or "", None)
    password = environ.pop(connection.get("password_env") or "", None)
    if password:
        SECRETS.add_password(password)
    name = place(connection, "name", environ)
    if connection["dialect"].startswith("sqlite"):
        return "%s:///%s" % (connection["dialect"], name)
    login = quote(user, safe="") if user else ""
    login += ":" + quote(password, safe="") if password else ""
    host, port = place(connection, "host", environ), place(connection, "port", environ)
    host = "[%s]" % host if ":" in host else host
    port = ":" + port if port else ""
    return "%s://%s%s%s/%s" % (connection["dialect"], login + "@" if login else "", host, port, name)


def place(connection, part, environ):
    """A part that is no secret: from the task, or where a Secret has it from a variable."""
    variable = connection.get(part + "_env")
    return (environ.get(variable) or "").strip() if variable else str(connection.get(part) or "")


def with_driver(url, driver):
    scheme, separator, rest = url.partition("://")
    name, plus, own = scheme.partition("+")
    name = {"postgres": "postgresql"}.get(name, name)
    if driver and not plus:
        plus, own = "+", driver
    return name + plus + own + separator + rest


def url_of_member(url, database):
    """The URL of another database of the same server."""
    if not database or not url:
        return url
    try:
        from sqlalchemy.engine.url import make_url
    except ImportError:  # what is missing is said a little later
        return url
    know_old_name()
    parsed = make_url(url)
    if hasattr(parsed, "set"):
        return parsed.set(database=database).render_as_string(hide_password=False)
    parsed.database = database  # SQLAlchemy 1.3
    return str(parsed)
