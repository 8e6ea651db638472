"""The database URL and the variables that carry it. Reads and writes the environment."""

from urllib.parse import quote

from .problems import unusable_task
from .secrets import SECRETS


def set_url(task, environ):
    """Puts the database URL into every variable that carries it, and returns it (None when the task names no variable)."""
    names = task.get("url_env") or []
    connection = task.get("connection")
    if connection:
        url = built_url(connection, environ)
    elif names:
        if not environ.get(names[0]):
            raise unusable_task("the variable %s, which carries the database URL, is not set" % names[0])
        url = environ[names[0]].strip()
    else:
        return None
    SECRETS.add_url(url)
    url = with_driver(url, task.get("driver"))
    SECRETS.add_url(url)
    for name in names:
        environ[name] = url
    return url


def built_url(connection, environ):
    user = environ.pop(connection.get("username_env") or "", None)
    password = environ.pop(connection.get("password_env") or "", None)
    if password:
        SECRETS.add_password(password)
    name = connection.get("name") or ""
    if connection["dialect"].startswith("sqlite"):
        return "%s:///%s" % (connection["dialect"], name)
    login = quote(user, safe="") if user else ""
    login += ":" + quote(password, safe="") if password else ""
    host = connection.get("host") or ""
    host = "[%s]" % host if ":" in host else host
    port = ":%d" % connection["port"] if connection.get("port") else ""
    return "%s://%s%s%s/%s" % (connection["dialect"], login + "@" if login else "", host, port, name)


def with_driver(url, driver):
    scheme, separator, rest = url.partition("://")
    # SQLAlchemy dropped the name `postgres` in 1.4, many Secrets still carry it.
    scheme = {"postgres": "postgresql"}.get(scheme, scheme)
    if driver and "+" not in scheme:
        scheme += "+" + driver
    return scheme + separator + rest
