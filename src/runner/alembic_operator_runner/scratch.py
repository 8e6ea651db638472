"""Whether a scratch database is one, and the wait for it. Talks to the scratch database."""

import time

from .connect import execute
from .engines import engine_of
from .problems import Problem, refused

SCRATCH_PATIENCE = 180  # seconds until a scratch database must have started


def check_scratch(lock, task):
    """What is for a scratch database would be the end of another one, and env.py may take its URL from anywhere: the connection must
    lead where the URL does that the runner was given, to a server that calls itself what the operator called it."""
    from sqlalchemy.engine.url import make_url

    told, taken = ((url.host, url.port, url.database) for url in (make_url(task["url"]), lock.engine.url))
    if told != taken:
        names = ", ".join(task.get("url_env") or ["DATABASE_URL"])
        raise refused("EnvPyFailed", "env.py connects to another database than the scratch database that this Job runs on, so nothing was run; "
                      "let env.py take its URL from %s alone" % names)
    mark = engine_of(lock.engine.dialect).scratch_mark
    if mark and execute(lock.connection, mark).scalar() != task["scratch"]:
        raise refused("ConnectFailed", "the server at %s:%s does not call itself %s, so nothing was run on it: something else of the pod listens "
                      "there, or the image of the scratch database does not pass on its arguments" % (told[0], told[1], task["scratch"]))


def await_server(url):
    """The scratch database starts at the same time as this container."""
    import socket

    place = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    if not place:
        return  # SQLite
    host, _, port = place.rpartition(":")
    deadline = time.monotonic() + SCRATCH_PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Problem("ConnectFailed", "the scratch database did not start: %s; see the log of its container" % error)
        time.sleep(0.2)
