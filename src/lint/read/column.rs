//! A column's definition: type, default, constraints; no I/O.

use super::{Reading, about};
use crate::lint::{
    Code, Dialect, Severity,
    cursor::{Cursor, Name},
    tokens::{Kind, Token},
};

pub(super) struct Column<'a> {
    pub name: String,
    /// The type's words in lower case, without its size.
    pub ty: String,
    /// The type has a size, such as `(20)`.
    pub sized: bool,
    /// What follows the type.
    rest: Cursor<'a>,
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

impl<'a> Column<'a> {
    pub fn read(mut at: Cursor<'a>) -> Option<Self> {
        let name = at.part()?;
        let (ty, sized) = read_type(&mut at);
        Some(Self { name, ty, sized, rest: at })
    }

    /// What a change to this definition can lose.
    pub fn narrowing(&self) -> Option<(Severity, String)> {
        let charset = self.rest.after("CHARACTER SET").or_else(|| self.rest.after("CHARSET"));
        match charset {
            Some(charset) if !holds_all_letters(&charset) => {
                Some((Severity::High, "letters that the character set lacks are lost or refused".to_owned()))
            }
            _ => narrowing(&self.ty, self.sized, false, self.rest.dialect),
        }
    }

    fn has(&self, words: &str) -> bool {
        self.rest.has(words)
    }

    pub fn is_not_null(&self) -> bool {
        self.has("NOT NULL")
    }

    /// The database fills it itself.
    fn fills_itself(&self) -> bool {
        self.is_serial()
            || self.has("AUTO_INCREMENT")
            || self.is_generated()
            || self.default().is_some_and(|default| !default.at("NULL"))
    }

    /// Rows that are there get one value: a constant default, or what MySQL takes where there is none.
    fn fills_all_alike(&self) -> bool {
        match self.default() {
            // What a function gives may differ from row to row.
            Some(default) => {
                !default.at("NULL") && !default.at("(") && !default.tokens.get(1).is_some_and(|t| t.is("("))
            }
            None => self.rest.dialect.is_mysql() && self.is_not_null() && !self.fills_itself(),
        }
    }

    /// Every row has NULL there once it is added.
    pub fn is_empty(&self) -> bool {
        !self.is_not_null() && !self.has("PRIMARY KEY") && !self.fills_itself()
    }

    /// Why SQLite refuses to add it to a table that has rows.
    fn refused_by_sqlite(&self) -> Option<&'static str> {
        let default = self.default().filter(|default| !default.at("NULL"));
        if self.has("STORED") {
            Some("it can't add a stored column")
        } else if default.as_ref().is_some_and(|default| !is_constant(default)) {
            Some("its default is not constant")
        } else if default.is_some() && self.has("REFERENCES") {
            Some("it refers to a table and has a default, if foreign_keys is on")
        } else {
            None
        }
    }

    fn is_serial(&self) -> bool {
        self.ty.ends_with("serial") && !self.ty.contains('.')
            || matches!(self.ty.as_str(), "serial2" | "serial4" | "serial8")
    }

    fn is_generated(&self) -> bool {
        self.has("GENERATED") || (self.rest.dialect != Dialect::PostgreSql && self.has("AS"))
    }

    fn default(&self) -> Option<Cursor<'a>> {
        self.rest.after("DEFAULT")
    }
}

/// The columns in the list that follows, as for an index; expressions are left out.
pub(super) fn listed(at: &Cursor<'_>) -> Vec<String> {
    let Some(open) = at.tokens.iter().position(|t| t.is("(")) else { return Vec::new() };
    let mut list = Cursor::new(&at.tokens[open..], at.dialect);
    let items = list.parentheses().map(|inside| Cursor::new(inside, at.dialect).list()).unwrap_or_default();
    let plain = |mut item: Cursor<'_>| {
        let name = item.part()?;
        (item.is_done() || item.at_any(&["ASC", "DESC", "NULLS"])).then_some(name)
    };
    items.into_iter().filter_map(plain).collect()
}

/// A default in SQLite that is the same at all times.
fn is_constant(default: &Cursor<'_>) -> bool {
    if default.at_any(&["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"]) {
        return false;
    }
    let Some(inside) = default.clone().parentheses() else { return true };
    // DEFAULT (0) is what Alembic writes for a text as default.
    let literal = |token: &Token<'_>| {
        matches!(token.kind, Kind::Text | Kind::Number) || ["NULL", "TRUE", "FALSE"].iter().any(|word| token.is(word))
    };
    match inside {
        [one] => literal(one),
        [sign, one] => (sign.is("-") || sign.is("+")) && literal(one),
        _ => false,
    }
}

