//! A lattice of column types: which holds all that another one does, and which change writes the table anew; no I/O.

mod kind;
#[cfg(test)]
mod tests;

pub(super) use kind::Kind;

use super::{
    Dialect,
    cursor::Cursor,
    tokens::{Kind as TokenKind, Token, lex},
};
use kind::{NO_LIMIT, named};

/// A column's type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Type {
    pub kind: Kind,
    pub size: Option<u64>,
    scale: u64,
    array: bool,
    /// Those of an ENUM or SET, as they are written.
    values: Vec<String>,
    /// Without its size.
    pub name: String,
    /// With its size, in any order.
    pub full: String,
}

/// Words that end a type.
const AFTER_TYPE: &[&str] = &[
    "NOT",
    "NULL",
    "DEFAULT",
    "PRIMARY",
    "UNIQUE",
    "CHECK",
    "REFERENCES",
    "CONSTRAINT",
    "COLLATE",
    "GENERATED",
    "AS",
    "AUTO_INCREMENT",
    "AUTOINCREMENT",
    "COMMENT",
    "FIRST",
    "AFTER",
    "ON",
    "STORAGE",
    "COMPRESSION",
    "USING",
    "CHARACTER SET",
    "CHARSET",
    "KEY",
    "INVISIBLE",
    "VISIBLE",
    "VIRTUAL",
    "STORED",
    "PERSISTENT",
    "SRID",
    "WITH SYSTEM",
    "WITHOUT SYSTEM",
    "COLUMN_FORMAT",
];

