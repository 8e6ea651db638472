//! What `alembic upgrade`, `downgrade`, `history -r` and `current` answer, function by function as
//! alembic.script.revision.RevisionMap computes it (facts 3.7 and 3.8); no I/O. Steps come in
//! Alembic's own order, where that does not depend on Python's hash seed.

use super::{
    AlembicError, Graph,
    error::{ASSERTION, TOO_FAR, TOO_FEW},
    graph::{Set, reach},
    resolve::Found,
};

type Answer<T> = Result<T, AlembicError>;

/// A target relative to the rows or to a symbol: its branch, its symbol, and how far.
type Relative<'a> = (Option<&'a str>, Option<&'a str>, i64);

const NOT_A_DOWNGRADE: AlembicError = AlembicError::Revision("Not a valid downgrade target from current heads");

impl Graph {
    /// The steps of `alembic upgrade`, lowest first.
    pub fn upgrade(&self, rows: &[String], target: &str) -> Answer<Vec<String>> {
        no_range(target)?;
        let targets = self.upgrade_targets(rows, target, true)?;
        let needs = self.needs(&targets, &self.current(rows)?)?;
        Ok(self.descending(&needs, &targets)?.into_iter().rev().map(|p| self.id(p)).collect())
    }

    /// The steps of `alembic downgrade`, highest first.
    pub fn downgrade(&self, rows: &[String], target: &str) -> Answer<Vec<String>> {
        no_range(target)?;
        let (branch, found) = self.downgrade_target(rows, target, true)?;
        let roots = self.roots(branch.as_deref(), found)?;
        let heads = self.current(rows)?;
        let active = self.closure(heads.iter().copied());
        let undone = &reach(roots, &self.all_up) & &active;
        match found {
            Found::Revision(place) if undone.is_empty() && !heads.contains(&place) => Err(AlembicError::NotAnAncestor),
            _ => Ok(self.descending(&undone, &heads)?.into_iter().map(|p| self.id(p)).collect()),
        }
    }

    /// The revisions of `alembic history -r lower:upper`, newest first (ScriptDirectory.walk_revisions).
    pub fn range(&self, lower: &str, upper: &str) -> Answer<Vec<String>> {
        let lower = if lower.is_empty() { "base" } else { lower };
        let upper = if upper.is_empty() { "heads" } else { upper };
        let mut targets = self.upgrade_targets(&[lower.to_owned()], upper, false)?;
        if let Some((branch, _)) = lower.split_once('@') {
            let label = self.label_of(branch)?;
            targets.retain(|t| self.labels_at(*t).contains(&label));
        }
        let required = self.covered(&targets)?;
        let mut current = self.get_revisions(lower)?;
        let beyond = |found: &Found| match found {
            Found::Nothing => false,
            Found::Base => true,
            Found::Revision(place) => !required.contains(place),
        };
        if current.iter().any(beyond) {
            return Err(AlembicError::NotAnAncestor);
        }
        let mut from = vec![lower.to_owned()];
        if current.first() == Some(&Found::Nothing) {
            // A relative lower end counts from the upper one.
            let (_, found) = self.downgrade_target(&[upper.to_owned()], lower, false)?;
            (current, from) = match found {
                Found::Nothing => return Err(ASSERTION),
                Found::Base => (Vec::new(), Vec::new()),
                Found::Revision(place) => (vec![found], vec![self.id(place)]),
            };
        }
        let current = current.into_iter().map(Found::revision).collect::<Answer<Vec<usize>>>()?;
        let mut needs = &required - &self.covered(&current)?;
        for found in self.get_all(&from)? {
            needs.insert(found.revision()?);
        }
        if !current.is_empty() {
            let above = reach(current.iter().copied(), &self.up);
            self.no_overlap_upwards(&current)?;
            needs.retain(|p| above.contains(p));
        }
        Ok(self.descending(&needs, &targets)?.into_iter().map(|p| self.id(p)).collect())
    }

    /// The revisions that `alembic show` finds: ids, "none" for the empty database, "base" past the first revision.
    pub fn resolve(&self, name: &str) -> Answer<Vec<String>> {
        let told = |found| match found {
            Found::Nothing => "none".to_owned(),
            Found::Base => "base".to_owned(),
            Found::Revision(place) => self.id(place),
        };
        Ok(self.get_revisions(name)?.into_iter().map(told).collect())
    }

    /// The revisions that `alembic current` shows: the tips of what is applied, by down_revision alone
    /// (RevisionMap._get_all_current).
    pub fn all_current(&self, rows: &[String]) -> Answer<Vec<String>> {
        Ok(self.sorted(self.current_tips(rows)?))
    }

