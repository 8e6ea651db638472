//! PostgreSQL's statements that read or write rows, lowered from its parser's tree; no I/O.

use super::{name_of, part_of, with_cursor};
use crate::lint::{
    Dialect,
    cursor::{Cursor, Name},
    effect::Effect,
    operation::Operation,
    parts::Filter,
    read::{
        about,
        condition::{is_always_false, is_always_true, left_by},
        data, insert,
    },
    reading::{Kind, Reading},
    tokens::Kind as TokenKind,
};
use squawk_syntax::{
    SyntaxKind, SyntaxNode,
    ast::{self, AstNode, DropBehavior, MergeAction, MergeWhenClause, Persistence, Stmt},
};

const POSTGRES: Dialect = Dialect::PostgreSql;

pub(super) fn read(statement: &Stmt) -> Option<Reading> {
    let mut out = Reading::of(Kind::Data);
    match statement {
        Stmt::Explain(explain) => return explained(explain),
        Stmt::Select(select) => {
            let schema = with_cursor(select, |mut at| at.eat("SELECT").then(|| data::search_path(at)).flatten());
            out.effects.extend(schema.map(Effect::Schema));
        }
        Stmt::SelectInto(select) => select_into(select, &mut out),
        Stmt::CompoundSelect(_) | Stmt::ParenSelect(_) | Stmt::Table(_) | Stmt::Values(_) => {}
        Stmt::Truncate(truncate) => truncates(truncate, &mut out)?,
        _ => writes(statement.syntax(), &mut out)?,
    }
    written_in(statement.syntax(), &mut out);
    Some(out)
}

/// INSERT, UPDATE, DELETE and MERGE; nothing for anything else.
fn writes(node: &SyntaxNode, out: &mut Reading) -> Option<()> {
    if let Some(insert) = ast::Insert::cast(node.clone()) {
        inserts(&insert, out);
    } else if let Some(update) = ast::Update::cast(node.clone()) {
        updates(&update, out);
    } else if let Some(delete) = ast::Delete::cast(node.clone()) {
        deletes(&delete, out);
    } else {
        merges(&ast::Merge::cast(node.clone())?, out);
    }
    Some(())
}

/// What stands in a WITH of this statement is run, however deep.
pub(super) fn written_in(statement: &SyntaxNode, out: &mut Reading) {
    for node in statement.descendants().filter(|node| ast::WithTable::can_cast(node.kind())) {
        let mut part = Reading::of(Kind::Data);
        if node.children().any(|query| writes(&query, &mut part).is_some()) {
            out.holds(part);
        }
    }
}

/// Only EXPLAIN ANALYZE runs its statement.
fn explained(explain: &ast::Explain) -> Option<Reading> {
    let runs = with_cursor(explain, |mut at| data::explained(&mut at));
    let statement = explain.explain_stmt().and_then(|it| Stmt::cast(it.syntax().clone()));
    match statement.filter(|_| runs) {
        Some(statement) => super::create::read(&statement).or_else(|| read(&statement)),
        // What can't be read is looked for in the words.
        None if runs => None,
        None => Some(Reading::of(Kind::Data)),
    }
}

fn select_into(select: &ast::SelectInto, out: &mut Reading) {
    let Some(into) = select.into_clause() else { return };
    out.kind = Kind::Ddl;
    out.fills = true;
    let temporary = matches!(into.persistence(), Some(Persistence::Temp(_)));
    let table = into.table_name().and_then(|name| name_of(&name));
    out.effects.extend(table.map(|table| Effect::Creates { table, temporary, columns: Vec::new() }));
}

fn truncates(truncate: &ast::Truncate, out: &mut Reading) -> Option<()> {
    out.kind = Kind::Ddl;
    let cascades = matches!(truncate.drop_behavior(), Some(DropBehavior::Cascade(_)));
    let names = truncate.table_list()?.table_relation_names();
    for name in names.filter_map(|name| name_of(&name.table_name_ref()?)) {
        data::truncates(name, cascades, POSTGRES, out);
    }
    out.table.as_ref().map(|_| ())
}

