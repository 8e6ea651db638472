"""No row of a table and no secret of the pod in what the runner says of an error. Touches the private servers."""

import pytest
from environments import ENDS

SEED = ["CREATE TABLE people (id INTEGER NOT NULL, email VARCHAR(20) NOT NULL UNIQUE, age INTEGER)", "INSERT INTO people VALUES (1, 'bob@example.com', 7)"]
ROWS = {
    "unique": ("INSERT INTO people VALUES (2, 'bob@example.com', 41424344)", ["people_email_key"]),
    "null": ("INSERT INTO people (id, age) VALUES (41424344, 41424344)", ["email", "people"]),
    "long": ("INSERT INTO people VALUES (2, 'bob@example.com-and-more-than-twenty', 1)", []),
    "cast": ("ALTER TABLE people ALTER email TYPE INTEGER USING email::integer", []),
    "syntax": ("INSERT INTO people VALUES ('Tr0ub4dor-and-3' 'bob@example.com')) x", []),
    "unknown": ("INSERT INTO nowhere VALUES ('Tr0ub4dor-and-3', 'bob@example.com')", ["nowhere"]),
}
NOWHERE = ["bob@example.com", "41424344", "Tr0ub4dor", "DETAIL", "LINE 1", "Failing row"]


def check(outcome, words=()):
    for text in (outcome.error["message"], outcome.error["detail"], outcome.stderr):
        assert not [secret for secret in NOWHERE if secret in text], text
    assert all(word in outcome.error["message"] for word in words), outcome.error


def failing(project, statement):
    project.revision("r1", None, SEED)
    project.revision("r2", "r1", "sql = __import__('pathlib').Path('r2.sql').read_text(); op.execute(__import__('sqlalchemy').text(sql.replace(':', '\\\\:')))")
    project.write("r2.sql", statement)
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    return project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).failed("MigrationFailed")


@pytest.mark.parametrize("row", sorted(ROWS))
@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "asyncpg"])
def test_rows_in_errors_of_postgresql(pg_project, row, driver):
    from project import ASYNC_ENV
    if driver == "asyncpg":
        pg_project.env(ASYNC_ENV)
    pg_project.url = pg_project.url.replace("postgresql:", "postgresql+%s:" % driver)
    check(failing(pg_project, ROWS[row][0]), ROWS[row][1])


@pytest.mark.parametrize("release", ENDS)
def test_rows_in_errors_that_the_project_wraps(pg_project):
    pg_project.revision("r1", None, [*SEED, "import sqlalchemy as sa", "try: op.execute(\"INSERT INTO people VALUES (2, 'bob@example.com', 41424344)\")\n"
                                     "    except sa.exc.DBAPIError as error: raise RuntimeError('seeding failed: %s' % error)"])
    check(pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed", "seeding failed"))


@pytest.mark.parametrize("row", ["unique", "long", "syntax", "unknown"])
def test_rows_in_errors_of_mariadb(mariadb_project, row):
    check(failing(mariadb_project, ROWS[row][0]))


@pytest.mark.parametrize("convert", ["int(email)", "float(email)", "{}[email]", "datetime.date.fromisoformat(email)", "datetime.datetime.strptime(email, '%Y')",
                                     "Color(email)", "uuid.UUID(email)"])
def test_rows_in_errors_of_python(sqlite_project, convert):
    """Of a revision that reads rows and converts what they hold."""
    sqlite_project.revision("r1", None, ["import datetime, enum, uuid", "Color = enum.Enum('Color', 'red')", "email = 'bob@example.com'", convert])
    check(sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed", "Error"))


SECRETS = {"STRIPE_API_KEY": "sk_live_wJalrXUtnFEMI/K7MDENG", "SESSION_SALT": "Zx81Qw3rTy4Uio9PasDf", "REDIS_URL": "redis://:hunter2hunter2@cache:6379/0",
           "GOOGLE_CREDENTIALS": '{"type": "service_account",\n "private_key": "MIIEvQIBADANBgkqhkiG9w0BAQ"}'}
PIECES = ["wJalrXUtnFEMI", "Zx81Qw3rTy4Uio9PasDf", "hunter2hunter2", "MIIEvQIBADANBgkqhkiG9w0BAQ", "sk_live_w"]


@pytest.mark.parametrize("action", ["inspect", "probe", "compare"])
@pytest.mark.parametrize("message", ["str(dict(os.environ))", "repr(os.environ['STRIPE_API_KEY'][:9] + '...' + os.environ['STRIPE_API_KEY'][-13:])",
                                     "\"1 validation error for Settings\\nport\\n  Field required [type=missing, input_value={'stripe_api_key': 'sk_li...EMI/K7MDENG'}, "
                                     "input_type=dict]\"", "os.environ['REDIS_URL']", "'\\n'.join(os.environ.values())"])
def test_secrets_of_the_environment(sqlite_project, action, message):
    sqlite_project.environ = SECRETS
    sqlite_project.env(setup="import os; raise ValueError(%s)" % message)
    outcome = sqlite_project.start(action=action).outcome().failed("EnvPyFailed")
    for text in (outcome.error["message"], outcome.error["detail"], outcome.stderr):
        assert not [piece for piece in [*PIECES, "K7MDENG"] if piece in text], text


def test_what_is_no_secret_stays_readable(sqlite_project):
    sqlite_project.environ = {"APP_MODE": "production", "CACHE_HOST": "cache.shop.svc", "SHOP_SETTINGS": "/etc/shop/settings.yaml"}
    sqlite_project.env(setup="raise ValueError('production cache.shop.svc /etc/shop/settings.yaml is not there')")
    sqlite_project.inspect().failed("EnvPyFailed", "production cache.shop.svc /etc/shop/settings.yaml is not there")
