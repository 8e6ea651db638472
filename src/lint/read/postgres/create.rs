//! PostgreSQL's CREATE and DROP of tables, indexes, and what belongs to a table, lowered from its parser's tree; no I/O.

use super::{name_of, part_of, referred, rows::written_in, with_cursor};
use crate::lint::{
    Dialect,
    cursor::Name,
    effect::Effect,
    operation::{Alteration, Operation},
    parts::Dropped,
    read::{about, column, object},
    reading::{Kind, Reading},
    subject::{Subject, namespace},
};
use squawk_syntax::ast::{self, AstNode, DropBehavior, Persistence, Stmt};

const POSTGRES: Dialect = Dialect::PostgreSql;

pub(super) fn read(statement: &Stmt) -> Option<Reading> {
    let mut out = Reading::of(Kind::Ddl);
    match statement {
        Stmt::CreateTable(create) => table(create, &mut out)?,
        Stmt::CreateTableAs(create) => table_as(create, &mut out)?,
        Stmt::CreateForeignTable(create) => foreign_table(create, &mut out)?,
        Stmt::CreateMaterializedView(create) => view(create, &mut out),
        Stmt::CreateIndex(create) => index(create, &mut out),
        Stmt::CreateTrigger(create) => trigger(create, &mut out),
        Stmt::CreateRule(create) => rule(create, &mut out),
        Stmt::CreatePolicy(create) => policy(create, &mut out),
        Stmt::DropTable(drop) => drop_tables(drop.table_name_refs(), &mut out)?,
        Stmt::DropForeignTable(drop) => drop_tables(drop.table_name_refs(), &mut out)?,
        Stmt::DropIndex(drop) => drop_indexes(drop, &mut out)?,
        Stmt::DropTrigger(drop) => {
            let name = drop.trigger_ref().and_then(|name| name_of(&name));
            let table = drop.on_relation().and_then(|on| name_of(&on.relation_name_ref()?));
            of_table("TRIGGER", name, table, drop.drop_behavior(), &mut out);
        }
        Stmt::DropPolicy(drop) => {
            let table = drop.on_table().and_then(|on| name_of(&on.table_name_ref()?));
            let name = drop.policy_ref().and_then(|name| part_of(&name)).unwrap_or_default();
            out.does(about(&table), Operation::DropPolicy { name }, POSTGRES);
            out.table = table;
        }
        _ => return None,
    }
    Some(out)
}

/// What a new table is called, and whether it is this session's alone.
struct Made {
    name: Name,
    perhaps: bool,
    temporary: bool,
    columns: Vec<String>,
    goes: bool,
}

impl Made {
    fn add(self, out: &mut Reading) {
        let Self { name, perhaps, temporary, columns, goes } = self;
        out.table = Some(name.clone());
        let goes = (temporary && goes).then(|| Effect::DropsOnCommit(name.clone()));
        // A temporary table of that name is this session's own, even if it was there already.
        out.effects.push(match perhaps && !temporary {
            true => Effect::MayCreate(name),
            false => Effect::Creates { table: name, temporary, columns },
        });
        out.effects.extend(goes);
    }
}

fn is_temporary(persistence: Option<Persistence>) -> bool {
    matches!(persistence, Some(Persistence::Temp(_)))
}

fn goes_on_commit(on_commit: Option<ast::OnCommit>) -> bool {
    let action = on_commit.and_then(|on_commit| on_commit.on_commit_action());
    matches!(action, Some(ast::OnCommitAction::Drop(_)))
}

fn table(create: &ast::CreateTable, out: &mut Reading) -> Option<()> {
    let name = name_of(&create.table_name()?)?;
    let temporary = is_temporary(create.persistence());
    is_part(create.partition_of(), out);
    for parent in referred(create.syntax()).into_iter().filter(|parent| *parent != name && !temporary) {
        out.does(Subject::Table(parent), Operation::ReferTo, POSTGRES);
    }
    let (perhaps, columns) = (create.if_not_exists().is_some(), columns(create.table_arg_list()));
    Made { name, perhaps, temporary, columns, goes: goes_on_commit(create.on_commit()) }.add(out);
    Some(())
}

fn table_as(create: &ast::CreateTableAs, out: &mut Reading) -> Option<()> {
    let name = name_of(&create.table_name()?)?;
    if matches!(create.query(), Some(ast::CreateTableAsQuery::Execute(_))) {
        out.unclear("what the prepared statement does is not seen here");
    }
    let (perhaps, columns) = (create.if_not_exists().is_some(), columns(create.table_arg_list()));
    let temporary = is_temporary(create.persistence());
    Made { name, perhaps, temporary, columns, goes: goes_on_commit(create.on_commit()) }.add(out);
    // Its query is run, and what stands in a WITH too.
    out.fills = true;
    written_in(create.syntax(), out);
    Some(())
}

fn foreign_table(create: &ast::CreateForeignTable, out: &mut Reading) -> Option<()> {
    let name = name_of(&create.table_name()?)?;
    is_part(create.partition_of(), out);
    let (perhaps, columns) = (create.if_not_exists().is_some(), columns(create.table_arg_list()));
    Made { name, perhaps, temporary: false, columns, goes: false }.add(out);
    Some(())
}