/// Reads a type; its words in lower case, and whether it has a size.
pub(super) fn read_type(at: &mut Cursor<'_>) -> (String, bool) {
    let (mut words, mut sized) = (String::new(), false);
    while let Some(token) = at.tokens.first() {
        let ends = at.at_any(AFTER_TYPE) || token.kind == Kind::Text || token.is(",");
        if ends || token.is("=") {
            break;
        }
        if token.is("(") {
            let inside = at.parentheses();
            sized |= inside.is_some();
            continue;
        }
        if !words.is_empty() && token.kind != Kind::Symbol && !words.ends_with('.') {
            words.push(' ');
        }
        words.push_str(&token.text.to_lowercase());
        at.skip();
    }
    (words, sized)
}

/// ADD COLUMN on a table.
pub(super) fn add(at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    let dialect = at.dialect;
    let shown = at.shown();
    let Some(column) = Column::read(at) else {
        return out.unclear(format!("a column that can't be read: {shown}"));
    };
    let (name, on) = (&column.name, about(table));
    let postgres = dialect == Dialect::PostgreSql;
    let key = column.has("PRIMARY KEY");
    if (column.is_not_null() || key) && !column.fills_itself() {
        let why = match dialect {
            Dialect::PostgreSql => "it fails where there are rows, and so do INSERTs that leave it out",
            Dialect::Sqlite => "SQLite refuses it",
            _ => "old rows silently get 0 or '', and INSERTs that leave it out fail in strict mode",
        };
        out.add(Code::C03, on.clone(), format!("the new column {name} is required and has no default: {why}"));
    }
    let rewrite = if column.is_serial() && postgres {
        Some("a serial column numbers every row")
    } else if column.has("AUTO_INCREMENT") || (postgres && column.has("AS IDENTITY")) {
        Some("it numbers every row")
    } else if dialect != Dialect::Sqlite && (column.has("STORED") || column.has("PERSISTENT")) {
        Some("a stored generated column is computed for every row")
    } else if dialect.is_mysql() && column.default().is_some_and(|default| default.at("(")) {
        Some("an expression as default is computed for every row")
    } else {
        None
    };
    if let Some(why) = rewrite {
        out.add(Code::B06, on.clone(), format!("adding {name} rewrites the table: {why}"));
    }
    if let Some(why) = column.refused_by_sqlite().filter(|_| dialect == Dialect::Sqlite) {
        out.add(Code::F01, on.clone(), format!("SQLite refuses {name} where there are rows: {why}"));
    }
    if key || column.has("UNIQUE") || (dialect.is_mysql() && column.has("KEY") && !column.has("UNIQUE KEY")) {
        if dialect == Dialect::Sqlite {
            out.add(Code::F01, on.clone(), format!("SQLite can't add {name} as a key"));
        } else {
            out.add(Code::B04, on.clone(), format!("the key on {name} is built while the table is locked"));
            if column.fills_all_alike() {
                out.add(Code::F01, on.clone(), format!("every row gets the same {name}: a key fails at two rows"));
            }
        }
    }
    inline_constraints(&column, table, out);
    if postgres && column.ty == "json" {
        out.add(Code::C06, on, format!("{name} is json: DISTINCT, GROUP BY and = fail on it"));
    }
}

fn inline_constraints(column: &Column<'_>, table: &Option<Name>, out: &mut Reading) {
    let (name, on) = (&column.name, about(table));
    if column.has("REFERENCES") {
        match column.rest.dialect {
            Dialect::PostgreSql | Dialect::MariaDb => {
                out.add(
                    Code::B03,
                    on.clone(),
                    format!("the foreign key of {name} locks both tables while it is checked"),
                );
            }
            Dialect::MySql => out.add(Code::O03, on.clone(), ignored_reference(name)),
            Dialect::Sqlite => {}
        }
    }
    if column.has("CHECK") && column.rest.dialect != Dialect::Sqlite {
        out.add(Code::B03, on.clone(), format!("the CHECK of {name} is tried on every row while the table is locked"));
    }
    if column.has("CHECK") && column.rest.dialect == Dialect::Sqlite && column.default().is_some() {
        out.add(Code::F01, on, format!("the CHECK of {name} is tried on every row"));
    }
}

