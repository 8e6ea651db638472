"""The table of URLs, as the runner hands them to SQLAlchemy and as SQLAlchemy's drivers would be given them. No I/O but a process."""

import json
import re
import subprocess

import pytest
from environments import NEWEST, OLDEST_SQLALCHEMY, WITH_PYMYSQL, python_of
from project import RUNNER

CASES = json.loads((RUNNER.parents[1] / "tests" / "fixtures" / "urls.json").read_text())

# What the runner makes of each URL, and what SQLAlchemy would connect with.
PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
from alembic_operator_runner.problems import Problem
from alembic_operator_runner.url import know_old_name, set_url
from sqlalchemy.engine.url import make_url
know_old_name()
found = []
for url in json.load(sys.stdin):
    environ = {"DATABASE_URL": url}
    try:
        known = make_url(set_url({"url_env": ["DATABASE_URL"]}, environ))
        args, given = known.get_dialect()().create_connect_args(known)
        own = make_url(environ["DATABASE_URL"]).get_dialect().name
    except (Exception, Problem) as error:
        found.append("%s: %s" % (type(error).__name__, error))
        continue
    value = lambda *names: next((given[name] for name in names if name in given), None)
    found.append({"dialect": own, "user": value("user", "username"), "password": value("password", "passwd"), "host": value("host"), "port": value("port"),
                  "database": value("dbname", "database", "db")})
json.dump(found, sys.stdout)
"""


def read(environment, urls):
    done = subprocess.run([python_of(environment), "-c", PROGRAM, str(RUNNER)], input=json.dumps(urls), stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def servers(found, dialect):
    parts = lambda value: [] if value is None else value if isinstance(value, list) else str(value).split(",")
    hosts, ports = parts(found["host"]), [int(port) if port else None for port in parts(found["port"])]
    ports = ports * len(hosts) if len(ports) == 1 else ports or [None] * len(hosts)
    return [[host, port or (5432 if dialect == "postgresql" else 3306)] for host, port in zip(hosts, ports)]


@pytest.mark.parametrize("environment, dialects", [(NEWEST, ["postgresql"]), (WITH_PYMYSQL, ["mysql", "mariadb"]), (OLDEST_SQLALCHEMY, ["postgresql", "mysql"])])
def test_the_table_says_what_sqlalchemy_does(environment, dialects):
    cases = [case for case in CASES if "is" in case and case["is"]["dialect"] in dialects and case.get("sqlalchemy", True)]
    assert len(cases) > 8
    if environment == OLDEST_SQLALCHEMY:  # which has fewer drivers, and knows one host
        drivers = re.compile("(postgresql|postgresql.psycopg2|mysql.pymysql)://[^,]*$")
        cases = [case for case in cases if drivers.match(case["url"]) and case.get("oldest", True) and "host=" not in case["url"]]
    for case, found in zip(cases, read(environment, [case["url"] for case in cases])):
        told = case["is"]
        assert isinstance(found, dict), (case, found)
        assert (found["dialect"].replace("mariadb", "mysql"), found["user"] or "", found["password"] or "", found["database"]) == (
            told["dialect"].replace("mariadb", "mysql"), told["user"], told.get("password", ""), told["database"]), case
        assert servers(found, told["dialect"]) == told["servers"], case


def test_what_is_no_url_is_told_as_the_operator_tells_it():
    cases = [case for case in CASES if "refused" in case and case.get("runner", True) and not re.match(r"\w[\w+.-]*://", case["url"])]
    assert len(cases) > 5
    for case, found in zip(cases, read(NEWEST, [case["url"] for case in cases])):
        assert found.startswith("Problem: DATABASE_URL: this is ") and case["refused"] in found and "s3cret" not in found, (case, found)


def test_the_name_that_platforms_still_write():
    for driver in ("", "+psycopg2", "+psycopg", "+asyncpg"):
        found, = read(NEWEST, ["postgres%s://u:p@h/d" % driver])
        assert found["dialect"] == "postgresql", found
