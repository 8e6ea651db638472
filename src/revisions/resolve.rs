//! What a name means in a graph, function by function as alembic.script.revision.RevisionMap resolves it (facts 3.1 to
//! 3.4); no I/O.

use super::{
    AlembicError, Graph,
    error::{AMBIGUOUS_WALK, ASSERTION},
    graph::Set,
};

/// What Alembic's lookups give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Python's None: nothing, or the empty database.
    Nothing,
    /// The text "base", which a walk down past the first revision gives.
    Base,
    Revision(usize),
}

impl Found {
    /// alembic.script.revision.is_revision
    pub(super) fn revision(self) -> Result<usize, AlembicError> {
        match self {
            Self::Revision(place) => Ok(place),
            Self::Nothing | Self::Base => Err(ASSERTION),
        }
    }
}

type Answer<T> = Result<T, AlembicError>;

impl Graph {
    /// RevisionMap.get_revisions for a list of names.
    pub(super) fn get_all(&self, names: &[String]) -> Answer<Vec<Found>> {
        let mut found = Vec::new();
        for name in names {
            found.extend(self.get_revisions(name)?);
        }
        Ok(found)
    }

    /// RevisionMap.get_revisions for one name.
    pub(super) fn get_revisions(&self, name: &str) -> Answer<Vec<Found>> {
        let (symbols, branch) = self.symbols(name)?;
        if let [symbol] = symbols.as_slice()
            && let Some(steps) = negative(symbol)
        {
            let on_branch = |p: &usize| branch.is_none_or(|b| self.labels_at(*p).contains(b));
            let heads = self.effective_heads().into_iter().filter(on_branch);
            return heads.map(|head| self.walk(Found::Revision(head), steps, None, true)).collect();
        }
        symbols.iter().map(|symbol| self.ident(symbol, branch).map(Found::Revision)).collect()
    }

    /// RevisionMap.get_revision
    pub(super) fn get_revision(&self, name: &str) -> Answer<Found> {
        let (symbols, branch) = self.symbols(name)?;
        match symbols.as_slice() {
            [] => {
                branch.filter(|b| !b.is_empty()).map_or(Ok(()), |b| self.branch(b).map(drop)).map(|()| Found::Nothing)
            }
            [symbol] => self.ident(symbol, branch).map(Found::Revision),
            _ => Err(AlembicError::MultipleHeads { heads: symbols }),
        }
    }