    /// The rows that `alembic --sql` starts from (MigrationContext.get_current_heads with as_sql).
    pub fn offline_start(&self, start: Option<&str>) -> Answer<Vec<String>> {
        match start.filter(|s| *s != "base") {
            None => Ok(Vec::new()),
            Some(start) => match self.get_revision(start)? {
                Found::Revision(place) => Ok(vec![self.id(place)]),
                Found::Nothing | Found::Base => Err(AlembicError::Traceback("AttributeError")),
            },
        }
    }

    /// The revisions that rows name, as Alembic reads them: by id or any unique beginning.
    pub(super) fn current(&self, rows: &[String]) -> Answer<Vec<usize>> {
        self.get_all(rows)?.into_iter().map(Found::revision).collect()
    }

    /// What has to be applied for the targets (RevisionMap._collect_upgrade_revisions).
    pub(super) fn needs(&self, targets: &[usize], current: &[usize]) -> Answer<Set> {
        Ok(&self.covered(targets)? - &self.covered(current)?)
    }

    /// These and everything below; none may be below another.
    fn covered(&self, places: &[usize]) -> Answer<Set> {
        match self.overlap(places) {
            Some((lower, upper)) => {
                Err(AlembicError::Overlap { revision: self.id(upper), others: self.sorted([lower]) })
            }
            None => Ok(self.closure(places.iter().copied())),
        }
    }

    fn no_overlap_upwards(&self, places: &[usize]) -> Answer<()> {
        let above = reach(places.iter().flat_map(|p| self.up[*p].iter().copied()), &self.up);
        match places.iter().find(|p| above.contains(p)) {
            Some(place) => {
                Err(AlembicError::Overlap { revision: self.id(*place), others: self.sorted(places.to_vec()) })
            }
            None => Ok(()),
        }
    }

    fn label_of(&self, branch: &str) -> Answer<String> {
        match self.get_revision(branch)? {
            Found::Revision(place) if self.ids[place] == branch => {
                let mut labels = self.labels_at(place).into_iter();
                match (labels.next(), labels.next()) {
                    (Some(label), None) => Ok(label),
                    _ => Err(ASSERTION),
                }
            }
            _ => Ok(branch.to_owned()),
        }
    }

    /// RevisionMap._parse_upgrade_target
    fn upgrade_targets(&self, rows: &[String], target: &str, no_overwalk: bool) -> Answer<Vec<usize>> {
        let Some((branch, symbol, steps)) = relative(target) else {
            return self.get_revisions(target)?.into_iter().map(Found::revision).collect();
        };
        let found = match symbol {
            None if steps <= 0 => return Err(TOO_FEW),
            None => match self.walk(self.upgrade_start(rows, branch)?, steps, branch, no_overwalk)? {
                Found::Nothing => return Err(TOO_FEW),
                found => found,
            },
            Some(symbol) if steps > 0 => self.walk(self.get_revision(symbol)?, steps, branch, no_overwalk)?,
            Some(symbol) => self.walk(self.get_revision(&on(branch, symbol))?, steps, None, no_overwalk)?,
        };
        found.revision().map(|place| vec![place])
    }

    /// Where `+n` counts from: the row, the row on the branch, the tip of what is applied of the branch, or base.
    fn upgrade_start(&self, rows: &[String], branch: Option<&str>) -> Answer<Found> {
        let single = |starts: &[Found]| match starts {
            [] => Ok(Found::Nothing),
            [start] => Ok(*start),
            _ => Err(AlembicError::Revision("Ambiguous upgrade from multiple current revisions")),
        };
        let Some(branch) = branch else {
            return match rows {
                [] => Ok(Found::Nothing),
                [row] => self.get_revision(row),
                _ => single(&[Found::Nothing, Found::Nothing]),
            };
        };
        let current = self.current(rows)?;
        let mut starts = self.filter(&current, branch, false)?;
        if starts.is_empty() {
            let applied: Vec<usize> = self.closure(current).into_iter().collect();
            let active: Set = self.filter(&applied, branch, false)?.into_iter().collect();
            let below: Set = active.iter().flat_map(|p| self.normal_down[*p].iter().copied()).collect();
            starts = (&active - &below).into_iter().collect();
        }
        single(&starts.into_iter().map(Found::Revision).collect::<Vec<_>>())
    }

