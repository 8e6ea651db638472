//! The listing of the databases of a MySQL or MariaDB server; does network I/O.

use super::{
    Endpoint, ProbeError, VersionTable,
    engines::mysql::{begin, quoted_name, session},
    fleet::{MOST_OF_A_ROW, MOST_TARGETS},
};
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Column, Executor, Row, SqlSafeStr, Statement, mysql::MySqlConnection};
use std::{collections::BTreeMap, time::Duration};

const DATABASES: &str = include_str!("sql/mysql_databases.sql");

/// The names of the databases that match a regular expression of the server's.
pub async fn list(
    endpoint: &Endpoint,
    table: &VersionTable,
    pattern: &str,
    timeout: Duration,
) -> Result<Vec<String>, ProbeError> {
    session(endpoint, table, timeout, async |connection: &mut MySqlConnection| {
        begin(connection, timeout).await?;
        let rows = sqlx::query(DATABASES).persistent(false).bind(pattern).fetch_all(connection).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?)
    })
    .await
}

/// The rows of a query of the user's, each by its columns as text; `None` for one that is too long. The server cuts each column, and
/// one row after the other is read.
pub async fn query(
    endpoint: &Endpoint,
    table: &VersionTable,
    sql: &str,
    timeout: Duration,
) -> Result<Vec<Option<BTreeMap<String, String>>>, ProbeError> {
    session(endpoint, table, timeout, async |connection: &mut MySqlConnection| {
        begin(connection, timeout).await?;
        let prepared = (&mut *connection).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
        let names: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let statement = cut(sql, &names);
        // What is asked without being prepared is answered in text.
        let mut rows = connection.fetch(AssertSqlSafe(statement));
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let mut columns = BTreeMap::new();
            for (number, name) in names.iter().enumerate() {
                if let Some(text) = row.try_get_unchecked::<Option<String>, _>(number)? {
                    columns.insert(name.clone(), text);
                }
            }
            let length: usize = columns.iter().map(|(name, text)| name.len() + text.len()).sum();
            found.push((length <= MOST_OF_A_ROW).then_some(columns));
        }
        Ok(found)
    })
    .await
}

/// The query with each column as text of a bounded length.
fn cut(sql: &str, names: &[String]) -> String {
    let column = |name: &String| {
        let name = quoted_name(name);
        format!("LEFT(CONVERT({name} USING utf8mb4), {}) AS {name}", MOST_OF_A_ROW + 1)
    };
    let columns: Vec<String> = names.iter().map(column).collect();
    format!("SELECT {} FROM ({sql}\n) AS t LIMIT {}", columns.join(", "), MOST_TARGETS + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_is_cut_by_the_server() {
        let cut = cut("SELECT a AS `x``y` FROM t -- all", &["x`y".to_owned()]);
        assert_eq!(
            cut,
            "SELECT LEFT(CONVERT(`x``y` USING utf8mb4), 1025) AS `x``y` FROM (SELECT a AS `x``y` FROM t -- all\n) AS t LIMIT 10001"
        );
    }
}
