//! PostgreSQL's ALTER TABLE, lowered from its parser's tree; no I/O.

use super::{name_of, part_of, referred, shown, type_of, with_cursor};
use crate::lint::{
    Dialect,
    cursor::Cursor,
    functions::is_same_for_every_row,
    locks::{self, Lock},
    operation::{Alteration, Operation},
    parsers,
    parts::{Column, Constraint, ConstraintKind, Default, Filled, Using},
    read::column::{self, keeps_values},
    reading::{Kind, Reading},
    subject::Subject,
    types::Type,
};
use squawk_syntax::{
    SyntaxKind,
    ast::{self, AlterColumnOption, AlterTableAction, AstNode, ConstraintOption},
};

/// Reads a whole ALTER TABLE.
pub(in crate::lint::read) fn alter_table(statement: &Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    let parsed = parsers::tree(&statement.text(), statement.tokens);
    let alter = parsed.as_ref().and_then(|(tree, _)| tree.children().find_map(ast::AlterTable::cast));
    let Some(alter) = alter else {
        out.unclear(format!("an ALTER TABLE that can't be read: {}", statement.shown()));
        return out;
    };
    if alter.all_in_tablespace().is_some() {
        let what = "every table of the tablespace is moved, and locked meanwhile".to_owned();
        out.does(Subject::Nothing, Operation::Rewrite { what }, Dialect::PostgreSql);
        return out;
    }
    let table = alter.table_relation_name().and_then(|name| name.table_name_ref()).and_then(|name| name_of(&name));
    let mut alteration = Alteration { table: table.clone(), ..Alteration::default() };
    for each in alter.actions() {
        action(&each, &mut alteration.operations, &mut out);
    }
    if table.is_none() || alter.actions().next().is_none() {
        out.unclear(format!("an ALTER TABLE that can't be read: {}", statement.shown()));
    }
    out.locks(table.as_ref(), locks::of_alteration(&alteration, Dialect::PostgreSql).unwrap_or(Lock::AccessExclusive));
    out.locks.extend(referred(alter.syntax()).into_iter().map(|table| (table, Lock::ShareRowExclusive)));
    for operation in &alteration.operations {
        if let Operation::AttachPartition { part } = operation {
            out.locks(part.as_ref(), Lock::AccessExclusive);
        }
    }
    out.effects.extend(alteration.effects());
    out.alterations.push(alteration);
    out.table = table;
    // The server reads it so, too: nobody has to parse it again.
    out.parsed = parsed.map(|(_, opinion)| opinion);
    out
}

