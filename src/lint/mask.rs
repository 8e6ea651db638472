//! Values taken out of data statements, so that a plan can be shown to people who may not see the data; no I/O.

use super::{
    Dialect,
    statements::{Statement, split},
    tokens::{Kind, Token},
};

/// What stands in the place of a value: a string, so that the statement can still be parsed.
const VALUE: &str = "'***'";

/// Statements whose values say what the schema is.
const DEFINES: [&str; 8] = ["CREATE", "ALTER", "DROP", "COMMENT", "RENAME", "TRUNCATE", "REINDEX", "ANALYZE"];
/// Words by which a definition can hold a password.
const SECRET: [&str; 8] = ["PASSWORD", "IDENTIFIED", "SUBSCRIPTION", "MAPPING", "SERVER", "ROLE", "USER", "CONNECTION"];

/// The text with the strings and numbers of its data statements masked, and those of definitions that can hold a
/// password. `0` and `1` stay: they tell `WHERE 1=1` and flags. Each statement ends with a semicolon and a blank line.
pub fn mask(sql: &str, dialect: Dialect) -> String {
    let mut out = String::with_capacity(sql.len());
    split(sql, dialect, |statements| statements.iter().for_each(|statement| add(&mut out, statement)));
    out.truncate(out.trim_end().len());
    out
}

fn add(out: &mut String, statement: &Statement<'_>) {
    let begins = statement.tokens.first().map_or(usize::MAX, |first| first.start);
    for comment in statement.comments.iter().filter(|comment| comment.start < begins) {
        out.push_str(comment.text);
        out.push('\n');
    }
    if !statement.tokens.is_empty() {
        out.push_str(&masked(statement));
        out.push_str(";\n\n");
    }
}

fn masked(statement: &Statement<'_>) -> String {
    let Some(first) = statement.tokens.first().filter(|_| !shows(statement)) else { return statement.sql.to_owned() };
    if statement.broken {
        // What looks like names may be the inside of a value.
        let words: Vec<&str> = statement.tokens.iter().take_while(|t| t.kind == Kind::Word).map(|t| t.text).collect();
        return format!("{} {VALUE} -- it has a quote that never ends", words.get(..3).unwrap_or(&words).join(" "));
    }
    let (mut out, mut done) = (String::new(), first.start);
    let of_statement = |at: usize| at - first.start;
    for (place, token) in statement.tokens.iter().enumerate() {
        let value = match token.kind {
            Kind::Text => true,
            Kind::Number => !matches!(token.text, "0" | "1") && !is_size(&statement.tokens[..place]),
            _ => false,
        };
        if value {
            // SQLite's .5 are two tokens.
            let dot = place.checked_sub(1).map(|before| &statement.tokens[before]);
            let dot = dot.filter(|dot| dot.is(".") && token.kind == Kind::Number && dot.end() == token.start);
            let start = dot.map_or(token.start, |dot| dot.start);
            out.push_str(&statement.sql[of_statement(done)..of_statement(start)]);
            out.push_str(VALUE);
            done = token.end();
        }
    }
    out.push_str(&statement.sql[of_statement(done)..]);
    out
}

/// A number that follows these says how large a type is, or how many rows are taken: no string may stand there.
fn is_size(before: &[Token<'_>]) -> bool {
    const TYPES: &[&str] = &[
        "BINARY",
        "BIT",
        "CHAR",
        "CHARACTER",
        "DATETIME",
        "DECIMAL",
        "FLOAT",
        "INTERVAL",
        "NCHAR",
        "NUMERIC",
        "NVARCHAR",
        "TIME",
        "TIMESTAMP",
        "VARBINARY",
        "VARCHAR",
        "VARYING",
    ];
    match before {
        [.., ty, open] if open.is("(") => TYPES.iter().any(|word| ty.is(word)),
        [.., ty, open, _, comma] if open.is("(") && comma.is(",") => TYPES.iter().any(|word| ty.is(word)),
        [.., word] => ["LIMIT", "OFFSET", "FIRST", "NEXT"].iter().any(|counts| word.is(counts)),
        [] => false,
    }
}

fn shows(statement: &Statement<'_>) -> bool {
    let defines = statement.tokens.first().is_some_and(|first| DEFINES.iter().any(|word| first.is(word)));
    defines && !statement.tokens.iter().any(|token| SECRET.iter().any(|word| token.is(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_data_statements_are_masked() {
        let pg = |sql| mask(sql, Dialect::PostgreSql);
        assert_eq!(
            pg("INSERT INTO t VALUES ('Ann', 4111, 1, $$x$$)"),
            "INSERT INTO t VALUES ('***', '***', 1, '***');"
        );
        assert_eq!(
            pg("UPDATE t SET a = E'x\\'y' WHERE 1=1; DELETE FROM t"),
            "UPDATE t SET a = '***' WHERE 1=1;\n\nDELETE FROM t;"
        );
        assert_eq!(mask("UPDATE t SET a = \"x\"", Dialect::MySql), "UPDATE t SET a = '***';");
        assert_eq!(mask("SELECT .5, a.b", Dialect::Sqlite), "SELECT '***', a.b;");
        let sized = "UPDATE t SET a = CAST(b AS NUMERIC(10, 2)) WHERE id IN (SELECT id FROM u LIMIT 500);";
        assert_eq!(pg(sized), sized);
        assert_eq!(pg("SELECT set_config('a', 'b', 4)"), "SELECT set_config('***', '***', '***');");
    }

    #[test]
    fn what_defines_stays_unless_it_can_hold_a_password() {
        let pg = |sql| mask(sql, Dialect::PostgreSql);
        let table = "CREATE TABLE t (a VARCHAR(20) DEFAULT 'x');";
        assert_eq!(pg(table), table);
        assert_eq!(pg("-- why\nALTER ROLE r PASSWORD 'x'"), "-- why\nALTER ROLE r PASSWORD '***';");
        let user = mask("CREATE USER u IDENTIFIED BY 'x'", Dialect::MariaDb);
        assert_eq!(user, "CREATE USER u IDENTIFIED BY '***';");
    }

    #[test]
    fn what_can_not_be_read_is_not_shown() {
        let masked = mask("UPDATE t SET a = 'secret", Dialect::PostgreSql);
        assert!(!masked.contains("secret") && masked.starts_with("UPDATE t SET"), "{masked}");
        let copy = mask("COPY t FROM stdin;\nsecret\t1\n\\.\nSELECT 1", Dialect::PostgreSql);
        assert_eq!(copy, "COPY t FROM stdin;\n\nSELECT 1;");
    }
}
