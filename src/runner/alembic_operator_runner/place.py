"""Whether env.py's connection leads to the object's own database. May open one more connection, to where the task's URL leads."""

import os
import socket
from urllib.parse import unquote

from .connect import connect_to, unpooled
from .engines import engine_of
from .errors import error_text
from .problems import refused

SAME = {"mariadb": "mysql", "postgres": "postgresql"}
PORTS = {"postgresql": 5432, "mysql": 3306}


def check_place(context, task):
    """Two names of one server are one place: where the URLs differ, what the server says of itself is compared."""
    if task.get("url") is None:
        return
    from sqlalchemy.engine.url import make_url

    told, taken = make_url(task["url"]), context.connection.engine.url
    engine = engine_of(context.dialect)
    here = engine.database(context)
    if family(told.drivername) != family(context.dialect.name):
        why = ""
    elif family(context.dialect.name) == "sqlite":
        if same_file(told.database, here):
            return
        why = ""
    elif same_address(told, taken) and here in (None, told.database) and connects_by_url(context.connection.engine):
        return
    else:
        why = differs(context, engine, told, taken, here)
        if why is None:
            return
    names = ", ".join(task.get("url_env") or ["DATABASE_URL"])
    raise refused("OtherDatabase", "env.py works in the database %s, and the object's own is %s%s; nothing was run; let env.py take its URL from %s, "
                  "and leave the database as the URL names it" % (described(taken, here), described(told, told.database), why, names))


def differs(context, engine, told, taken, here):
    """Why the two are not one database, or None where they are."""
    theirs, error = identity(engine, lambda: connect_to(context.dialect, told))
    if theirs is None:
        # The login of the URL may be no good where env.py has one of its own, such as a token.
        same = here in (None, told.database) and (same_address(told, taken) or same_host(told, taken))
        return None if same else " (which cannot be asked from here: %s)" % error
    ours, error = identity(engine, lambda: unpooled(context.connection.engine).connect())
    if ours is None:
        return " (env.py's server does not say which it is: %s)" % error
    name = ours[0] if here is None or here.lower() == ours[0].lower() else here  # unless env.py went on to another one
    return None if (name, ours[1:]) == (theirs[0], theirs[1:]) else ""


def identity(engine, connect):
    """What the server at the other end says of itself; or why it says nothing."""
    try:
        connection = connect()
        try:
            return engine.identity(connection), "it does not tell"
        finally:
            connection.close()
    except Exception as error:
        return None, error_text(error)


def family(name):
    name = name.partition("+")[0]
    return SAME.get(name, name)


def address(url):
    """Host and port as drivers take them: also from the URL's query."""
    def asked(name):
        value = url.query.get(name)
        return ",".join(value) if isinstance(value, (list, tuple)) else value

    host = url.host or asked("host") or asked("unix_socket") or ""
    return host, str(url.port or asked("port") or PORTS.get(family(url.drivername), ""))


def same_address(told, taken):
    return address(told) == address(taken) and told.database == taken.database


def same_host(told, taken):
    """Whether two names stand for one address."""
    (host, port), (other, other_port) = address(told), address(taken)
    try:
        return port == other_port and bool(addresses(host) & addresses(other))
    except OSError:
        return False


def addresses(host):
    return {found[4][0] for found in socket.getaddrinfo(host, None)}


def connects_by_url(engine):
    """Whether nothing of env.py's comes between the URL and the connection: no `creator`, and no event that changes the arguments."""
    creator = str(getattr(getattr(engine.pool, "_creator", None), "__module__", ""))
    return creator.startswith("sqlalchemy.") and not bool(getattr(engine.dialect.dispatch, "do_connect", None))


def same_file(told, here):
    told = told or ""
    if told.startswith("file:"):
        told = unquote(told[len("file:"):].partition("?")[0])
    if not here or told in ("", ":memory:"):
        return not here and told in ("", ":memory:")
    try:
        return os.path.samefile(told, here)
    except OSError:
        return os.path.realpath(told) == os.path.realpath(here)


def described(url, name):
    host, port = address(url)
    place = "%s:%s/%s" % (host, port, name) if host else str(name or "")
    return "%s %s" % (family(url.drivername), place) if place else family(url.drivername)
