"""Every spelling of a secret, and its removal from a text. No I/O."""

import json
import re
from urllib.parse import quote, quote_plus, unquote


class Secrets:
    """Every spelling of the password and the URL that an error message or a traceback may contain."""

    GENERIC = [
        # The scheme is bounded: without a bound, a long word without blanks takes time by the square of its length.
        (re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,40}://)[^\s\"'<>]*@"), r"\1***@"),
        (re.compile(r"((?:PG|MYSQL_|DB_)?PASS(?:WORD|WD)?|MYSQL_PWD)(\s*=\s*|\s+)('[^']*'|\"[^\"]*\")", re.I), r"\1\2***"),
        (re.compile(r"((?:PG|MYSQL_|DB_)?PASS(?:WORD|WD)|MYSQL_PWD)(\s*=\s*)[^\s'\"]+", re.I), r"\1\2***"),
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


def hide_environment(environ):
    """A revision may put a password from the environment into its SQL."""
    for name, value in environ.items():
        # A plain word or a path may be anything, and would be blanked out everywhere.
        if re.search("PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL", name, re.I) and re.match(r"(?!/)(?=.*[^a-z])\S{8,}$|[a-z]{16,}$", value):
            SECRETS.add_password(value)
