"""Every field of the spec with values that nobody should write, then the good spec again: refused or told, never done, and nothing stays."""
from client import path as address, request
from harness import Space, eventually, get, revision, table

LONG = "x" * 5000
ODD = {
    "string": ["", LONG, 7, None, "../../etc/passwd", "'; DROP TABLE one; --"],
    "integer": [-1, 0, 2147483647, 2147483648, 1.5, "3", None],
    "boolean": ["yes", None],
    "array": [[], ["", LONG], "text", ["a"] * 200],
    "object": ["text", {"unknown": 1}, None],
}
DURATIONS = ["0s", "8000h", "1h30m"]
DURATION_FIELDS = {"interval", "timeout", "lock", "statement", "run"}


def leaves(schema, path=()):
    """The path and the type of each field, and the values that an enumeration has."""
    kind = schema.get("type", "object")
    yield path, kind, schema.get("enum")
    for name, child in schema.get("properties", {}).items():
        yield from leaves(child, (*path, name))


def nested(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


def test_every_field_with_odd_values_and_back(space: Space, push):
    image = push(revision("aaaa1111", **table("one")), revision("bbbb2222", "aaaa1111", **table("two")))
    migration = space.migration(image)
    migration.wait_ready()
    good = migration.get()["spec"]
    schema = get("crd", name="databasemigrations.alembic-operator.dev")["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    patch = lambda kind, body: request("PATCH", address("dbm", space.name, "app"), body, content=f"application/{kind}-patch+json")
    counts = {"refused": 0, "taken": 0}
    for path, kind, enum in leaves(schema["properties"]["spec"]):
        odd = ODD[kind] + (DURATIONS if path and path[-1] in DURATION_FIELDS else [])
        for value in odd + [word for word in enum or [] if word is not None]:
            code, answer = patch("merge", {"spec": nested(path, value)} if path else {"spec": value})
            counts["taken" if code == 200 else "refused"] += 1
            if code != 200:
                assert any(word in answer for word in ("Invalid", "invalid", "unknown", "must")), answer
        # What was taken by this field is told for its generation, with a reason, and then taken back.
        told = lambda: migration.status.get("observedGeneration") == migration.get()["metadata"]["generation"]
        eventually(f"{'.'.join(path)} is answered", told, 30)
        assert migration.condition()["reason"] and migration.condition()["status"] in ("True", "False", "Unknown")
        assert patch("json", [{"op": "replace", "path": "/spec", "value": good}])[0] == 200
    print(counts)
    assert counts["refused"] > 100 and counts["taken"] > 20
    migration.wait("AtTarget", 120)
    assert space.rows() == ["bbbb2222"] and len(space.jobs("run")) == 1, "nothing ran on the way"
