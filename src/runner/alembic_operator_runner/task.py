"""The task that the operator gives, and the process that works on it. Reads the environment."""

import json
import os

from .problems import unusable_task
from .secrets import SECRETS

PROTOCOL = 1
RUNNING = ("run", "replay", "rehearse")  # the actions that go steps
APPLICATION_NAME = "alembic-operator"
APPLICATION_NAME_LIMIT = 63  # characters that PostgreSQL keeps


def read_task(environ):
    try:
        task = json.loads(environ.pop("ALEMBIC_OPERATOR_TASK"))
    except KeyError:
        raise unusable_task("ALEMBIC_OPERATOR_TASK is not set; this program is started by the operator")
    except ValueError as error:
        raise unusable_task("ALEMBIC_OPERATOR_TASK is not JSON: %s" % error)
    if not isinstance(task, dict) or task.get("protocol") != PROTOCOL:
        raise unusable_task("this runner speaks protocol %d; the operator and its runner are of different versions" % PROTOCOL)
    if task.get("action") not in ("inspect", "probe", "compare", "revision", "merge", "run", "replay", "rehearse", "batch"):
        raise unusable_task("unknown action %r" % task.get("action"))
    wanted = {"from": list, "targets": list, "end": list, "steps": int, "steps_digest": str}
    if task["action"] in RUNNING + ("batch",):
        wrong = [name for name, kind in wanted.items() if not isinstance(task.get(name), kind)]
        if wrong or task.get("direction") not in ("upgrade", "downgrade", "stamp"):
            raise unusable_task("the task lacks or mistypes: %s" % ", ".join(wrong or ["direction"]))
    if task["action"] == "rehearse":
        check_rehearsal(task)
    if task["action"] == "batch":
        check_batch(task)
    return task


def check_batch(task):
    """A batch is one plan for databases that are told by their names."""
    members, numbers = task.get("members"), [task.get(name) for name in ("workers", "failures_left")]
    named = isinstance(members, list) and members and all(isinstance(member, dict) and member.get("name") for member in members)
    if not named or not all(isinstance(number, int) for number in numbers) or task["workers"] < 1:
        raise unusable_task("a batch needs members, each with a name, and the numbers of workers and failures_left")


def check_rehearsal(task):
    """A rehearsal has to be told where its database's tables come from."""
    history = task.get("history")
    if task["direction"] == "stamp" or not isinstance(task.get("catalog"), dict) or task.setdefault("source", "history") not in ("history", "dump"):
        raise unusable_task("a rehearsal needs a direction, the queries of the schema (catalog) and a source")
    if task["source"] == "history" and task["from"]:
        wanted = {"targets": list, "steps": int, "steps_digest": str}
        if not isinstance(history, dict) or not all(isinstance(history.get(name), kind) for name, kind in wanted.items()):
            raise unusable_task("a rehearsal that starts from a revision needs the history that leads there")


def application_name(task):
    """How PostgreSQL's list of sessions calls this program: with the object that it works for."""
    return ("%s %s" % (APPLICATION_NAME, task["object"]) if task.get("object") else APPLICATION_NAME)[:APPLICATION_NAME_LIMIT]


def name_user(environ):
    """Python asks these before /etc/passwd, where a pod's user often is not."""
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not any(environ.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
            environ["LOGNAME"] = environ["USER"] = APPLICATION_NAME


def prepare_process(task, environ):
    """A name for the database's list of sessions, and the passwords that drivers find in the environment."""
    environ.setdefault("PGAPPNAME", application_name(task))
    name_user(environ)
    for name in ("PGPASSWORD", "MYSQL_PWD"):
        if environ.get(name):
            SECRETS.add_password(environ[name])