fn action(action: &AlterTableAction, to: &mut Vec<Operation>, out: &mut Reading) {
    use AlterTableAction as A;
    let anew = || Operation::Rewrite { what: "the whole table is written anew".to_owned() };
    let operation = match action {
        A::AddColumn(add) => add_column(add),
        A::DropColumn(drop) => {
            let name = drop.column_name_ref().and_then(|name| part_of(&name));
            Operation::DropColumn { name: name.unwrap_or_else(|| shown(drop)) }
        }
        A::RenameColumn(rename) => Operation::RenameColumn {
            from: rename.column_name_ref().and_then(|name| part_of(&name)).unwrap_or_default(),
            to: rename.column_name().and_then(|name| part_of(&name)),
        },
        A::AlterColumn(alter) => return alter_column(alter, to, out),
        A::AddConstraint(add) => match add.constraint().and_then(|constraint| add_constraint(&constraint)) {
            Some(operation) => operation,
            None => return out.unclear(format!("a constraint that can't be read: {}", shown(add))),
        },
        A::DropConstraint(drop) => {
            let name = drop.constraint_name_ref().and_then(|name| part_of(&name));
            let shown = name.clone().unwrap_or_else(|| shown(drop));
            Operation::DropConstraint { name, kind: None, shown }
        }
        A::ValidateConstraint(validate) => Operation::ValidateConstraint {
            name: validate.constraint_name_ref().and_then(|name| part_of(&name)).unwrap_or_default(),
        },
        A::AlterConstraint(alter) => {
            let enforces = alter.constraint_options().any(|option| matches!(option, ConstraintOption::Enforced(_)));
            if enforces { Operation::EnforceConstraint } else { Operation::Define }
        }
        A::TableRenameTo(rename) => Operation::RenameTable { to: rename.table_name().and_then(|name| name_of(&name)) },
        A::SetSchema(set) => Operation::MoveTable { schema: set.schema_ref().and_then(|schema| part_of(&schema)) },
        A::SetLogged(_) | A::SetUnlogged(_) | A::SetTablespace(_) | A::SetAccessMethod(_) => anew(),
        A::OwnerTo(owner) => {
            Operation::ChangeOwner { to: owner.role_ref().map(|role| shown(&role)).unwrap_or_default() }
        }
        A::EnableRls(_) => Operation::EnableRowSecurity { forced: false },
        A::ForceRls(_) => Operation::EnableRowSecurity { forced: true },
        A::DisableRls(_) | A::NoForceRls(_) => Operation::DisableRowSecurity,
        A::ReplicaIdentity(identity) => match identity.replica_identity_option() {
            Some(ast::ReplicaIdentityOption::ReplicaIdentityNothing(_)) => Operation::PublishNothing,
            _ => Operation::Define,
        },
        A::AttachPartition(attach) => {
            Operation::AttachPartition { part: attach.table_name_ref().and_then(|name| name_of(&name)) }
        }
        A::DetachPartition(detach) => {
            let option = detach.detach_partition_option();
            out.concurrently |= matches!(option, Some(ast::DetachPartitionOption::DetachConcurrently(_)));
            Operation::DetachPartition { waits: option.is_none() }
        }
        A::MergePartitions(_) | A::SplitPartition(_) => {
            Operation::Rewrite { what: "the rows of the partitions are written anew while everybody waits".to_owned() }
        }
        A::DisableTrigger(_) => {
            out.unclear("what triggers and foreign keys check is not checked meanwhile");
            Operation::SwitchTrigger
        }
        A::DisableRule(_) => {
            out.unclear("what the rule does is not done meanwhile");
            Operation::Define
        }
        A::NoInheritTable(_) => {
            out.unclear("the rows no longer show in the parent table");
            Operation::Define
        }
        A::EnableAlwaysTrigger(_) | A::EnableReplicaTrigger(_) | A::EnableTrigger(_) => Operation::SwitchTrigger,
        A::ClusterOn(_) | A::SetWithoutCluster(_) | A::ResetOptions(_) | A::SetOptions(_) => Operation::Tune,
        // They change only what the catalog says.
        A::AlterOptionList(_)
        | A::EnableAlwaysRule(_)
        | A::EnableReplicaRule(_)
        | A::EnableRule(_)
        | A::InheritTable(_)
        | A::NotOf(_)
        | A::OfType(_)
        | A::OptionItemList(_)
        | A::RenameConstraint(_)
        | A::SetWithoutOids(_) => Operation::Define,
    };
    to.push(operation);
}