/// It has rows and indexes, as a table has.
fn view(create: &ast::CreateMaterializedView, out: &mut Reading) {
    out.fills = !matches!(create.data_option(), Some(ast::DataOption::WithNoData(_)));
    let name = create.view().and_then(|name| name_of(&name)).filter(|_| create.if_not_exists().is_none());
    let rows = |table| Effect::Creates { table, temporary: false, columns: Vec::new() };
    out.effects.extend(name.clone().map(rows));
    out.effects.extend(name.map(|name| Effect::CreatesObject(namespace("MATERIALIZED VIEW"), name)));
}

fn is_part(of: Option<ast::PartitionOf>, out: &mut Reading) {
    if let Some(of) = of {
        let parent = of.table_name_ref().and_then(|name| name_of(&name));
        out.does(about(&parent), Operation::CreatePartition, POSTGRES);
    }
}

fn columns(list: Option<ast::TableArgList>) -> Vec<String> {
    let columns = list.iter().flat_map(|list| list.args()).filter_map(|arg| match arg {
        ast::TableArg::Column(column) => part_of(&column.name()?),
        ast::TableArg::LikeClause(_) | ast::TableArg::TableConstraint(_) => None,
    });
    columns.map(|name| name.to_lowercase()).collect()
}

fn index(create: &ast::CreateIndex, out: &mut Reading) {
    out.concurrently = create.concurrently_token().is_some();
    let table = create.table_relation_name().and_then(|name| name_of(&name.table_name_ref()?));
    let only = create.table_relation_name().is_some_and(|name| name.only_token().is_some());
    let items = create.partition_item_list();
    let columns = items.map(|items| with_cursor(&items, |at| column::listed(&at))).unwrap_or_default();
    let distinct = !matches!(create.nulls_distinct_option(), Some(ast::NullsDistinctOption::NullsNotDistinct(_)));
    let operation = Operation::CreateIndex {
        unique: create.unique_token().is_some(),
        concurrently: out.concurrently,
        blocks: !out.concurrently,
        only,
        columns: columns.clone(),
        allows_null: distinct,
    };
    out.performs(Alteration::of(about(&table), operation), POSTGRES);
    out.table = table.clone();
    let name = create.index().and_then(|name| name_of(&name));
    if let (Some(index), Some(table)) = (name.clone(), table) {
        out.effects.push(Effect::Indexes { table, index, columns });
    }
    if create.if_not_exists().is_none() {
        out.effects.extend(name.map(|name| Effect::CreatesObject("RELATION", name)));
    }
}

fn trigger(create: &ast::CreateTrigger, out: &mut Reading) {
    let table = create.on_relation().and_then(|on| name_of(&on.relation_name_ref()?));
    out.does(about(&table), Operation::CreateTrigger, POSTGRES);
    out.table = table;
    let name = create.trigger().and_then(|name| name_of(&name));
    out.effects.extend(name.map(|name| Effect::CreatesObject("TRIGGER", name)));
}

/// What clients write to the table becomes something else.
fn rule(create: &ast::CreateRule, out: &mut Reading) {
    let table = create.rule_on().and_then(|on| name_of(&on.relation_name_ref()?));
    out.does(about(&table), Operation::CreateRule, POSTGRES);
    out.table = table;
    let name = create.rule().and_then(|name| name_of(&name));
    out.effects.extend(name.map(|name| Effect::CreatesObject("RULE", name)));
}

fn policy(create: &ast::CreatePolicy, out: &mut Reading) {
    let table = create.on_table().and_then(|on| name_of(&on.table_name_ref()?));
    let kind = create.as_policy_type();
    let restrictive = kind.is_some_and(|kind| with_cursor(&kind, |at| at.at("AS RESTRICTIVE")));
    out.does(about(&table), Operation::CreatePolicy { restrictive }, POSTGRES);
    out.table = table;
}

/// None where it names no table.
fn drop_tables(names: ast::AstChildren<ast::TableNameRef>, out: &mut Reading) -> Option<()> {
    let names: Vec<Name> = names.filter_map(|name| name_of(&name)).collect();
    out.table = Some(names.first()?.clone());
    for name in names {
        out.does(Subject::Table(name.clone()), Operation::DropTable { shown: name.to_string() }, POSTGRES);
        out.effects.push(Effect::Drops(name));
    }
    Some(())
}

fn drop_indexes(drop: &ast::DropIndex, out: &mut Reading) -> Option<()> {
    out.concurrently = drop.concurrently_token().is_some();
    let names: Vec<Name> = drop.index_refs().filter_map(|name| name_of(&name)).collect();
    names.first()?;
    for name in names {
        let subject = object("INDEX", Some(name.clone()));
        let operation = Operation::DropNamedIndex { name: Some(name), concurrently: out.concurrently };
        out.does(subject, operation, POSTGRES);
    }
    Some(())
}

/// A trigger has a name on its table alone.
fn of_table(kind: &str, name: Option<Name>, table: Option<Name>, goes: Option<DropBehavior>, out: &mut Reading) {
    let cascade = matches!(goes, Some(DropBehavior::Cascade(_)));
    let dropped = Dropped { cascade, of_table: true, ..crate::lint::read::drop::replaced(kind, name) };
    out.does(about(&table), Operation::Drop(dropped), POSTGRES);
    out.table = table;
}
