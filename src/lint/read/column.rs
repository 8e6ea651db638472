//! A column's definition: type, default, constraints; no I/O.

use super::{Reading, about};
use crate::lint::{
    Code, Dialect, Severity,
    cursor::{Cursor, Name},
    tokens::Kind,
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
    } else if column.has("STORED") || column.has("PERSISTENT") {
        Some("a stored generated column is computed for every row")
    } else if dialect.is_mysql() && column.default().is_some_and(|default| default.at("(")) {
        Some("an expression as default is computed for every row")
    } else {
        None
    };
    if let Some(why) = rewrite {
        out.add(Code::B06, on.clone(), format!("adding {name} rewrites the table: {why}"));
    }
    if key || column.has("UNIQUE") || (dialect.is_mysql() && column.has("KEY") && !column.has("UNIQUE KEY")) {
        if dialect == Dialect::Sqlite {
            out.add(Code::F01, on.clone(), format!("SQLite can't add {name} as a key"));
        } else {
            out.add(Code::B04, on.clone(), format!("the key on {name} is built while the table is locked"));
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

/// What a change to this type can lose; the old type is not in the SQL, so all but a cast may also be harmless.
pub(super) fn narrowing(ty: &str, sized: bool, cast: bool) -> Option<(Severity, String)> {
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
        "datetime",
    ];
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
    let ty = ty.trim_end_matches("[]").trim_end_matches(" unsigned");
    let narrow = NARROW.contains(&ty) || (sized && SIZED.contains(&ty));
    if cast && (sized || !WIDE.contains(&ty)) {
        return Some((Severity::Critical, "a cast may cut or round values without an error".to_owned()));
    }
    narrow.then(|| (Severity::High, "unless the old type was narrower, values are cut, rounded or refused".to_owned()))
}
