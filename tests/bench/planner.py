"""The same graphs and plans by Alembic itself: milliseconds a shape, as planner.rs prints them. No network."""
import time

from alembic.script.revision import Revision, RevisionMap

REVISIONS = 5_000


def name(place):
    return f"{place:012x}"


def line(n):
    return [n - 1] if n else []


def diamonds(n):
    return [] if n == 0 else {0: [n - 2, n - 1], 1: [n - 1], 2: [n - 2]}[n % 3]


for shape in (line, diamonds):
    best = float("inf")
    for _ in range(2):
        begun = time.perf_counter()
        revisions = [Revision(name(n), tuple(map(name, shape(n))) or None) for n in range(REVISIONS)]
        graph = RevisionMap(lambda: revisions)
        up = list(graph.iterate_revisions("heads", (), implicit_base=True))
        down = list(graph.iterate_revisions(graph._real_heads, "base", select_for_downgrade=True))
        assert len(up) == len(down) == REVISIONS
        best = min(best, (time.perf_counter() - begun) * 1000)
    print(shape.__name__, f"{best:.2f}")