    /// RevisionMap._parse_downgrade_target: the branch to stay on, and where to go.
    fn downgrade_target(&self, rows: &[String], target: &str, no_overwalk: bool) -> Answer<(Option<String>, Found)> {
        let Some((branch, symbol, steps)) = relative(target) else {
            let (branch, symbol) = target.rsplit_once('@').unwrap_or(("", target));
            let branch = Some(branch.to_owned()).filter(|b| !b.is_empty());
            return Ok((branch, self.get_revision(symbol)?));
        };
        let named = branch.map(str::to_owned);
        if steps >= 0 {
            let from = self.get_revision(symbol.ok_or(TOO_FEW)?)?;
            let found = self.walk(from, steps, branch, no_overwalk)?;
            return if found == Found::Nothing { Err(TOO_FAR) } else { Ok((named, found)) };
        }
        let (branch, from) = match (symbol, branch) {
            (Some(symbol), branch) => (named, self.get_revision(&on(branch, symbol))?),
            (None, Some(branch)) => {
                let row = self.row_on_branch(rows, branch)?;
                (named, self.get_revision(&on(Some(branch), &row))?)
            }
            // Several rows: Alembic warns, and takes the first one.
            (None, None) => {
                let row = rows.first().ok_or(TOO_FEW)?;
                (Some(row.clone()), self.get_revision(&on(Some(row), row))?)
            }
        };
        match self.walk(from, steps, None, no_overwalk)? {
            Found::Nothing => Err(if symbol.is_none() { TOO_FEW } else { TOO_FAR }),
            found => Ok((branch, found)),
        }
    }

    fn row_on_branch(&self, rows: &[String], branch: &str) -> Answer<String> {
        let mut on_branch = Vec::new();
        for row in rows {
            let place = self.ident(row, None)?;
            if !self.filter(&[place], branch, false)?.is_empty() {
                on_branch.push(row.clone());
            }
        }
        if on_branch.is_empty() {
            let tips = self.current_tips(rows)?;
            on_branch.extend(self.filter(&tips, branch, false)?.into_iter().map(|p| self.id(p)));
        }
        match on_branch.as_slice() {
            [row] => Ok(row.clone()),
            _ => Err(ASSERTION),
        }
    }

    fn current_tips(&self, rows: &[String]) -> Answer<Vec<usize>> {
        let applied = self.closure(self.current(rows)?);
        Ok(applied.iter().copied().filter(|p| !self.up[*p].iter().any(|child| applied.contains(child))).collect())
    }

    /// The revisions at which a downgrade to a target starts to undo (RevisionMap._collect_downgrade_revisions).
    pub(super) fn roots(&self, branch: Option<&str>, target: Found) -> Answer<Vec<usize>> {
        let (mut roots, mut several) = match target {
            Found::Revision(place) => (self.up[place].clone(), self.up[place].len() > 1),
            Found::Nothing | Found::Base => (self.without(&self.down), false),
        };
        if !matches!(target, Found::Revision(_)) {
            // Each of a base's labels is one more entry of Alembic's map.
            several = self.names.values().filter(|p| self.down[**p].is_empty()).count() > 1;
        }
        if let Some(branch) = branch
            && several
        {
            let ancestors = reach([self.branch(branch)?], &self.down);
            roots.retain(|r| ancestors.contains(r));
            if roots.is_empty() {
                return Err(NOT_A_DOWNGRADE);
            }
        }
        Ok(roots)
    }
}

fn no_range(target: &str) -> Answer<()> {
    if target.contains(':') { Err(AlembicError::Command("Range revision not allowed")) } else { Ok(()) }
}

fn on(branch: Option<&str>, symbol: &str) -> String {
    branch.map_or_else(|| symbol.to_owned(), |branch| format!("{branch}@{symbol}"))
}

/// Alembic's expression for a relative target, `(?:(.+?)@)?(\w+)?((?:\+|-)\d+)`, which is not anchored at its end.
pub(super) fn relative(text: &str) -> Option<Relative<'_>> {
    let branches =
        text.match_indices('@').filter(|(at, _)| *at > 0).map(|(at, _)| (Some(&text[..at]), &text[at + 1..]));
    branches.chain([(None, text)]).find_map(|(branch, rest)| {
        let sign = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        let (symbol, number) = rest.split_at(sign);
        let digits = number.strip_prefix(['+', '-'])?;
        let digits = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
        if digits.is_empty() {
            return None;
        }
        let steps = digits.parse().unwrap_or(i64::MAX);
        let steps = if number.starts_with('-') { -steps } else { steps };
        Some((branch, Some(symbol).filter(|s| !s.is_empty()), steps))
    })
}
