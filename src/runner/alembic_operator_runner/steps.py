"""The steps of a plan, and the order of revisions. Reads the files of the steps."""

from hashlib import sha256

from .revisions import file_digest


def computed_steps(script, direction, targets, rows, branch=None):
    """The steps as Alembic computes them; it has no word for a downgrade to several targets at once."""
    if direction == "upgrade":
        return script._upgrade_revs(tuple(targets), rows)
    if len(targets) < 2:
        target = targets[0] if targets else "base"
        return script._downgrade_revs("%s@%s" % (branch, target) if branch else target, rows)
    from alembic.runtime.migration import MigrationStep

    return [MigrationStep.downgrade_from_script(script.revision_map, revision) for revision in downgraded(script, targets, rows)]


def downgraded(script, targets, rows):
    """The applied revisions that descend from a child of a target and that no target needs, newest first."""
    kept = closure(script, targets, "_all_down_revisions")
    children = {child for target in targets for child in script.get_revision(target).nextrev} - set(kept)
    applied = closure(script, rows, "_all_down_revisions")
    going = set(closure(script, children, "_all_nextrev"))
    return [script.get_revision(revision) for revision in reversed(applied) if revision in going]


def closure(script, ids, neighbours):
    """`ids` and everything reached from them; each after all that is reached from it."""
    order, seen, stack = [], set(), [(revision, False) for revision in sorted(ids)]
    while stack:
        revision, expanded = stack.pop()
        if expanded:
            order.append(revision)
        elif revision not in seen:
            seen.add(revision)
            stack.append((revision, True))
            stack.extend((other, False) for other in sorted(getattr(script.get_revision(revision), neighbours)))
    return order


def steps_digest(revisions, reads):
    """Ties an approved plan to the content of its files, and of those that they were seen to read. No other file is read."""
    lines = {script.revision: " ".join([script.revision, file_digest(script.path)[1]] + read_digests(reads.get(script.revision) or [])) + "\n"
             for script in revisions}
    ordered = sorted(lines, key=lambda revision: revision.encode("utf-8"))
    return sha256("".join(lines[revision] for revision in ordered).encode("utf-8")).hexdigest()


def read_digests(paths):
    """Path and hash of each; a file that is not there has none."""
    return [part for path in paths for part in (path, digest_or_none(path))]


def digest_or_none(path):
    try:
        return file_digest(path)[1]
    except OSError:
        return "-"


def newest_first(scripts):
    """Each revision after all that come from it; level by level, so that no branch uses up the room of the others."""
    by_id = {script.revision: script for script in scripts}
    above = dict.fromkeys(by_id, 0)  # how many revisions name it as theirs
    for script in scripts:
        for down in script._all_down_revisions:
            above[down] += 1
    level = sorted(revision for revision, count in above.items() if not count)
    while level:
        yield from (by_id[revision] for revision in level)
        below = set()
        for down in (down for revision in level for down in by_id[revision]._all_down_revisions):
            above[down] -= 1
            if not above[down]:
                below.add(down)
        level = sorted(below)
