//! The look at the version rows of every target; does network I/O and changes nothing.

use super::{
    facts::Facts,
    member::{Member, Memory, Seen, Target},
    observe::{LOOK, Server, in_turn},
};
use crate::{
    api::{Problem, Reason},
    db::{
        Endpoint, Sizes, VersionRows, VersionTable,
        fleet::{self, SchemaRows},
    },
    reconcile::Context,
};
use futures::{StreamExt, stream};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Connections at a time to a server with a database for each target.
const CONNECTIONS: usize = 4;

/// The version rows of every target; `table` is the version table as the inspection has found it for the example.
pub(super) async fn read(
    servers: &BTreeMap<String, Server>,
    found: Vec<Target>,
    table: &VersionTable,
    context: &Context,
    facts: &mut Facts,
) -> Result<(), Problem> {
    let memory: HashMap<String, Memory> = facts.lines.iter().map(|line| (line.key(), line.memory.clone())).collect();
    let mut members: Vec<Member> = Vec::with_capacity(found.len());
    let mut places: BTreeMap<(String, Option<String>), Vec<Target>> = BTreeMap::new();
    let member = |target: Target, seen: Seen| {
        let memory = memory.get(&target.key()).cloned().unwrap_or_default();
        Member { target, seen, memory }
    };
    for target in found {
        if !target.is_well_named() {
            let why =
                "its name is none that a target may have: letters, digits, and _ . - after the first, 63 at the most";
            members.push(member(target, Seen::Unreadable(Problem::new(Reason::InvalidSpec, why))));
            continue;
        }
        if target.schema.is_some()
            && servers.get(&target.server).is_some_and(|known| !fleet::has_schemas(&known.endpoint))
        {
            let problem = Problem::new(Reason::InvalidSpec, "its server has no schemas beside its databases");
            members.push(member(target, Seen::Unreadable(problem)));
            continue;
        }
        // Schemas of one database are read together.
        places.entry((target.server.clone(), target.database.clone())).or_default().push(target);
    }
    let example = facts.example.clone();
    let own_schema = |target: &Target| schema_of(target, example.as_ref(), table.schema.as_deref());
    let looks = stream::iter(places).map(|((server, database), targets)| {
        let server = servers.get(&server);
        let schema = targets.iter().find(|target| target.schema.is_none()).and_then(&own_schema);
        let table = VersionTable { schema, ..table.clone() };
        async move {
            let Some(server) = server else {
                return (targets, Err(Problem::new(Reason::InvalidSpec, "no such server")));
            };
            let endpoint = match &database {
                Some(database) => server.endpoint.clone().in_database(database),
                None => server.endpoint.clone(),
            };
            let look = read_database(server, &endpoint, &targets, &table, context).await;
            (targets, look)
        }
    });
    let mut looks = std::pin::pin!(looks.buffer_unordered(CONNECTIONS));
    let mut sizes = Sizes::default();
    while let Some((targets, look)) = looks.next().await {
        match look {
            Ok(look) => {
                for (table, size) in look.sizes {
                    let largest = sizes.entry(table).or_default();
                    largest.rows = largest.rows.max(size.rows);
                    largest.invalid_indexes.extend(size.invalid_indexes);
                }
                facts.server_version = look.server_version;
                members.extend(targets.into_iter().zip(look.seen).map(|(target, seen)| member(target, seen)));
            }
            // A server that does not answer is none of its tenants' fault.
            Err(problem) if targets.len() > 1 || problem.reason == Reason::DatabaseUnreachable => return Err(problem),
            Err(problem) => {
                members.extend(targets.into_iter().map(|target| member(target, Seen::Unreadable(problem.clone()))));
            }
        }
    }
    members.sort_by_key(|member| member.target.key());
    facts.members = members;
    facts.sizes = Some(sizes);
    Ok(())
}

/// The schema of the version table of a target that is a whole database: the one that env.py has chosen for the example. It may be
/// named after each target.
fn schema_of(target: &Target, example: Option<&Target>, chosen: Option<&str>) -> Option<String> {
    let (example, chosen) = (example.filter(|example| example.schema.is_none())?, chosen?);
    if example.database.as_deref() == Some(chosen) {
        return target.database.clone();
    }
    Some(if example.name == chosen { target.name.clone() } else { chosen.to_owned() })
}

/// What was read of the targets in one database, in their order.
struct DatabaseLook {
    seen: Vec<Seen>,
    sizes: Sizes,
    server_version: String,
}

async fn read_database(
    server: &Server,
    endpoint: &Endpoint,
    targets: &[Target],
    table: &VersionTable,
    context: &Context,
) -> Result<DatabaseLook, Problem> {
    let names: Vec<String> = targets.iter().filter_map(|target| target.schema.clone()).collect();
    let whole = targets.iter().any(|target| target.schema.is_none());
    let mut look = fleet::SchemasLook::default();
    if !names.is_empty() {
        look = in_turn(server, context, fleet::schemas(endpoint, &table.name, &names, LOOK)).await?;
    }
    let mut own = None;
    if whole {
        let snapshot = in_turn(server, context, context.process.prober.probe(endpoint, table, LOOK)).await?;
        let sizes = in_turn(server, context, context.process.prober.sizes(endpoint, table, LOOK)).await?;
        look.sizes.extend(sizes);
        look.server_version = snapshot.server_version.clone();
        let tables = !snapshot.tables.is_empty();
        own = Some(SchemaRows { rows: Ok(snapshot.rows), tables });
    }
    let seen = targets.iter().map(|target| match &target.schema {
        Some(schema) => seen(look.schemas.get(schema)),
        None => seen(own.as_ref()),
    });
    Ok(DatabaseLook { seen: seen.collect(), sizes: look.sizes, server_version: look.server_version })
}

fn seen(found: Option<&SchemaRows>) -> Seen {
    let problem = |reason, message: &str| Seen::Unreadable(Problem::new(reason, message));
    match found {
        None => problem(Reason::NoSuchDatabase, "the schema does not exist"),
        Some(SchemaRows { rows: Err(why), .. }) => problem(Reason::InvalidVersionRows, why),
        Some(SchemaRows { rows: Ok(rows), tables: true }) if rows.is_empty() => problem(
            Reason::DatabaseUnmanaged,
            "it has tables and no version row; stamp it by `alembic stamp`, or take it over by a DatabaseMigration with spec.adopt",
        ),
        Some(SchemaRows { rows: Ok(VersionRows::NoTable), .. }) => Seen::Rows(BTreeSet::new()),
        Some(SchemaRows { rows: Ok(VersionRows::Rows(rows)), .. }) => Seen::Rows(rows.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_table_of_a_whole_database_is_where_env_py_has_it() {
        let target = |name: &str, database: &str, schema: Option<&str>| Target {
            name: name.into(),
            database: Some(database.into()),
            schema: schema.map(str::to_owned),
            ..Target::default()
        };
        let (example, other) = (target("a", "db_a", None), target("b", "db_b", None));
        let of = |chosen| schema_of(&other, Some(&example), chosen);
        assert_eq!(of(None), None);
        assert_eq!(of(Some("app")).as_deref(), Some("app"));
        assert_eq!(of(Some("db_a")).as_deref(), Some("db_b"), "it is named after the database");
        assert_eq!(of(Some("a")).as_deref(), Some("b"), "it is named after the target");
        assert_eq!(schema_of(&other, Some(&target("c", "db", Some("c"))), Some("c")), None, "it is the example's own");
    }
}
