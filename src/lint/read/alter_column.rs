//! Changes of a column that is there: its type, its default, whether it may be NULL; no I/O.

use super::{Reading, about, column};
use crate::lint::{
    Code, Severity,
    cursor::{Cursor, Name},
};

/// ALTER [COLUMN] of PostgreSQL, and the little that MySQL has of it.
pub(super) fn alter(mut at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    let on = about(table);
    if at.eat("CONSTRAINT") || (at.dialect.is_mysql() && at.at_any(&["INDEX", "CHECK"])) {
        if at.has("ENFORCED") && !at.has("NOT ENFORCED") {
            out.add(Code::F01, on, "it fails where a row breaks it already");
        }
        return;
    }
    let _ = at.eat("COLUMN");
    at.if_exists();
    let Some(name) = at.part() else {
        return out.unclear(format!("a column that can't be read: {}", at.shown()));
    };
    if at.eat("TYPE") || at.eat("SET DATA TYPE") {
        alter_type(at, &name, table, out);
    } else if at.eat("SET NOT NULL") {
        for (code, why) in
            [(Code::B05, "every row is read while the table is locked"), (Code::F01, "it fails where a row has NULL")]
        {
            out.add(code, on.clone(), format!("{name} becomes NOT NULL: {why}"));
            if let Some(hazard) = out.hazards.last_mut() {
                hazard.not_null = Some(name.clone());
            }
        }
        out.add(Code::C04, on, format!("rows without {name} are refused from now on"));
    } else if at.eat("DROP NOT NULL") {
        out.add(Code::C05, on, format!("clients may now read NULL from {name}"));
    } else if at.eat("DROP DEFAULT")
        || at.eat("DROP IDENTITY")
        || at.eat("DROP EXPRESSION")
        || at.eat("SET GENERATED ALWAYS")
    {
        out.add(Code::C04, on, format!("INSERTs that count on how {name} fills itself fail or write NULL"));
    } else if at.eat("SET EXPRESSION") {
        out.add(Code::B06, on, format!("{name} is computed anew for every row"));
    } else if at.eat("RESTART") || at.at("SET RESTART") {
        out.unclear(format!("numbers of {name} may come a second time"));
    } else if at
        .eat_any(&[
            "SET DEFAULT",
            "SET STATISTICS",
            "SET STORAGE",
            "SET COMPRESSION",
            "SET (",
            "RESET (",
            "ADD GENERATED",
            "SET GENERATED",
            "SET VISIBLE",
            "SET INVISIBLE",
            "SET INCREMENT",
        ])
        .is_none()
    {
        out.unclear(format!("the change {} of {name} is not known to be harmless", at.shown()));
    }
}

fn alter_type(mut at: Cursor<'_>, name: &str, table: &Option<Name>, out: &mut Reading) {
    let on = about(table);
    let (ty, sized) = column::read_type(&mut at);
    let using = at.after("USING");
    let cast = using.is_some();
    let narrows = match using {
        Some(expression) if !column::keeps_values(&expression, name, &ty) => {
            Some((Severity::Critical, "what USING makes of a value may be less than it was".to_owned()))
        }
        _ => column::narrowing(&ty, sized, cast, at.dialect),
    };
    let fits = narrows.is_none() && !cast;
    if let Some((severity, why)) = narrows {
        out.add_with(Code::D04, severity, on.clone(), format!("{name} becomes {ty}: {why}"));
    }
    // From a shorter varchar these cost nothing, and the old type is not in the SQL.
    let free = !cast && matches!(ty.as_str(), "text" | "varchar" | "character varying");
    let severity = if free { Severity::Medium } else { Severity::High };
    let unless = if free { ", unless it is a shorter varchar now" } else { "" };
    out.add_with(
        Code::B06,
        severity,
        on.clone(),
        format!("a new type for {name} rewrites the table under a lock{unless}"),
    );
    if !fits {
        out.add(Code::F01, on, format!("it fails where a value of {name} does not fit {ty}"));
    }
}

/// MySQL's MODIFY and CHANGE: the whole definition, whatever of it is new.
pub(super) fn modify(mut at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    let on = about(table);
    if at.eat("CHANGE") {
        let _ = at.eat("COLUMN");
        at.if_exists();
        let before = at.clone().part();
        let old = at.part();
        let new = at.clone().part();
        let same = old.as_ref().zip(new.as_ref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
        if !same {
            let shown = before.unwrap_or_default();
            out.add(Code::C01, on.clone(), format!("clients that read or write {shown} fail as soon as it is renamed"));
        }
    } else {
        let _ = at.eat("COLUMN");
        at.if_exists();
    }
    let shown = at.shown();
    let Some(column) = column::Column::read(at) else {
        return out.unclear(format!("a column that can't be read: {shown}"));
    };
    let name = &column.name;
    let narrows = column.narrowing();
    if narrows.is_some() || column.is_not_null() {
        out.add(Code::F01, on.clone(), format!("it fails where a value of {name} does not fit {}", column.ty));
    }
    if let Some((severity, why)) = narrows {
        out.add_with(Code::D04, severity, on.clone(), format!("{name} becomes {}: {why}", column.ty));
    }
    out.add(Code::B06, on.clone(), format!("a new type for {name} copies the table while writes wait"));
    if column.is_not_null() {
        out.add(Code::B05, on.clone(), format!("{name} is NOT NULL: if that is new, the table is rebuilt"));
        out.add(Code::C04, on, format!("{name} is NOT NULL: if that is new, rows without it are refused"));
    } else if column.ty == "enum" || column.ty == "set" {
        out.add(Code::C05, on, format!("clients may now read values of {name} that they do not know"));
    }
}
