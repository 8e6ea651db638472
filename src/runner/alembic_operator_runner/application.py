"""What the application's own command does before Alembic: its Flask context, and what it puts on the Config. Runs the project's code."""

import importlib
import os
import re
import sys
from typing import Any

from .blame import hint
from .errors import error_text, error_trace
from .problems import Problem

WRITTEN = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\(\)|\(config\))*)$")
OFFERED = "alembic_operator"
PART = re.compile(r"\(config\)|\(\)|\w+")


class Offered:
    """What projects find under the name `alembic_operator`: the object's database, for an env.py that is given its connection."""

    def __init__(self, url):
        self.url = url

    def engine(self):
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        return create_engine(self.url, poolclass=NullPool)

    def connect(self):
        return self.engine().connect()


class Application:
    """The Flask application of spec.alembic.flaskApp, and the values of spec.alembic.attributes."""

    def __init__(self, task):
        self.task = task
        self.migrate = None  # what Flask-Migrate knows
        self.connections = []
        self.values = {}  # of attributes that do not ask for the Config
        if task.get("flask_app"):
            self.enter_flask(task["flask_app"])

    def enter_flask(self, name):
        """As the command `flask` does; env.py of Flask-Migrate asks the application for everything."""
        try:
            from flask.cli import ScriptInfo

            application = ScriptInfo(app_import_path=name).load_app()
        except BaseException as error:
            raise Problem("EnvPyFailed", "the Flask application %s (spec.alembic.flaskApp) cannot be loaded: %s%s" % (name, error_text(error), hint(error)),
                          detail=error_trace(error))
        application.app_context().push()
        self.migrate = getattr(application, "extensions", {}).get("migrate")
        ini = os.path.join(str(getattr(self.migrate, "directory", "migrations")), "alembic.ini")
        if not self.task.get("config") and os.path.isfile(ini):
            self.task["config"] = ini

    def made_config(self):
        """The Config, where one of the attributes is the function that the application's own command makes it with."""
        from alembic.config import Config

        written = self.task.get("attributes") or {}
        self.values = {name: self.value(name, text, None) for name, text in sorted(written.items()) if "(config)" not in text}
        return next((value for value in self.values.values() if isinstance(value, Config)), None)

    def prepare(self, config):
        """Everything that is to be on the Config before env.py runs."""
        callbacks = getattr(getattr(self.migrate, "migrate", None), "call_configure_callbacks", None)
        config = callbacks(config) if callbacks else config
        for name, written in sorted((self.task.get("attributes") or {}).items()):
            value = self.values[name] if name in self.values else self.value(name, written, config)
            if value is config:
                continue
            config.attributes[name] = value
            if not hasattr(config, name):  # some ask the Config itself
                setattr(config, name, value)
        return config

    def value(self, name, written, config):
        matched = WRITTEN.match(written)
        if matched is None:
            raise Problem("InvalidSpec", "spec.alembic.attributes.%s: %r is not `module:name`, `module:function()` or `module:function(config)`"
                          % (name, written))
        parts = PART.findall(matched.group(2))
        arguments = sys.argv[1:]
        try:
            sys.argv[1:] = []  # Alembic's: what is called here reads those of its own command, and has none
            module = matched.group(1)
            value: Any = Offered(self.task.get("url")) if module == OFFERED else importlib.import_module(module)
            for part in parts:
                value = value() if part == "()" else value(config) if part == "(config)" else getattr(value, part)
        except BaseException as error:
            raise Problem("EnvPyFailed", "spec.alembic.attributes.%s: %s: %s%s" % (name, written, error_text(error), hint(error)), detail=error_trace(error))
        finally:
            sys.argv[1:] = arguments
        if parts[-1].startswith("(") and hasattr(value, "in_transaction") and hasattr(value, "close"):
            self.connections.append(value)
        return value

    def leave(self, error):
        """Who opens a connection for env.py commits on it, or not, and closes it."""
        for connection in self.connections:
            try:
                transaction = (getattr(connection, "get_transaction", None) or (lambda: None))()
                if transaction is not None:
                    (transaction.commit if error is None else transaction.rollback)()
            finally:
                connection.close()
