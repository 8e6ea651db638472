"""A password stands in its Secret and nowhere else; after each test all of its places are looked at."""
from harness import OPERATOR, Space, items, leaks, logs


def test_no_password_outside_the_secrets(space: Space, shop):
    migration = space.migration(shop["1"])
    migration.wait_ready()
    assert leaks(space.name) == [] and any(logs(pod) for pod in items("pods", OPERATOR))
    # A look that finds nothing anywhere would be none.
    migration.annotate(space.password, "note")
    assert leaks(space.name) == [f"{space.name}: dbm"]
    migration.annotate("", "note")