fn relation(name: Option<ast::RelationName>) -> Option<Name> {
    name_of(&name?.relation_name_ref()?)
}

/// What WHERE leaves of the rows, of a table that is read alone or beside others. A cursor stands on one row.
fn filter(clause: Option<ast::WhereClauseOrCurrentOf>, alone: bool) -> Filter {
    match clause {
        None => Filter::All,
        Some(ast::WhereClauseOrCurrentOf::WhereCurrentOf(_)) => Filter::Few,
        Some(ast::WhereClauseOrCurrentOf::WhereClause(clause)) => left_by_where(&clause, alone),
    }
}

fn left_by_where(clause: &ast::WhereClause, alone: bool) -> Filter {
    clause.expr().map_or(Filter::Some, |condition| with_cursor(&condition, |at| left_by(Some(&at), false, alone)))
}

fn updates(update: &ast::Update, out: &mut Reading) {
    let table = relation(update.relation_name());
    let filter = filter(update.where_clause_or_current_of(), update.from_clause().is_none());
    out.does(about(&table), Operation::Update { filter }, POSTGRES);
    let list = update.set_clause().and_then(|set| set.set_column_list());
    let mut targets: Vec<ast::ColumnTarget> = Vec::new();
    for column in list.iter().flat_map(|list| list.set_columns()) {
        match column {
            ast::SetColumn::SetSingleColumn(one) => targets.extend(one.column_target()),
            ast::SetColumn::SetMultipleColumns(many) => {
                targets.extend(many.column_target_list().iter().flat_map(|list| list.column_targets()));
            }
        }
    }
    let columns = targets.into_iter().filter_map(|target| part_of(&target.name()?)).map(|name| name.to_lowercase());
    let columns = columns.collect();
    out.effects.extend(table.clone().map(|table| Effect::Changes { table, columns, deletes: false }));
    out.table = table;
}

fn deletes(delete: &ast::Delete, out: &mut Reading) {
    let table = relation(delete.relation_name());
    let filter = match filter(delete.where_clause_or_current_of(), delete.using_clause().is_none()) {
        Filter::All if delete.for_portion_of().is_some() => Filter::Some,
        filter => filter,
    };
    let operation = Operation::Delete { filter };
    out.does(about(&table), operation, POSTGRES);
    let columns = Vec::new();
    out.effects.extend(table.clone().map(|table| Effect::Changes { table, columns, deletes: true }));
    out.table = table;
}

fn merges(merge: &ast::Merge, out: &mut Reading) {
    let table = merge.table_relation_name().and_then(|name| name_of(&name.table_name_ref()?));
    let on = merge.using_on_clause().and_then(|using| using.on_clause()?.expr());
    let always = on.as_ref().is_some_and(|on| with_cursor(on, |at| is_always_true(&at, 0)));
    let never = on.as_ref().is_some_and(|on| with_cursor(on, |at| is_always_false(&at)));
    let (mut all, mut deletes) = (false, false);
    for branch in merge.merge_when_clauses() {
        let (action, each) = match &branch {
            MergeWhenClause::MergeWhenMatched(it) => (it.merge_action(), always && it.merge_condition().is_none()),
            MergeWhenClause::MergeWhenNotMatchedSource(it) => {
                (it.merge_action(), never && it.merge_condition().is_none())
            }
            MergeWhenClause::MergeWhenNotMatchedTarget(_) => (None, false),
        };
        if matches!(action, Some(MergeAction::MergeDelete(_))) {
            deletes = true;
            all |= each;
        }
    }
    out.does(about(&table), Operation::Merge { all, deletes }, POSTGRES);
    out.table = table;
}

