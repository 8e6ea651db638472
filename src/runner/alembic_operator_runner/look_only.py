"""A look changes nothing: what the application and env.py would change by themselves while they are loaded for one is left out. No I/O."""

import re

SPACE = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
# Without these a look goes on as it would: whoever makes an object finds it there, or does not need it for reading.
OBJECTS = re.compile(SPACE + r"(CREATE(?!\s+(?:LOCAL\s+|GLOBAL\s+)?TEMP)|ALTER(?!\s+SESSION)|DROP|RENAME|COMMENT\s+ON|GRANT|REVOKE|LOCK\s|REINDEX"
                             r"|REFRESH|DO\s)", re.I | re.S)
# Without these it would not, as who writes a row may ask what became of it.
ROWS = re.compile(SPACE + r"(INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE|CALL|LOAD|COPY\b.*\bFROM\b"
                          r"|WITH\b.*\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\b)", re.I | re.S)
NAMED = re.compile(SPACE + r"((?:[A-Z]+\s+){1,6}?(?:[\"`][^\"`]+[\"`]|[\w.]+))"
                           r"(?=\s*(?:\(|;|$|\s(?:VALUES|SET|AS|ON|ADD|USING|WITH|WHERE|AUTHORIZATION|DEFAULT)\b))", re.I | re.S)
TOLD = 3


class ChangeRefused(Exception):
    """A statement that writes rows, while a look is under way."""


class LookOnly:
    """Stands between SQLAlchemy and the drivers, as the last listener; does nothing unless active."""

    def __init__(self):
        self.active = False
        self.seen = []

    def install(self):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.active = True
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            event.listen(Engine, name, self.statement)

    def statement(self, _cursor, statement, *_rest):
        """True where the statement is not to be handed to the driver."""
        if not self.active or not isinstance(statement, str):
            return None
        if OBJECTS.match(statement):
            self.remember(statement)
            return True
        if ROWS.match(statement):
            self.remember(statement)
            self.refuse(statement)
        return None

    def remember(self, statement):
        if named(statement) not in self.seen:
            self.seen.append(named(statement))

    def refuse(self, statement):
        from sqlalchemy.exc import NotSupportedError  # which no loop takes for a database that is not up yet

        raise NotSupportedError(named(statement), None, ChangeRefused(named(statement)))

    def within_own_work(self, work):
        """Calls `work`, which is known to write nothing, or takes back what it writes."""
        before, self.active = self.active, False
        try:
            return work()
        finally:
            self.active = before

    def hint(self):
        """What helps, where something failed that had wanted to change the database."""
        if not self.seen:
            return ""
        return ("; it changes the database as it starts (%s%s), and in a look nothing is changed; switch that off for the Jobs, as by a variable in "
                "spec.env; where it does not start otherwise, set spec.alembic.writesAtStart: Allow"
                % ("; ".join(self.seen[:TOLD]), "; …" if len(self.seen) > TOLD else ""))


def named(statement):
    """A statement by its kind and its object, without a value."""
    found = NAMED.match(statement)
    text = found.group(1) if found else (re.match(SPACE + r"(\w*)", statement, re.S) or [""])[1]
    return " ".join(text.split())[:80]


def is_refusal(error):
    return isinstance(getattr(error, "orig", None) or error, ChangeRefused)


LOOK_ONLY = LookOnly()
