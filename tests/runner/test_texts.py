"""The parts of the runner that need no Alembic: the message's limit, the scrubbing, the URL. No network, no database."""

import ast
import json
import random
from urllib.parse import quote

import pytest
from alembic_operator_runner.problems import Problem
from alembic_operator_runner.report import Report
from alembic_operator_runner.secrets import SECRETS, Secrets
from alembic_operator_runner.texts import NAME_LIMIT, TEXT_LIMIT, clean, json_size, shortened
from alembic_operator_runner.url import built_url
from project import RUNNER

ALPHABET = ["a", " ", "\n", "\t", '"', "\\", "ü", "☃", "😀", "\ud800", "\x00", "\x1b", "\u2028", "'", "/"]


def random_text(chance, longest):
    return "".join(chance.choices(ALPHABET, k=chance.randrange(longest)))


def test_the_message_is_always_valid_and_short(tmp_path):
    chance = random.Random(1)
    report = Report(str(tmp_path / "log"))
    report.log = lambda *_, **__: None
    for _ in range(300):
        longest = chance.choice([3, 300, 5000])
        ids = [random_text(chance, chance.choice([5, 40, 3000])) for _ in range(3)]
        report.update(error=None, running=ids[0] or None, last_done=ids[1] or None, steps_done=10 ** 9,
                      rows=[random_text(chance, chance.choice([3, 40, 600])) for _ in range(chance.randrange(25))])
        read(tmp_path / "log")
        report.fail(Problem("MigrationFailed", random_text(chance, longest), revision=ids[2], detail=random_text(chance, 9 * longest)))
        message = read(tmp_path / "log")
        assert message["state"] == "failed" and set(message) == set(report.fields)


def read(path):
    raw = path.read_bytes()
    assert len(raw) <= 4000
    return json.loads(raw.decode("utf-8"))


@pytest.mark.parametrize("seen", [{"look": {"rows": ["x" * 253] * 16, "tables": []}}, {"drift": {"objects": [{"object": "😀" * 120}] * 12}}])
def test_what_was_seen_fits_or_is_left_out(tmp_path, seen):
    report = Report(str(tmp_path / "log"))
    report.log = lambda *_, **__: None
    report.update(state="done", **seen)
    assert read(tmp_path / "log")["state"] == "done"
    assert json_size(shortened("😀" * 500)) <= 2 * NAME_LIMIT


def test_as_much_of_the_traceback_as_fits(tmp_path):
    report = Report(str(tmp_path / "log"))
    detail = "\n".join("line %04d" % number for number in range(2000))
    report.fail(Problem("EnvPyFailed", "short", detail=detail))
    message = read(tmp_path / "log")
    assert message["error"]["detail"].endswith("line 1999") and len((tmp_path / "log").read_bytes()) > 3950
    assert message["error"]["detail"].startswith("line ")


def test_rows_only_when_they_are_few(tmp_path):
    report = Report(str(tmp_path / "log"))
    report.update(rows=["r%d" % number for number in range(20)])
    assert len(read(tmp_path / "log")["rows"]) == 20
    report.update(rows=["r%d" % number for number in range(21)])
    assert read(tmp_path / "log")["rows"] is None


def test_a_shorter_message_leaves_nothing_of_a_longer_one(tmp_path):
    report = Report(str(tmp_path / "log"))
    (tmp_path / "log").write_text("x" * 5000)
    report.update(running="r" * 1000)
    report.update(running=None)
    assert read(tmp_path / "log")["running"] is None


PASSWORDS = ["p@ss:w%rd/ü", "hunter2", "a'b\"c\\d", "with space", "100%", "ü☃😀", "x", "&=?#[]", "tab\tin"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_spelling_of_the_password_is_hidden(password):
    secrets = Secrets()
    url = "postgresql://user:%s@host:5432/shop?sslmode=require" % quote(password, safe="")
    secrets.add_url(url)
    spellings = [password, quote(password), quote(password, safe=""), quote(password, safe="").lower(), repr(password)[1:-1],
                 json.dumps(password)[1:-1], quote(password, safe="").replace("%", "%%"), password.replace("'", "''")]
    for spelling in spellings:
        text = secrets.scrub("FATAL: login <%s> failed" % spelling)
        assert text == "FATAL: login <***> failed", text
    assert url not in secrets.scrub("Could not parse SQLAlchemy URL from string '%s'" % url)
    assert "host:5432" in secrets.scrub("connection to host:5432 failed")


@pytest.mark.parametrize("text, hidden", [
    ("amqp://guest:s3cret@rabbit:5672/", "s3cret"), ("redis://:s3cret@r", "s3cret"), ("PGPASSWORD=s3cret psql", "s3cret"),
    ("dsn: user=u password='s3 cret' host=h", "s3 cret"), ("password=s3cret", "s3cret"), ("CREATE ROLE x PASSWORD 's3cret'", "s3cret"),
    ("MYSQL_PWD=s3cret", "s3cret"), ("passwd = \"s3cret\"", "s3cret"), ("x://u:p@ss@h", "p@ss"),
])
def test_secrets_of_others(text, hidden):
    assert hidden not in Secrets().scrub(text)


@pytest.mark.parametrize("text", [
    'password authentication failed for user "shop"', "https://sqlalche.me/e/20/e3q8", "relation \"t\" does not exist", "mail a@b.example",
])
def test_what_is_no_secret_stays(text):
    assert Secrets().scrub(text) == text


def test_a_secret_is_hidden_before_a_text_is_cut():
    SECRETS.add_password("correct-horse-battery")
    text = clean("x" * (TEXT_LIMIT - 5) + "correct-horse-battery")
    assert "corre" not in text and len(text) <= TEXT_LIMIT
    assert "battery" not in clean("correct-\x00horse-battery")


@pytest.mark.parametrize("parts, expected", [
    ({"dialect": "postgresql", "host": "h", "port": 5432, "name": "db"}, "postgresql://u%40:p%2F%20%25@h:5432/db"),
    ({"dialect": "postgresql", "host": "::1", "port": None, "name": "db"}, "postgresql://u%40:p%2F%20%25@[::1]/db"),
    ({"dialect": "mysql", "host": "h", "port": 3306, "name": "db", "password_env": "NO"}, "mysql://u%40@h:3306/db"),
    ({"dialect": "postgresql", "host": "h", "name": "db", "username_env": None, "password_env": None}, "postgresql://h/db"),
    ({"dialect": "sqlite", "name": "/data/shop.db"}, "sqlite:////data/shop.db"),
])
def test_url_of_a_connection(parts, expected):
    environ = {"USER_ENV": "u@", "PASSWORD_ENV": "p/ %"}
    assert built_url(dict({"username_env": "USER_ENV", "password_env": "PASSWORD_ENV"}, **parts), environ) == expected


@pytest.mark.parametrize("file", sorted(RUNNER.rglob("*.py")), ids=lambda file: str(file.relative_to(RUNNER)))
def test_syntax_of_the_oldest_python(file):
    ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 7))


def test_what_the_pod_s_user_may_not_read(tmp_path):
    import os

    from alembic_operator_runner.rights import hint_of_rights

    file = tmp_path / "app" / "alembic.ini"
    file.parent.mkdir()
    file.touch()
    shut = {str(tmp_path / "app"): os.X_OK, str(file): os.R_OK}
    assert hint_of_rights(str(file), "", str(tmp_path / "gone" / "x")) == ""
    for place, right in shut.items():
        told = hint_of_rights(str(tmp_path), str(file), may=lambda path, asked, place=place, right=right: (path, asked) != (place, right))
        assert "may not read %s: " % place in told and "runAsUser" in told
