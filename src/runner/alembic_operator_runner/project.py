"""Alembic itself, its configuration and its script directory. Reads the project's files."""

import os
import re
import sys

from .application import Application
from .errors import error_text, error_trace
from .problems import Problem
from .revisions import Revisions
from .rights import hint_of_rights
from .task import RUNNING

MINIMUM_ALEMBIC = (1, 6)
WRITTEN = {"revision": ["revision", "--autogenerate"], "merge": ["merge", "heads"]}  # the commands that write a file


def import_alembic():
    try:
        import alembic

        version = alembic.__version__
    except ImportError as error:
        raise Problem("AlembicMissing", "Alembic cannot be imported in this image: %s; install it, or set spec.alembic.command "
                      "to the interpreter that has it (this one is %s)%s" % (error_text(error), sys.executable, hint_of_rights(*sys.path)))
    except AttributeError:
        raise Problem("AlembicMissing", "`import alembic` finds %s, which is not Alembic; is Alembic installed for %s?"
                      % (list(getattr(alembic, "__path__", ["?"]))[:1], sys.executable))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MINIMUM_ALEMBIC:
        raise Problem("AlembicTooOld", "this image has Alembic %s; the operator needs %d.%d or newer" % ((version,) + MINIMUM_ALEMBIC))
    try:
        import alembic.config
    except ImportError as error:
        raise Problem("AlembicMissing", "Alembic %s cannot be imported: %s" % (version, error_text(error)))
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # as under `python -m alembic`, but last: nothing installed is shadowed
    return alembic


def alembic_arguments(task):
    """The command line that a person would have typed: env.py may look at it."""
    arguments = ["--name=%s" % (task.get("section") or "alembic")]
    arguments += ["--config=%s" % task["config"]] if task.get("config") else []
    arguments += ["-x%s" % argument for argument in task.get("x") or []]
    if task["action"] in WRITTEN:
        return arguments + WRITTEN[task["action"]] + (["--message=%s" % task["message"]] if task.get("message") else [])
    if task["action"] not in RUNNING:
        return arguments + ["current"]
    return arguments + [task["direction"], cli_target(task["targets"])]


def cli_target(targets):
    return "base" if not targets else targets[0] if len(targets) == 1 else "heads"


def command_line_of(task):
    """What Alembic's own command would have made of its arguments."""
    from alembic.config import CommandLine

    sys.argv[:] = ["alembic"] + alembic_arguments(task)
    command_line = CommandLine(prog="alembic")
    return command_line, command_line.parser.parse_args(sys.argv[1:])


def load_config(command_line, options):
    from alembic.config import Config

    try:
        if hasattr(command_line, "_inis_from_config"):  # Alembic 1.16: pyproject.toml
            toml, ini = command_line._inis_from_config(options)
            config = Config(file_=ini, toml_file=toml, ini_section=options.name, cmd_opts=options)
        else:
            ini = options.config
            config = Config(file_=ini, ini_section=options.name, cmd_opts=options)
        check_config(config, ini, options.name)
    except Exception as error:
        raise config_problem("the Alembic configuration cannot be read", error)
    return config


def check_config(config, ini, section):
    ini_found = os.path.isfile(ini)
    toml = getattr(config, "toml_file_name", None)
    if getattr(config, "toml_alembic_config", None):
        return
    if not ini_found:
        beside = " and %s has no [tool.alembic]" % toml if toml and os.path.isfile(toml) else ""
        raise Problem("ConfigNotFound", "no %s in %s%s; set spec.alembic.config or spec.alembic.workingDir%s%s"
                      % (ini, os.getcwd(), beside, of_flask(), hint_of_rights(ini)))
    if not config.file_config.has_section(section):
        raise Problem("ConfigNotFound", "%s has no section [%s]; set spec.alembic.section" % (ini, section))


def of_flask():
    """What to set where a project looks like one of Flask-Migrate."""
    ini = os.path.join("migrations", "alembic.ini")
    return "; %s is there, as Flask-Migrate makes it: for that set spec.alembic.flaskApp, as FLASK_APP names the application" % ini \
        if os.path.isfile(ini) else ""


def config_problem(what, error):
    return Problem("ConfigNotFound", "%s: %s" % (what, error_text(error)), detail=error_trace(error))


def load_script_directory(config):
    from alembic.script import ScriptDirectory
    from alembic.util.pyfiles import pyc_file_from_path

    try:
        script = ScriptDirectory.from_config(config)
    except Exception as error:
        raise config_problem("the script directory cannot be found", error)
    env_py = os.path.join(os.path.abspath(str(script.dir)), "env.py")
    if not os.path.exists(env_py) and pyc_file_from_path(env_py) is None:
        raise Problem("ConfigNotFound", "%s does not exist; is script_location right?%s" % (env_py, hint_of_rights(env_py)))
    return script


def loaded(task, url):
    """The application, and the project's configuration and revisions, as a command would load them that is new."""
    application = Application(task)
    command_line, options = command_line_of(task)
    config = application.made_config()
    if config is None:
        config = load_config(command_line, options)
    else:
        config.cmd_opts = options
    if url is not None:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    default_location(config, always=application.migrate is not None)
    config = application.prepare(config)
    return application, config, Revisions(load_script_directory(config))


def default_location(config, always=False):
    """Flask-Migrate's alembic.ini stands beside env.py and does not say so; where it names a place, Flask-Migrate does not ask it."""
    ini = config.config_file_name
    toml = getattr(config, "toml_alembic_config", None) or {}
    named = "script_location" in toml or config.file_config.has_option(config.config_ini_section, "script_location")
    if not ini or not os.path.isfile(ini) or (named and not always):
        return
    folder = os.path.dirname(os.path.abspath(ini))
    if os.path.exists(os.path.join(folder, "env.py")):
        config.set_main_option("script_location", folder.replace("%", "%%"))
