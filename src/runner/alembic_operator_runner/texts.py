"""Bounded, clean texts: what may leave this process. No I/O."""

import json
import re

from .secrets import SECRETS

ROWS_LIMIT = 20
TEXT_LIMIT = 8000  # characters of any text on its way into the message
RAW_TEXT_LIMIT = 64000  # characters looked at before scrubbing
NAME_LIMIT = 120
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def valid_text(text):
    """`text` without control characters, and without the lone surrogates that JSON parsers refuse."""
    return CONTROL_CHARACTERS.sub("", str(text)).encode("utf-8", "replace").decode("utf-8")


def scrubbed(text):
    # Twice: removing a control character may complete a secret's spelling.
    return SECRETS.scrub(valid_text(SECRETS.scrub(text)))


def clean(text, keep_end=False):
    """What may leave this process: bounded, without secrets."""
    text = text[-RAW_TEXT_LIMIT:] if keep_end else text[:RAW_TEXT_LIMIT]
    text = scrubbed(text)
    return text[-TEXT_LIMIT:] if keep_end else text[:TEXT_LIMIT]


def listed(ids):
    """A short text for a set of revision ids; no ids is the base."""
    ids = sorted(str(item) for item in ids)
    more = ", and %d more" % (len(ids) - ROWS_LIMIT) if len(ids) > ROWS_LIMIT else ""
    return "{%s%s}" % (", ".join(ids[:ROWS_LIMIT]), more) if ids else "base"


def shortened(name):
    return beginning(clean(name)[:NAME_LIMIT], 2 * NAME_LIMIT)


def plain(value):
    """Some drivers give the texts of information_schema as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def encoded(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def json_size(text):
    return len(encoded(text)) - 2


def beginning(text, room):
    """The longest beginning of `text` that takes at most `room` bytes in JSON."""
    if json_size(text) <= room:
        return text
    used = 0
    for position, character in enumerate(text):
        used += json_size(character)
        if used > room - 3:
            return text[:position] + "..."
    return text


def last_lines(text, room):
    """As many of the last lines of `text` as take at most `room` bytes in JSON."""
    kept = []
    for line in reversed(text.split("\n")):
        room -= json_size(line) + 2
        if room < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))