impl Type {
    /// Reads the type that begins here.
    pub fn read(at: &mut Cursor<'_>) -> Self {
        let (mut words, mut arguments): (String, &[Token<'_>]) = (String::new(), &[]);
        while let Some(token) = at.tokens.first() {
            if at.at_any(AFTER_TYPE) || token.kind == TokenKind::Text || token.is(",") || token.is("=") {
                break;
            }
            if let Some(inside) = at.parentheses() {
                arguments = inside;
                continue;
            }
            if !words.is_empty() && token.kind != TokenKind::Symbol && !words.ends_with('.') {
                words.push(' ');
            }
            words.push_str(&token.text.to_lowercase());
            at.skip();
        }
        Self::of(&words, arguments, at.dialect)
    }

    /// The type that a catalog names so.
    pub fn parse(text: &str, dialect: Dialect) -> Self {
        let lexed = lex(text, dialect);
        Self::read(&mut Cursor::new(&lexed.tokens, dialect))
    }

    fn of(words: &str, arguments: &[Token<'_>], dialect: Dialect) -> Self {
        let numbers: Vec<u64> = arguments.iter().filter_map(|t| t.text.parse().ok()).collect();
        let values = arguments.iter().filter(|t| t.kind == TokenKind::Text).map(|t| t.text.to_owned()).collect();
        let array = words.contains('[') || words.ends_with(" array");
        let plain = words.split('[').next().unwrap_or_default().trim_end_matches(" array").trim();
        let plain = plain.strip_prefix("pg_catalog.").unwrap_or(plain);
        let plain = plain.trim_end_matches(" zerofill").trim_end_matches(" binary");
        let unsigned = plain.ends_with(" unsigned");
        let plain = plain.trim_end_matches(" unsigned").trim_end_matches(" signed");
        let mysql = dialect.is_mysql();
        let mut kind = named(plain, &numbers, mysql);
        if let (Kind::Int(bits), true) = (&kind, unsigned) {
            kind = Kind::Unsigned(*bits);
        }
        let scale = numbers.get(1).copied().unwrap_or_default();
        let size = match kind {
            // A display width, or what chose the kind.
            Kind::Int(_) | Kind::Unsigned(_) | Kind::Float(_) | Kind::Bool | Kind::Year => None,
            Kind::Char | Kind::Bit | Kind::Binary if plain != "bpchar" => Some(numbers.first().copied().unwrap_or(1)),
            Kind::Numeric if mysql => Some(numbers.first().copied().unwrap_or(10)),
            Kind::Time | Kind::Timestamp | Kind::TimestampTz if mysql => Some(numbers.first().copied().unwrap_or(0)),
            Kind::Text(_) | Kind::Blob(_) if mysql => None,
            _ => numbers.first().copied(),
        };
        let full = match arguments {
            [] => words.to_owned(),
            _ => format!("{words}({})", arguments.iter().map(|t| t.text).collect::<String>()),
        };
        Self { kind, size, scale, array, values, name: words.to_owned(), full }
    }

    /// As it is said to people: with its size, and without the values of an ENUM.
    pub fn shown(&self) -> &str {
        if self.values.is_empty() { &self.full } else { &self.name }
    }

    /// PostgreSQL numbers its rows.
    pub fn is_serial(&self) -> bool {
        matches!(self.name.as_str(), "serial" | "smallserial" | "bigserial" | "serial2" | "serial4" | "serial8")
    }

    /// Every value of another type is a value of this one too.
    fn holds(&self, old: &Self) -> bool {
        use Kind::*;
        if self.array != old.array {
            return matches!(self.kind, Text(NO_LIMIT)) && !self.array;
        }
        let digits = match old.kind {
            Bool => Some(1),
            Int(bits) | Unsigned(bits) => Some(u64::from(bits) * 302 / 1000 + 1),
            _ => None,
        };
        match (&old.kind, &self.kind) {
            (Enum, Enum) | (Set, Set) => old.values.iter().all(|value| self.values.contains(value)),
            (Other(a), Other(b)) => a == b && self.size == old.size,
            (Int(a), Int(b)) | (Unsigned(a), Unsigned(b)) | (Float(a), Float(b)) => b >= a,
            (Unsigned(a), Int(b)) => b > a,
            (Int(a) | Unsigned(a), Float(b)) => a + 8 * u32::from(*a == 32) <= b * 8 - if *b == 8 { 11 } else { 8 },
            (Bool, Int(_) | Unsigned(_)) => true,
            (Int(_) | Unsigned(_), Numeric) => {
                self.size.is_none_or(|size| digits.is_some_and(|digits| size.saturating_sub(self.scale) >= digits))
            }
            (Numeric, Numeric) => match (old.size, self.size) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(old_size), Some(size)) => {
                    let whole = old_size.saturating_sub(old.scale);
                    self.scale >= old.scale && size.saturating_sub(self.scale) >= whole
                }
            },
            (Bool | Int(_) | Unsigned(_), Varchar | Char) => {
                self.size.is_none_or(|size| digits.is_some_and(|digits| size > digits))
            }
            (Char | Varchar, Char | Varchar) | (Binary | Varbinary, Varbinary) | (Varbit | Bit, Varbit) => {
                self.is_as_long(old)
            }
            (Binary, Binary) | (Bit, Bit) => self.size == old.size,
            (Char | Varchar, Text(bits)) => old.size.map_or(*bits == NO_LIMIT, |size| size * 4 < 1 << bits),
            (Binary | Varbinary, Blob(bits)) => old.size.is_none_or(|size| size < 1 << bits),
            (Text(a), Text(b)) | (Blob(a), Blob(b)) => b >= a,
            (Text(NO_LIMIT), Varchar) | (Citext, Varchar) => self.size.is_none(),
            (Uuid | Inet | Cidr, Varchar) => {
                self.size.is_none_or(|size| size >= 43 || (old.kind == Uuid && size >= 36))
            }
            (Enum, Char | Varchar) => {
                let longest = old.values.iter().map(|value| value.chars().count().saturating_sub(2) as u64).max();
                self.size.is_none_or(|size| longest.is_some_and(|longest| longest <= size))
            }
            (_, Varchar) if !old.array => self.size.is_none(),
            (_, Text(_) | Citext) => !matches!(old.kind, Blob(_) | Binary | Varbinary),
            (Time, Time)
            | (Timestamp, Timestamp)
            | (TimestampTz, TimestampTz)
            | (TimeTz, TimeTz)
            | (Interval, Interval) => self.is_as_long(old),
            (Date, Timestamp | TimestampTz) | (Timestamp, TimestampTz) | (Year, Int(16..)) => true,
            (Json, Jsonb) | (Jsonb, Json) | (Cidr, Inet) => true,
            (a, b) => a == b,
        }
    }

    fn affinity(&self) -> Affinity {
        let has = |parts: &[&str]| parts.iter().any(|part| self.full.contains(part));
        match () {
            () if has(&["int"]) => Affinity::Integer,
            () if has(&["char", "clob", "text"]) => Affinity::Text,
            () if self.full.is_empty() || has(&["blob"]) => Affinity::Blob,
            () if has(&["real", "floa", "doub"]) => Affinity::Real,
            () => Affinity::Numeric,
        }
    }

    fn is_as_long(&self, old: &Self) -> bool {
        match (old.size, self.size) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(old), Some(new)) => new >= old,
        }
    }

    /// PostgreSQL keeps the rows as they are.
    fn is_free_in_postgres(&self, old: &Self) -> bool {
        use Kind::*;
        if self.array || old.array {
            return self.same(old);
        }
        match (&old.kind, &self.kind) {
            (Varchar | Text(_), Varchar | Text(_)) => {
                self.size.is_none() || (old.size.is_some() && self.is_as_long(old))
            }
            (Citext | Varchar | Text(_), Text(_) | Citext) | (Citext, Varchar) => self.size.is_none(),
            (Xml, Varchar | Text(_)) => self.size.is_none(),
            (Cidr, Inet) => true,
            (Numeric, Numeric) => {
                self.size.is_none() || (old.size.is_some() && self.scale == old.scale && self.is_as_long(old))
            }
            (Timestamp, Timestamp)
            | (TimestampTz, TimestampTz)
            | (Time, Time)
            | (TimeTz, TimeTz)
            | (Interval, Interval)
            | (Varbit, Varbit) => self.is_as_long(old) || self.size == Some(6),
            _ => self.same(old),
        }
    }

    /// MySQL and MariaDB change only what their catalog says. More than 255 bytes need a longer count before them.
    fn is_free_in_mysql(&self, old: &Self, mariadb: bool) -> bool {
        use Kind::*;
        let bytes = |size: Option<u64>| size.unwrap_or_default() * 4;
        match (&old.kind, &self.kind) {
            (Varchar, Varchar) | (Varbinary, Varbinary) => {
                let (before, after) = (bytes(old.size), bytes(self.size));
                self.is_as_long(old) && (mariadb || (before > 255) == (after > 255))
            }
            (Enum, Enum) | (Set, Set) => {
                let few = |type_: &Self| type_.values.len() <= if self.kind == Enum { 255 } else { 8 };
                self.values.starts_with(&old.values) && few(self) == few(old)
            }
            _ => self.same(old),
        }
    }

    fn same(&self, old: &Self) -> bool {
        (&self.kind, self.size, self.scale, self.array, &self.values)
            == (&old.kind, old.size, old.scale, old.array, &old.values)
    }
}