fn add_column(add: &ast::AddColumn) -> Operation {
    let ty = type_of(add.ty());
    let name = add.column_name().and_then(|name| part_of(&name)).unwrap_or_default();
    let filled = if ty.is_serial() { Filled::Numbered } else { Filled::No };
    let mut column = Column::new(name, ty, filled);
    for constraint in add.constraints() {
        match constraint {
            ast::Constraint::DefaultConstraint(default) => column.default = default_of(&default),
            ast::Constraint::GeneratedConstraint(generated) => {
                column.filled = match generated.generated_as() {
                    Some(ast::GeneratedAs::GeneratedStored(stored)) => match stored.generated_kind() {
                        Some(ast::GeneratedKind::Virtual(_)) => Filled::Virtual,
                        Some(ast::GeneratedKind::Stored(_)) | None => Filled::Stored,
                    },
                    Some(ast::GeneratedAs::GeneratedIdentity(_)) | None => Filled::Numbered,
                };
            }
            ast::Constraint::NotNullConstraint(_) => column.not_null = true,
            ast::Constraint::PrimaryKeyConstraint(_) => column.primary_key = true,
            ast::Constraint::UniqueConstraint(_) => column.unique = true,
            ast::Constraint::ReferencesConstraint(_) => column.references = true,
            ast::Constraint::CheckConstraint(_) => column.checked = true,
            ast::Constraint::NullConstraint(_)
            | ast::Constraint::ExcludeConstraint(_)
            | ast::Constraint::ForeignKeyConstraint(_) => {}
        }
    }
    Operation::AddColumn { column, perhaps: add.if_not_exists().is_some() }
}

fn default_of(default: &ast::DefaultConstraint) -> Default {
    let Some(expression) = default.expr() else { return Default::Nothing };
    let calls = parsers::calls(expression.syntax());
    if let Some(call) = calls.iter().find(|call| !is_same_for_every_row(call)) {
        return Default::PerRow(call.clone());
    }
    with_cursor(&expression, |at| match at.tokens {
        [one] if one.is("NULL") => Default::Nothing,
        [null, colon, ..] if null.is("NULL") && colon.is(":") => Default::Nothing,
        _ if calls.is_empty() => Default::Constant,
        _ => Default::Same,
    })
}

fn alter_column(alter: &ast::AlterColumn, to: &mut Vec<Operation>, out: &mut Reading) {
    use AlterColumnOption as O;
    let name = alter.column_name_ref().and_then(|name| part_of(&name));
    let (Some(name), Some(option)) = (name, alter.option()) else {
        return out.unclear(format!("a column that can't be read: {}", shown(alter)));
    };
    let operation = match option {
        O::SetType(set) => {
            let ty = type_of(set.ty());
            let using = set.using_expr().and_then(|using| using.expr());
            let using = match using {
                None => Using::Nothing,
                Some(expression) if with_cursor(&expression, |at| says_nothing(&at, &name, &ty)) => Using::Nothing,
                Some(expression) if with_cursor(&expression, |at| keeps_values(&at, &name, &ty)) => Using::Cast,
                Some(_) => Using::Expression,
            };
            Operation::AlterType { name, ty, using }
        }
        O::SetNotNull(_) => Operation::SetNotNull { name },
        O::DropNotNull(_) => Operation::DropNotNull { name },
        O::SetDefault(_) => Operation::SetDefault,
        O::DropDefault(_) | O::DropIdentity(_) | O::DropExpression(_) => Operation::DropDefault { name },
        O::SetExpression(_) => Operation::SetExpression { name },
        O::Restart(_) => Operation::RestartNumbers { name },
        O::SetGenerated(_) | O::SetGeneratedOptions(_) | O::SetSequenceOption(_) => {
            let any = |is: fn(SyntaxKind) -> bool| alter.syntax().descendants().any(|node| is(node.kind()));
            let (restarts, always) = (any(ast::Restart::can_cast), any(ast::GeneratedAlways::can_cast));
            match (restarts, always) {
                (true, _) => Operation::RestartNumbers { name },
                (false, true) => Operation::DropDefault { name },
                (false, false) => Operation::Define,
            }
        }
        O::ResetOptions(_) | O::SetOptionsList(_) | O::SetStatistics(_) | O::SetOptions(_) => Operation::Tune,
        // They begin at 1, whatever rows there are, unless it says where.
        O::AddGenerated(_) if !alter.syntax().descendants().any(|node| ast::SequenceOption::can_cast(node.kind())) => {
            Operation::RestartNumbers { name }
        }
        O::AddGenerated(_) | O::SetStorage(_) | O::SetCompression(_) | O::Inherit(_) | O::NoInherit(_) => {
            Operation::Define
        }
    };
    to.push(operation);
}

