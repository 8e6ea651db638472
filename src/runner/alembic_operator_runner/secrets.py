"""Every spelling of a secret, and its removal from a text. No I/O."""

import json
import re
from typing import Any, List, Tuple
from urllib.parse import quote, quote_plus, unquote


class Secrets:
    """Every spelling of the password and the URL that an error message or a traceback may contain."""

    GENERIC: List[Tuple[Any, Any]] = [
        # The scheme is bounded: without a bound, a long word without blanks takes time by the square of its length.
        (re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,40}://)[^\s\"'<>]*@"), r"\1***@"),
        # A string stays one, and a statement keeps its end: what is left of SQL is read again.
        (re.compile(r"((?:PG|MYSQL_|DB_)?PASS(?:WORD|WD)?|MYSQL_PWD)(\s*=\s*|\s+)(?:'(?:[^']|'')*'|(\")[^\"]*\")", re.I),
         lambda found: found[1] + found[2] + ("\"***\"" if found[3] else "'***'")),
        (re.compile(r"((?:PG|MYSQL_|DB_)?PASS(?:WORD|WD)|MYSQL_PWD)(\s*=\s*)(?:[^\s'\";]|;(?=\S))+", re.I), r"\1\2'***'"),
    ]

    def __init__(self):
        self.spellings = set()
        self.exact = None

    def add_url(self, url):
        self.spellings.update([url, url.replace("%", "%%"), repr(url)[1:-1]])
        self.exact = None
        authority = re.split(r"[?#]", url.partition("://")[2])[0]
        self.add_password(authority.rpartition("@")[0].partition(":")[2])
        for value in re.findall(r"[?&](?:\w*password|passwd)=([^&#]*)", url):
            self.add_password(value)

    def add_password(self, written):
        """`written` may be percent-encoded (in a URL) or plain; both readings are hidden."""
        for plain in {written, unquote(written), unquote(written.replace("+", " "))}:
            self._add_spellings(plain)
        # A password that is not encoded although it should be is torn apart by URL parsers, and the pieces end up in messages.
        if re.search(r"[@/]", written):
            self.spellings.update(piece for piece in re.split(r"[@:/]", written) if len(piece) > 2)

    def add_pieces(self, plain):
        """Of a long value the ends, too: some libraries cut what they show in the middle."""
        if len(plain) >= 20:
            self.spellings.update([plain[:8], plain[-8:]])
            self.exact = None

    def _add_spellings(self, plain):
        encoded = [quote(plain, safe=""), quote(plain), quote(plain, safe=" +"), quote_plus(plain)]
        lower = [re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), text) for text in encoded]
        doubled = [text.replace("%", "%%") for text in [plain, *encoded]]
        escaped = [repr(plain)[1:-1], ascii(plain)[1:-1], json.dumps(plain)[1:-1], repr(plain.encode("utf-8", "replace"))[2:-1]]
        quoted = [plain.replace("'", "''"), plain.replace("'", "\\'").replace("\\\\", "\\")]
        self.spellings.update([plain, *encoded, *lower, *doubled, *escaped, *quoted])
        self.exact = None

    def scrub(self, text):
        for pattern in self._patterns():
            text = pattern.sub("***", text)
        for pattern, replacement in self.GENERIC:
            text = pattern.sub(replacement, text)
        return text

    def _patterns(self):
        if self.exact is None:
            self.spellings.discard("")
            # A one-letter password would blank out every word that contains the letter: short ones only count as whole words.
            words = sorted(self.spellings, key=len, reverse=True)
            long = [re.escape(word) for word in words if len(word) > 3]
            short = [r"(?<!\w)%s(?!\w)" % re.escape(word) for word in words if len(word) <= 3]
            self.exact = [re.compile("|".join(group)) for group in (long, short) if group]
        return self.exact


SECRETS = Secrets()


SECRET_NAME = re.compile("PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL|AUTH|DSN", re.I)
HARMLESS_NAME = re.compile(r"PATH$|^(HOSTNAME|HOME|PWD|PYTHON_\w*|GPG_KEY|LS_COLORS|LANG|LC_\w+|KUBERNETES_\w+|\w+_(HOST|PORT|VERSION|SHA256))$")


def hide_environment(environ):
    """Other secrets of the pod: an error of env.py, or a revision's SQL, may repeat them."""
    for name, value in environ.items():
        if "://" in value and "@" in value:
            SECRETS.add_url(value)
        elif is_secret(name, value):
            SECRETS.add_password(value)
            SECRETS.add_pieces(value)
        elif SECRET_NAME.search(name) and re.search(r"\s", value):  # such as a key file, or JSON
            SECRETS.spellings.update(word for word in re.split(r"[\s\"',]+", value) if len(word) >= 12)
            SECRETS.exact = None


def is_secret(name, value):
    # A plain word or a path may be anything, and would be blanked out everywhere.
    if SECRET_NAME.search(name):
        return re.match(r"(?!/)(?=.*[^a-z])\S{8,}$|[a-z]{16,}$", value)
    # Without such a name, what looks as if a machine had made it up.
    return not HARMLESS_NAME.search(name) and re.match(r"(?![./])(?=.*\d)(?=.*[a-z])(?=.*[A-Z])[^\s:/]{16,}$|[0-9a-f]{32,}$", value)