/// A yes, a no, or what nobody knows without the old type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    Perhaps,
    No,
}

/// What becoming another type does to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Values are cut, rounded or refused.
    pub narrows: Answer,
    /// All rows are written anew.
    pub rewrites: Answer,
}

/// The change from one type, as far as it is known, to another.
pub(super) fn change(old: Option<&Type>, new: &Type, dialect: Dialect) -> Change {
    if dialect == Dialect::Sqlite {
        return Change { narrows: casts_in_sqlite(old, new), rewrites: Answer::Yes };
    }
    let Some(old) = old else {
        let narrows = if may_be_narrower(new, dialect) { Answer::Perhaps } else { Answer::No };
        let free = !new.array && new.size.is_none() && matches!(new.kind, Kind::Text(_) | Kind::Varchar);
        let sized = matches!(new.kind, Kind::Varchar) && new.size.is_some();
        let free = if dialect.is_mysql() { sized } else { free };
        return Change { narrows, rewrites: if free { Answer::Perhaps } else { Answer::Yes } };
    };
    let free = match dialect {
        Dialect::MySql | Dialect::MariaDb => new.is_free_in_mysql(old, dialect == Dialect::MariaDb),
        Dialect::PostgreSql | Dialect::Sqlite => new.is_free_in_postgres(old),
    };
    let answer = |yes: bool| if yes { Answer::Yes } else { Answer::No };
    Change { narrows: answer(!new.holds(old)), rewrites: answer(!free) }
}

/// In SQLite only the affinity of a type counts: a copy cuts where it casts to numbers what was none.
fn casts_in_sqlite(old: Option<&Type>, new: &Type) -> Answer {
    match (old.map(Type::affinity), new.affinity()) {
        (_, Affinity::Text | Affinity::Blob) => Answer::No,
        (None, _) => Answer::Perhaps,
        (Some(old), new) if old == new || (old == Affinity::Integer && new != Affinity::Blob) => Answer::No,
        _ => Answer::Yes,
    }
}

/// SQLite's rules for the name of a type, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// There is a kindred type that holds more than this one.
fn may_be_narrower(new: &Type, dialect: Dialect) -> bool {
    use Kind::*;
    let mysql = dialect.is_mysql();
    match new.kind {
        Int(bits) => bits < 64,
        Unsigned(_) | Bool | Float(_) | Char | Bit | Date | Time | Money | Interval | Year | Enum | Set | Timestamp => {
            true
        }
        Varchar | Varbinary | Binary | Varbit => new.size.is_some(),
        TimestampTz => mysql || new.size.is_some(),
        Numeric => mysql || new.size.is_some(),
        Text(bits) | Blob(bits) => mysql && bits < 32,
        _ => false,
    }
}

/// It holds what any other type does, as far as people cast to it.
pub(super) fn is_wide(new: &Type) -> bool {
    use Kind::*;
    let wide = matches!(new.kind, Text(32..) | Blob(32..) | Varchar | Json | Jsonb | Uuid | Inet | Cidr | TimestampTz);
    wide && new.size.is_none()
}