/// `USING note` and `USING note::text` for a text are what the server does without them.
fn says_nothing(using: &Cursor<'_>, column: &str, ty: &Type) -> bool {
    let mut at = using.clone();
    let plain = at.part().is_some_and(|name| name == column);
    let text = ty.shown().eq_ignore_ascii_case("text");
    plain && (at.is_done() || (text && at.eat(": : text") && at.is_done()))
}

fn add_constraint(constraint: &ast::Constraint) -> Option<Operation> {
    use ast::Constraint as C;
    let name = |clause: Option<ast::ConstraintNameClause>| clause?.constraint_name().and_then(|name| part_of(&name));
    let validated = |mut options: ast::AstChildren<ConstraintOption>| {
        !options.any(|option| matches!(option, ConstraintOption::NotValid(_) | ConstraintOption::NotEnforced(_)))
    };
    let plain = Constraint::of;
    let index = |using: Option<ast::UsingIndexName>| using?.index_ref().and_then(|index| name_of(&index));
    let (name, constraint) = match constraint {
        C::UniqueConstraint(unique) => {
            let distinct = !unique.syntax().descendants().any(|node| ast::NullsNotDistinct::can_cast(node.kind()));
            let columns = unique.index_parameters().and_then(|parameters| parameters.column_list());
            let columns = columns.map(|list| listed(&list)).unwrap_or_default();
            let from_index = index(unique.using_index());
            let unique_ = Constraint { columns, from_index, allows_null: distinct, ..plain(ConstraintKind::Unique) };
            (name(unique.constraint_name_clause()), unique_)
        }
        C::PrimaryKeyConstraint(key) => {
            let from_index = index(key.using_index());
            (name(key.constraint_name_clause()), Constraint { from_index, ..plain(ConstraintKind::PrimaryKey) })
        }
        C::ExcludeConstraint(exclude) => (name(exclude.constraint_name_clause()), plain(ConstraintKind::Exclude)),
        C::ForeignKeyConstraint(key) => {
            let columns = with_cursor(key, |at| column::listed(&at));
            let validated = validated(key.constraint_options());
            let allows_null = !matches!(key.match_type(), Some(ast::MatchType::MatchFull(_)));
            let kind = plain(ConstraintKind::ForeignKey);
            (name(key.constraint_name_clause()), Constraint { columns, validated, allows_null, ..kind })
        }
        C::CheckConstraint(check) => {
            let not_null = check.expr().and_then(|check| with_cursor(&check, |at| is_not_null(&at)));
            let validated = validated(check.constraint_options());
            (name(check.constraint_name_clause()), Constraint { validated, not_null, ..plain(ConstraintKind::Check) })
        }
        C::NotNullConstraint(not_null) => {
            let column = not_null.column_name_ref().and_then(|name| part_of(&name));
            let validated = validated(not_null.constraint_options());
            let kind = plain(ConstraintKind::NotNull);
            (name(not_null.constraint_name_clause()), Constraint { validated, not_null: column, ..kind })
        }
        C::DefaultConstraint(_) | C::GeneratedConstraint(_) | C::ReferencesConstraint(_) | C::NullConstraint(_) => {
            return None;
        }
    };
    Some(Operation::AddConstraint { name, constraint })
}

fn listed(list: &ast::ConstraintColumnRefList) -> Vec<String> {
    with_cursor(list, |at| column::listed(&at))
}

/// `column IS NOT NULL`, perhaps in parentheses.
pub(in crate::lint::read) fn is_not_null(check: &Cursor<'_>) -> Option<String> {
    let mut at = check.clone();
    while let Some(inside) = at.clone().parentheses().filter(|inside| inside.len() + 2 == at.tokens.len()) {
        at = Cursor::new(inside, at.dialect);
    }
    let column = at.part()?;
    (at.eat("IS NOT NULL") && at.is_done()).then_some(column)
}