    /// RevisionMap._resolve_revision_number: the ids that a symbol stands for, and the branch before its `@`.
    fn symbols<'a>(&self, name: &'a str) -> Answer<(Vec<String>, Option<&'a str>)> {
        let (branch, symbol) = match name.split_once('@') {
            Some((branch, symbol)) => (Some(branch), symbol),
            None => (None, name),
        };
        let narrowing = branch.filter(|b| !b.is_empty());
        let ids = match (symbol, narrowing) {
            ("base", _) => Vec::new(),
            ("heads", None) => self.effective_heads(),
            ("heads", Some(branch)) => self.filter(&self.without(&self.up), branch, false)?,
            ("head", _) => {
                let heads = self.without(&self.up);
                let heads = narrowing.map_or(Ok(heads.clone()), |b| self.filter(&heads, b, false))?;
                if heads.len() > 1 {
                    return Err(AlembicError::MultipleHeads { heads: self.sorted(heads) });
                }
                heads
            }
            _ => return Ok((vec![symbol.to_owned()], branch)),
        };
        Ok((ids.into_iter().map(|p| self.id(p)).collect(), branch))
    }

    /// RevisionMap._resolve_branch
    pub(super) fn branch(&self, name: &str) -> Answer<usize> {
        match self.names.get(name) {
            Some(place) => Ok(*place),
            None => self.ident(name, None),
        }
    }

    /// RevisionMap._revision_for_ident: an id, a label, or the beginning of just one of them that is longer than
    /// three characters.
    pub(super) fn ident(&self, name: &str, branch: Option<&str>) -> Answer<usize> {
        let branch = branch.filter(|b| !b.is_empty());
        let on = branch.map(|b| self.branch(b)).transpose()?;
        let place = match self.names.get(name) {
            Some(place) => *place,
            None if name.is_empty() => return Err(ASSERTION),
            None => self.prefix(name, branch)?,
        };
        match (branch, on) {
            (Some(branch), Some(on)) if !self.lineage(&[on], false).contains(&place) => {
                Err(AlembicError::NotOnBranch { revision: self.id(place), branch: crate::text::clean(branch, 64) })
            }
            _ => Ok(place),
        }
    }

    fn prefix(&self, name: &str, branch: Option<&str>) -> Answer<usize> {
        let begins = |key: &String| key.starts_with(name) && key.chars().nth(3).is_some();
        let mut found: Vec<(&String, usize)> =
            self.names.iter().filter(|(key, _)| begins(key)).map(|(key, place)| (key, *place)).collect();
        if let Some(branch) = branch {
            let places: Vec<usize> = found.iter().map(|(_, place)| *place).collect();
            let kept: Set = self.filter(&places, branch, false)?.into_iter().collect();
            found.retain(|(_, place)| kept.contains(place));
        }
        found.sort();
        let argument = || crate::text::clean(name, 64);
        match found.as_slice() {
            [] => Err(AlembicError::NotFound { argument: argument() }),
            [(_, place)] => Ok(*place),
            many => Err(AlembicError::Ambiguous {
                argument: argument(),
                candidates: many.iter().map(|(key, _)| (*key).clone()).collect(),
            }),
        }
    }

    /// RevisionMap.filter_for_lineage: those that share a line with what the name stands for.
    pub(super) fn filter(&self, targets: &[usize], name: &str, dependencies: bool) -> Answer<Vec<usize>> {
        let (symbols, branch) = self.symbols(name)?;
        let branch = branch.filter(|b| !b.is_empty()).map(str::to_owned);
        let shares: Vec<String> = branch.into_iter().chain(symbols).collect();
        if shares.is_empty() || targets.is_empty() {
            return Ok(targets.to_vec());
        }
        let against = shares.iter().map(|s| self.ident(s, None)).collect::<Answer<Vec<usize>>>()?;
        let lineage = self.lineage(&against, dependencies);
        Ok(targets.iter().copied().filter(|t| lineage.contains(t)).collect())
    }

    /// RevisionMap._walk: so many revisions up or down; a branch narrows a walk up. Past the end it gives Nothing, or
    /// stays at the end when overwalking is allowed.
    pub(super) fn walk(&self, from: Found, steps: i64, branch: Option<&str>, no_overwalk: bool) -> Answer<Found> {
        let mut at = from;
        for _ in 0..steps.unsigned_abs() {
            let next = if steps > 0 { self.above(at, branch)? } else { self.below(at) };
            at = match next.as_slice() {
                [] if no_overwalk => return Ok(Found::Nothing),
                [] => return Ok(at),
                [next] => *next,
                _ => return Err(AMBIGUOUS_WALK),
            };
        }
        Ok(at)
    }

    fn above(&self, at: Found, branch: Option<&str>) -> Answer<Vec<Found>> {
        let children = match at {
            Found::Base => return Err(ASSERTION),
            Found::Nothing => self.without(&self.down),
            Found::Revision(place) => self.up[place].clone(),
        };
        let children = branch.map_or(Ok(children.clone()), |b| self.filter(&children, b, false))?;
        Ok(children.into_iter().map(Found::Revision).collect())
    }

    fn below(&self, at: Found) -> Vec<Found> {
        let parents = match at {
            Found::Base => return Vec::new(),
            Found::Nothing => self.without(&self.up),
            Found::Revision(place) => self.down[place].clone(),
        };
        if parents.is_empty() { vec![Found::Base] } else { parents.into_iter().map(Found::Revision).collect() }
    }
}

/// What Python's int() makes of a text, where that is below zero.
fn negative(text: &str) -> Option<i64> {
    let digits = text.trim().strip_prefix('-')?;
    if digits.starts_with('_') || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let digits = digits.replace('_', "");
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().unwrap_or(i64::MAX))?;
    (number > 0 && !digits.is_empty()).then_some(-number)
}