fn inserts(insert: &ast::Insert, out: &mut Reading) {
    let table = insert.relation_name_ref().and_then(|name| name_of(&name));
    out.table = table.clone();
    let query = match insert.insert_source() {
        Some(ast::InsertSource::SelectVariant(query)) => Some(query),
        Some(ast::InsertSource::DefaultValues(_)) | None => None,
    };
    let tables = query.as_ref().map_or(0, |query| tables(query.syntax()));
    let action = insert.on_conflict_clause().and_then(|conflict| conflict.conflict_action());
    if matches!(action, Some(ast::ConflictAction::ConflictDoUpdateSet(_))) {
        out.does(about(&table), Operation::Upsert { listed: tables == 0 }, POSTGRES);
    } else if tables > 0 {
        let alone = tables == 1 && insert.with_clause().is_none();
        let filter = query.as_ref().map_or(Filter::Some, |query| found_by(query, alone));
        out.does(about(&table), Operation::InsertFound { filter }, POSTGRES);
    }
    out.effects.extend(table.filter(|_| tables > 0).map(Effect::Fills));
}

/// How many tables a query makes its rows of; none where it is made of values that stand in the statement.
fn tables(query: &SyntaxNode) -> usize {
    let (mut open, mut tables) = (vec![query.clone()], 0);
    while let Some(node) = open.pop() {
        match ast::FromItem::cast(node.clone()) {
            None | Some(ast::FromItem::ParenFromItem(_)) => {
                tables += usize::from(ast::Table::can_cast(node.kind()));
                open.extend(node.children().filter(|child| !adds_no_row(child.kind())));
            }
            Some(ast::FromItem::FunctionFromItem(call)) if with_cursor(&call, |mut at| insert::counts_few(&mut at)) => {
            }
            Some(_) => tables += 1,
        }
    }
    tables
}

/// What is asked for in these is one value, or a condition.
fn adds_no_row(part: SyntaxKind) -> bool {
    matches!(
        part,
        SyntaxKind::ROW
            | SyntaxKind::TARGET_LIST
            | SyntaxKind::DISTINCT_CLAUSE
            | SyntaxKind::ON_CLAUSE
            | SyntaxKind::WHERE_CLAUSE
            | SyntaxKind::GROUP_BY_CLAUSE
            | SyntaxKind::HAVING_CLAUSE
            | SyntaxKind::WINDOW_CLAUSE
            | SyntaxKind::ORDER_BY_CLAUSE
            | SyntaxKind::LIMIT_CLAUSE
            | SyntaxKind::OFFSET_CLAUSE
            | SyntaxKind::FETCH_CLAUSE
    )
}

/// Which of the rows a query takes.
fn found_by(query: &ast::SelectVariant, alone: bool) -> Filter {
    match query {
        _ if query.syntax().children().any(|clause| limits(&clause)) => Filter::Few,
        ast::SelectVariant::Select(select) => {
            select.where_clause().map_or(Filter::All, |clause| left_by_where(&clause, alone))
        }
        ast::SelectVariant::ParenSelect(inner) => inner.select().map_or(Filter::Some, |query| found_by(&query, alone)),
        _ => Filter::Some,
    }
}

/// LIMIT 10, FETCH FIRST 10 ROWS ONLY, FETCH FIRST ROW ONLY
fn limits(clause: &SyntaxNode) -> bool {
    let number = |at: &Cursor<'_>| at.tokens.first().is_some_and(|t| t.kind == TokenKind::Number);
    if let Some(limit) = ast::LimitClause::cast(clause.clone()) {
        return with_cursor(&limit, |mut at| at.eat("LIMIT") && number(&at));
    }
    ast::FetchClause::cast(clause.clone()).is_some_and(|fetch| {
        with_cursor(&fetch, |mut at| {
            let first = at.eat_any(&["FETCH FIRST", "FETCH NEXT"]).is_some();
            first && at.ends("ONLY") && (number(&at) || at.at_any(&["ROW", "ROWS"]))
        })
    })
}
