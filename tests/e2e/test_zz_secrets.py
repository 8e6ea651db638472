"""After everything else has run: the operator's log has no password of any database. Every other place is looked at after each test."""
from harness import OPERATOR, PASSWORDS, Space, is_in, kubectl, leaks


def test_no_password_outside_the_secrets(space: Space, shop):
    migration = space.migration(shop["1"])
    migration.wait_ready()
    assert leaks(space.name) == [] and PASSWORDS
    log = kubectl("logs", "-n", OPERATOR, f"deployment/{OPERATOR}").stdout
    assert log and not any(is_in(log, password) for password in PASSWORDS)
    # A look that finds nothing anywhere would be none.
    migration.annotate(space.password, "note")
    assert leaks(space.name) == [f"{space.name}: dbm"]
    migration.annotate("", "note")
