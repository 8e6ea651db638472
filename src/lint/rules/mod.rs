//! The hazards of an operation on a table, by dialect and by what the table was before: pure tables, one file for
//! each group of codes; no I/O.

mod blocking;
mod breaking;
mod losing;

use super::{
    Code, Dialect, Severity,
    catalog::Table,
    cursor::Name,
    hazard::Hazard,
    operation::{Alteration, Operation},
    parts::Online,
    subject::{CONSTRAINT, Subject},
    types::{Change, Kind, Type, change},
};

/// What an operation is judged by.
struct Context<'a> {
    dialect: Dialect,
    on: Subject,
    /// The table as it is when the operation comes to it, where that is known.
    before: Option<&'a Table>,
    online: Online,
    copied: bool,
    out: Vec<Hazard>,
}

impl Context<'_> {
    fn add(&mut self, code: Code, message: impl Into<String>) {
        self.out.push(Hazard::new(code, self.on.clone(), message));
    }

    fn add_with(&mut self, code: Code, severity: Severity, message: impl Into<String>) {
        self.out.push(Hazard { severity, ..Hazard::new(code, self.on.clone(), message) });
    }

    fn last(&mut self, change: impl FnOnce(&mut Hazard)) {
        if let Some(hazard) = self.out.last_mut() {
            change(hazard);
        }
    }

    fn old_type(&self, column: &str) -> Option<Type> {
        Some(Type::parse(self.before?.column(column)?.ty.as_ref()?, self.dialect))
    }

    /// Whether the column may be NULL, if that is known.
    fn nullable(&self, column: &str) -> Option<bool> {
        self.before?.column(column)?.nullable
    }

    /// PostgreSQL reads the old text as the new type, or refuses it: no value is less than it was.
    fn reads_text(&self, column: &str, new: &Type) -> bool {
        let text = |old: Type| matches!(old.kind, Kind::Text(_) | Kind::Varchar | Kind::Char | Kind::Citext);
        let whole = matches!(new.kind, Kind::Int(_) | Kind::Bool | Kind::Uuid | Kind::Json | Kind::Jsonb | Kind::Inet);
        self.dialect == Dialect::PostgreSql && whole && self.old_type(column).is_some_and(text)
    }

    fn change(&self, column: &str, new: &Type) -> Change {
        change(self.old_type(column).as_ref(), new, self.dialect)
    }
}

/// The hazards of each of the operations, in their order. The table changes with them.
pub(super) fn judge(alteration: &Alteration, mut table: Option<&mut Table>, dialect: Dialect) -> Vec<Hazard> {
    let on = alteration.subject();
    let mut out = Vec::new();
    for (place, operation) in alteration.operations.iter().enumerate() {
        let (on, before, online) = (on.clone(), table.as_deref(), alteration.online);
        let mut context = Context { dialect, on, before, online, copied: alteration.copied, out: Vec::new() };
        losing::judge(operation, &mut context);
        blocking::judge(operation, &mut context);
        breaking::judge(operation, &mut context);
        let cause = place + 1;
        out.extend(context.out.into_iter().map(|hazard| Hazard { cause, ..hazard }));
        if let Some(table) = table.as_deref_mut() {
            apply(operation, table);
        }
    }
    let subject = alteration.table.clone();
    let again = |name: &str| {
        let adds = |operation: &Operation| matches!(operation, Operation::AddConstraint { name: Some(added), .. } if added == name);
        alteration.operations.iter().any(adds)
    };
    let indexed = |name: &str| {
        alteration.operations.iter().any(|operation| match operation {
            Operation::AddIndex { name: Some(added), .. } | Operation::AddConstraint { name: Some(added), .. } => {
                added.eq_ignore_ascii_case(name)
            }
            _ => false,
        })
    };
    let replaced = |operation: &Operation| matches!(operation, Operation::DropIndex { name, .. } if indexed(name));
    out.retain(|hazard| {
        let dropped = hazard.cause.checked_sub(1).and_then(|place| alteration.operations.get(place));
        hazard.code != Code::D06 || !dropped.is_some_and(replaced)
    });
    // What takes its place is judged by itself.
    out.retain(|hazard| !matches!(&hazard.thing, Some((CONSTRAINT, constraint)) if again(&constraint.name)));
    together(alteration, subject.as_ref(), dialect, &mut out);
    out
}

/// What only all of a statement's operations together do.
fn together(alteration: &Alteration, table: Option<&Name>, dialect: Dialect, out: &mut Vec<Hazard>) {
    let on = || table.cloned().map_or(Subject::Nothing, Subject::Table);
    let any = |test: fn(&Operation) -> bool| alteration.operations.iter().any(test);
    if alteration.copied {
        // All of it is done by one copy.
        out.retain(|h| !matches!(h.code, Code::B03 | Code::B04 | Code::B05 | Code::B06));
        out.push(Hazard::new(Code::B06, on(), "the table is copied to change it, and the database locked meanwhile"));
    }
    let drops = any(blocking::drops_primary_key);
    let adds = any(blocking::adds_primary_key);
    if dialect.is_mysql() && drops && !adds {
        out.push(Hazard::new(Code::B06, on(), "without another primary key the table is copied while writes wait"));
    }
    let validates = any(|operation| matches!(operation, Operation::ValidateConstraint { .. }));
    if validates && any(|operation| !matches!(operation, Operation::ValidateConstraint { .. } | Operation::Tune)) {
        let message = "every row is checked under the lock that the statement's other changes take";
        out.push(Hazard::new(Code::B03, on(), message));
    }
    if !dialect.is_mysql() {
        return;
    }
    let online = alteration.online;
    if online.instant || online.unlocked {
        out.retain(|h| !matches!(h.code, Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06));
    }
    if online.copy {
        out.push(Hazard::new(Code::B06, on(), "ALGORITHM=COPY copies the table while writes wait"));
    }
    if online.locked {
        out.push(Hazard::new(Code::B07, on(), "the statement asks for a lock against writes"));
    }
    if online.ignores {
        for hazard in out.iter_mut().filter(|h| h.code == Code::D04) {
            hazard.severity = Severity::Critical;
        }
        if any(losing::makes_unique) {
            out.push(Hazard::new(Code::D03, on(), "IGNORE deletes every row whose key another row has too"));
        }
    }
}

/// The table as the operation leaves it.
fn apply(operation: &Operation, table: &mut Table) {
    use super::catalog::Column;
    match operation {
        Operation::AddColumn { column, .. } => table.add(Column {
            name: column.name.clone(),
            ty: Some(column.ty.full.clone()),
            nullable: Some(!column.not_null && !column.primary_key),
            default: None,
        }),
        Operation::DropColumn { name } => table.drop(name),
        Operation::RenameColumn { from, to: Some(to) } => table.rename(from, to),
        Operation::AlterType { name, ty, .. } => table.set_type(name, &ty.full),
        Operation::Redefine { old, column } => {
            table.rename(old, &column.name);
            table.set_type(&column.name, &column.ty.full);
            table.set_nullable(&column.name, !column.not_null);
        }
        Operation::SetNotNull { name } => table.set_nullable(name, false),
        Operation::DropNotNull { name } => table.set_nullable(name, true),
        Operation::DropConstraint { name: Some(name), .. } => {
            table.constraints.retain(|constraint| !constraint.name.eq_ignore_ascii_case(name));
        }
        _ => {}
    }
}