pub(super) fn ignored_reference(column: &str) -> String {
    format!("MySQL before 9.0 ignores REFERENCES in the definition of {column}: there is no foreign key")
}

/// The name of MySQL's character set that stands here is one of Unicode's, or says that there is none.
pub(super) fn holds_all_letters(charset: &Cursor<'_>) -> bool {
    let name = charset.tokens.iter().find(|t| !t.is("=")).map(|t| t.text.trim_matches(['\'', '"', '`']));
    let whole = ["utf8mb4", "utf16", "utf16le", "utf32", "binary", "default"];
    name.is_none_or(|name| whole.iter().any(|set| name.eq_ignore_ascii_case(set)))
}

/// USING takes the whole value of the column: it stands there alone, cast to this type or to one that holds
/// everything, read in a time zone, or as JSON.
pub(super) fn keeps_values(using: &Cursor<'_>, column: &str, ty: &str) -> bool {
    let mut at = using.clone();
    while let Some(inside) = at.clone().parentheses().filter(|inside| inside.len() + 2 == at.tokens.len()) {
        at = Cursor::new(inside, at.dialect);
    }
    let holds = |mut cast: Cursor<'_>| {
        let (to, sized) = read_type(&mut cast);
        cast.is_done() && (to == ty || (!sized && WIDE.contains(&to.trim_end_matches("[]"))))
    };
    if at.eat_any(&["CAST", "to_json", "to_jsonb"]).is_some() {
        let Some(inside) = at.parentheses().filter(|_| at.is_done()) else { return false };
        let mut inside = Cursor::new(inside, at.dialect);
        return inside.part().is_some_and(|name| name == column)
            && (inside.is_done() || (inside.eat("AS") && holds(inside)));
    }
    if at.name().is_none_or(|name| name.name != column) {
        return false;
    }
    if at.eat("AT TIME ZONE") {
        return at.tokens.len() == 1;
    }
    let rest = at.tokens;
    let casts = rest.split(|token| token.is(":")).filter(|cast| !cast.is_empty());
    (rest.is_empty() || rest[0].is(":")) && casts.map(|cast| Cursor::new(cast, at.dialect)).all(holds)
}

/// Types that hold what any other type does.
const WIDE: &[&str] = &[
    "text",
    "varchar",
    "character varying",
    "json",
    "jsonb",
    "bytea",
    "longtext",
    "longblob",
    "uuid",
    "inet",
    "cidr",
    "timestamptz",
    "timestamp with time zone",
];

/// What a change to this type can lose; the old type is not in the SQL, so all but a cast may also be harmless.
pub(super) fn narrowing(ty: &str, sized: bool, cast: bool, dialect: Dialect) -> Option<(Severity, String)> {
    const NARROW: &[&str] = &[
        "tinyint",
        "smallint",
        "mediumint",
        "int",
        "integer",
        "int2",
        "int4",
        "date",
        "time",
        "real",
        "float4",
        "float",
        "boolean",
        "bool",
        "char",
        "character",
        "bit",
        "year",
        "enum",
        "set",
        "tinytext",
        "tinyblob",
        "money",
        "interval",
        "timestamp",
        "timestamp without time zone",
        "double precision",
        "double",
        "float8",
    ];
    const SIZED: &[&str] = &[
        "varchar",
        "character varying",
        "char varying",
        "nvarchar",
        "varbinary",
        "binary",
        "numeric",
        "decimal",
        "dec",
        "bpchar",
        "bit varying",
        "varbit",
        "text",
        "blob",
        "timestamptz",
        "timestamp with time zone",
        "datetime",
    ];
    const MYSQL: &[&str] = &["text", "blob", "decimal", "numeric", "dec", "fixed", "datetime"];
    let ty = ty.trim_end_matches("[]");
    // Elsewhere these have no smaller or larger kin.
    let kin = dialect.is_mysql() && (MYSQL.contains(&ty) || ty.ends_with(" unsigned"));
    let ty = ty.trim_end_matches(" unsigned");
    let narrow = kin || NARROW.contains(&ty) || (sized && SIZED.contains(&ty));
    if cast && (sized || !WIDE.contains(&ty)) {
        return Some((Severity::Critical, "a cast may cut or round values without an error".to_owned()));
    }
    narrow.then(|| (Severity::High, "unless the old type was narrower, values are cut, rounded or refused".to_owned()))
}
