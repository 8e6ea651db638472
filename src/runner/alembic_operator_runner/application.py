"""What the application's own command does before Alembic: its Flask context, and what it puts on the Config. Runs the project's code."""

import importlib
import os
import re
from typing import Any

from .errors import error_text, error_trace
from .problems import Problem

WRITTEN = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)(\((config)?\))?$")


class Application:
    """The Flask application of spec.alembic.flaskApp, and the values of spec.alembic.attributes."""

    def __init__(self, task):
        self.task = task
        self.migrate = None  # what Flask-Migrate knows
        self.connections = []
        if task.get("flask_app"):
            self.enter_flask(task["flask_app"])

    def enter_flask(self, name):
        """As the command `flask` does; env.py of Flask-Migrate asks the application for everything."""
        try:
            from flask.cli import ScriptInfo

            application = ScriptInfo(app_import_path=name).load_app()
        except BaseException as error:
            raise Problem("EnvPyFailed", "the Flask application %s (spec.alembic.flaskApp) cannot be loaded: %s" % (name, error_text(error)),
                          detail=error_trace(error))
        application.app_context().push()
        self.migrate = getattr(application, "extensions", {}).get("migrate")
        ini = os.path.join(str(getattr(self.migrate, "directory", "migrations")), "alembic.ini")
        if not self.task.get("config") and os.path.isfile(ini):
            self.task["config"] = ini

    def prepare(self, config):
        """Everything that is to be on the Config before env.py runs."""
        callbacks = getattr(getattr(self.migrate, "migrate", None), "call_configure_callbacks", None)
        config = callbacks(config) if callbacks else config
        for name, written in sorted((self.task.get("attributes") or {}).items()):
            value = self.value(name, written, config)
            config.attributes[name] = value
            if not hasattr(config, name):  # some ask the Config itself
                setattr(config, name, value)
        return config

    def value(self, name, written, config):
        parts = WRITTEN.match(written)
        if parts is None:
            raise Problem("InvalidSpec", "spec.alembic.attributes.%s: %r is not `module:name`, `module:function()` or `module:function(config)`"
                          % (name, written))
        module, path, called, with_config = parts.groups()
        try:
            value: Any = importlib.import_module(module)
            for part in path.split("."):
                value = getattr(value, part)
            if called:
                value = value(config) if with_config else value()
        except BaseException as error:
            raise Problem("EnvPyFailed", "spec.alembic.attributes.%s: %s: %s" % (name, written, error_text(error)), detail=error_trace(error))
        if called and hasattr(value, "in_transaction") and hasattr(value, "close"):
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
