//! Alembic's own answers over revision graphs (shared/oracle/alembic_oracle.py) against the production planner. Without
//! ORACLE_FILE it replays the fixtures; exits with 1 when an answer differs.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

use alembic_operator::revisions::{AlembicError, Direction, Graph, PlanError, Script, Step, Target, decide};
use serde_json::Value;
use std::{collections::BTreeSet, fs::File, io::Read, path::Path, process::ExitCode};

#[derive(Default)]
struct Count {
    agree: usize,
    differ: usize,
}

impl Count {
    fn check(&mut self, same: bool, what: impl FnOnce() -> String) {
        if same {
            self.agree += 1;
        } else {
            self.differ += 1;
            println!("DIFFERS {}", what());
        }
    }

    fn cases(&self) -> usize {
        self.agree + self.differ
    }
}

fn main() -> ExitCode {
    let named = std::env::var("ORACLE_FILE").ok().filter(|f| !f.is_empty());
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = named.map_or_else(
        || {
            let all = std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path().display().to_string());
            all.filter(|path| path.ends_with(".jsonl.gz")).collect()
        },
        |file| vec![file],
    );
    let mut all = Count::default();
    for file in files {
        let mut count = Count::default();
        for line in text(&file).lines().filter(|l| !l.trim().is_empty()) {
            let record: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{file}: {e}"));
            if record["kind"] == "graph" {
                replay(&record, &mut count);
            }
        }
        println!("{}: {} cases, {} agree, {} differ", name(&file), count.cases(), count.agree, count.differ);
        all.agree += count.agree;
        all.differ += count.differ;
    }
    println!("{} cases, {} agree, {} differ", all.cases(), all.agree, all.differ);
    println!("{} passed, {} failed", all.agree, all.differ);
    if all.differ == 0 && all.agree > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn name(file: &str) -> String {
    Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &str) -> String {
    let mut text = String::new();
    let mut open = File::open(file).unwrap_or_else(|e| panic!("{file}: {e}"));
    if file.ends_with(".gz") {
        flate2::read::GzDecoder::new(open).read_to_string(&mut text).unwrap();
    } else {
        open.read_to_string(&mut text).unwrap();
    }
    text
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn set(value: &Value) -> BTreeSet<String> {
    strings(value).into_iter().collect()
}

fn unordered(ids: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    ids.into_iter().collect()
}

fn scripts(graph: &Value) -> Vec<Script> {
    let script = |s: &Value| Script {
        revision: s["rev"].as_str().unwrap_or_default().to_owned(),
        down: strings(&s["down"]),
        depends_on: strings(&s["deps"]),
        labels: strings(&s["labels"]),
    };
    graph["scripts"].as_array().unwrap().iter().map(script).collect()
}

fn replay(record: &Value, count: &mut Count) {
    let id = record["id"].as_str().unwrap();
    let expected = record.get("load_error").or_else(|| record.get("load_error_alts").map(|alts| &alts[0]));
    let graph = match Graph::load(scripts(record)) {
        Ok(graph) => graph,
        Err(error) => {
            // Of a duplicate id Alembic only warns, and then works with a graph that holds one of the two: refused here.
            let told = match error.exception() {
                Some(exception) => expected.is_some_and(|e| e["type"] == exception),
                None => record["load_warnings"].to_string().contains("is present more than once"),
            };
            return count.check(told, || format!("{id}: {error}; Alembic: {expected:?}"));
        }
    };
    count.check(expected.is_none(), || format!("{id}: loads, but Alembic says {expected:?}"));
    if let Some(map) = record.get("map") {
        of_the_map(id, &graph, map, count);
    }
    for case in record["cases"].as_array().into_iter().flatten() {
        let case = Case::of(id, case);
        case.command(&graph, count);
        case.declared(&graph, count);
    }
}

fn of_the_map(id: &str, graph: &Graph, map: &Value, count: &mut Count) {
    let mut same = |what: &str, ours: Vec<String>, theirs: &Value| {
        let ours = unordered(ours);
        count.check(ours == set(theirs), || format!("{id}: {what} {ours:?}; Alembic: {theirs}"));
    };
    same("real heads", graph.heads(), &map["real_heads"]);
    same("heads", graph.versioned_heads(), &map["heads"]);
    same("bases", graph.bases(), &map["bases"]);
    same("branch points", graph.branch_points(), &map["branch_points"]);
    same("merge points", graph.merge_points(), &map["merge_points"]);
    for (revision, labels) in map["labels"].as_object().into_iter().flatten() {
        same(&format!("labels of {revision}"), graph.labels(revision).into_iter().collect(), labels);
    }
    for (revision, parents) in map["norm_down"].as_object().into_iter().flatten() {
        same(&format!("normalised parents of {revision}"), graph.parents(revision), parents);
    }
}

/// One question, and Alembic's answer, or all its answers where they depend on Python's hash seed.
struct Case<'a> {
    graph: &'a str,
    op: &'a str,
    rows: Vec<String>,
    argument: &'a Value,
    answers: Vec<&'a Value>,
}

/// An answer of the planner in the oracle's terms.
enum Ours {
    Steps { steps: Vec<String>, end: Vec<String> },
    Revisions(Vec<String>),
    Fact(bool),
    Refused { at: &'static str, error: AlembicError },
}

impl<'a> Case<'a> {
    fn of(graph: &'a str, case: &'a Value) -> Self {
        let answers = case["alts"].as_array().map_or_else(|| vec![case], |alts| alts.iter().collect());
        let op = case["op"].as_str().unwrap();
        Self { graph, op, rows: strings(&case["cur"]), argument: &case["arg"], answers }
    }

    fn argument(&self) -> &'a str {
        self.argument.as_str().unwrap_or_default()
    }

    /// The command as Alembic has it, relative targets included.
    fn command(&self, graph: &Graph, count: &mut Count) {
        let ours = self.ask(graph).unwrap_or_else(|error| Ours::Refused { at: "plan", error });
        let same = self.answers.iter().any(|answer| ours.agrees(graph, answer, self.op.starts_with("downgrade")));
        count.check(same, || self.told(&ours.to_string()));
    }

    fn ask(&self, graph: &Graph) -> Result<Ours, AlembicError> {
        let argument = self.argument();
        Ok(match self.op {
            "upgrade" => followed(graph, &self.rows, graph.upgrade(&self.rows, argument)?, Step::Upgrade),
            "downgrade" => followed(graph, &self.rows, graph.downgrade(&self.rows, argument)?, Step::Downgrade),
            "upgrade_sql" | "downgrade_sql" => self.offline(graph)?,
            "stamp" => {
                let steps = graph.stamp(&self.rows, &strings(self.argument))?;
                match graph.follow(&self.rows, &steps) {
                    Ok(end) => Ours::Steps { steps: steps.iter().map(stamped).collect(), end },
                    Err((_, error)) => Ours::Refused { at: "apply", error },
                }
            }
            "resolve" => Ours::Revisions(graph.resolve(argument)?),
            "range" => {
                let (lower, upper) = argument.trim().split_once(':').ok_or(AlembicError::Command("no range"))?;
                if upper.contains(':') {
                    return Err(AlembicError::Traceback("ValueError"));
                }
                Ours::Revisions(graph.range(lower, upper)?)
            }
            "current" => Ours::Revisions(graph.all_current(&self.rows)?),
            "check_heads" => Ours::Fact(unordered(self.rows.clone()) == unordered(graph.versioned_heads())),
            other => panic!("{other}: a new kind of case"),
        })
    }

    fn offline(&self, graph: &Graph) -> Result<Ours, AlembicError> {
        let up = self.op == "upgrade_sql";
        let (start, target) = match self.argument().split_once(':') {
            Some((_, target)) if target.contains(':') => return Err(AlembicError::Traceback("ValueError")),
            Some((start, target)) => (Some(start), target),
            None if up => (None, self.argument()),
            None => return Err(AlembicError::Command("downgrade with --sql requires <fromrev>:<torev>")),
        };
        let rows = graph.offline_start(start)?;
        Ok(if up {
            followed(graph, &rows, graph.upgrade(&rows, target)?, Step::Upgrade)
        } else {
            followed(graph, &rows, graph.downgrade(&rows, target)?, Step::Downgrade)
        })
    }

    /// What the operator would do for a declared target, compared with the command that goes the same way.
    fn declared(&self, graph: &Graph, count: &mut Count) {
        let direction = match self.op {
            "upgrade" => Direction::Upgrade,
            "downgrade" => Direction::Downgrade,
            _ => return,
        };
        let Ok(target) = Target::parse(self.argument()) else { return };
        let rows = unordered(self.rows.clone());
        if rows.len() < self.rows.len() || !rows.iter().all(|r| graph.contains(r)) {
            return;
        }
        let same = match decide(graph, &rows, &target) {
            // A beginning that is unique on its branch: `alembic downgrade` does not read it so, all else does.
            Ok(_)
                if self.op == "downgrade"
                    && graph.downgrade(&self.rows, self.argument()).is_err_and(|e| e.class() == "ResolutionError") =>
            {
                self.answers.iter().all(|a| a.get("err").is_some())
            }
            Ok(plan) if plan.direction == direction => self.answers.iter().any(|answer| {
                let ours = Ours::Steps { steps: plan.steps.clone(), end: plan.end.iter().cloned().collect() };
                ours.agrees(graph, answer, direction == Direction::Downgrade)
            }),
            // Nothing to do, or the other command's work: Alembic's answer has no steps, or is an error.
            Ok(_) => {
                self.answers.iter().all(|a| a.get("err").is_some() || a["steps"].as_array().is_none_or(Vec::is_empty))
            }
            Err(error) => self.refused_rightly(graph, &error, &rows),
        };
        count.check(same, || self.told(&format!("declared: {:?}", decide(graph, &rows, &target))));
    }

    /// Alembic errs too, or leaves rows behind that its next command refuses; or the question is several at once.
    fn refused_rightly(&self, graph: &Graph, error: &PlanError, rows: &BTreeSet<String>) -> bool {
        let errs = self.answers.iter().all(|a| a.get("err").is_some());
        let fails = |end: &[String]| graph.upgrade(end, "heads").is_err();
        match error {
            PlanError::RedundantParent { .. } | PlanError::HalfWay { .. } => {
                let idle = self.answers.iter().any(|a| a["steps"].as_array().is_some_and(Vec::is_empty));
                let down = idle && self.op == "upgrade";
                let other = down.then(|| graph.downgrade(&self.rows, self.argument()));
                match other {
                    Some(Ok(steps)) => match followed(graph, &self.rows, steps, Step::Downgrade) {
                        Ours::Steps { end, .. } => fails(&end),
                        _ => true,
                    },
                    Some(Err(_)) => false,
                    None => errs || self.answers.iter().all(|a| a.get("err").is_some() || fails(&strings(&a["end"]))),
                }
            }
            PlanError::OverlappingRows { row, of } => rows.contains(row) && rows.contains(of),
            PlanError::Mixed { .. } => self.argument() == "heads" || self.argument().contains("@heads"),
            // `alembic downgrade` does not look whether the branch of branch@revision is one, and has the revision.
            PlanError::Target(_) if self.op == "downgrade" => errs || graph.resolve(self.argument()).is_err(),
            PlanError::Target(error) => {
                errs || graph.downgrade(&self.rows, self.argument()).err().as_ref() == Some(error)
            }
            _ => errs,
        }
    }

    fn told(&self, ours: &str) -> String {
        let Self { graph, op, rows, argument, answers } = self;
        format!("{graph}: {op} from {rows:?} to {argument}: {ours}; Alembic: {}", answers[0])
    }
}

impl std::fmt::Display for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Steps { steps, end } => write!(f, "steps {steps:?} end {end:?}"),
            Self::Revisions(ids) => write!(f, "{ids:?}"),
            Self::Fact(fact) => write!(f, "{fact}"),
            Self::Refused { at, error } => write!(f, "{at}: {} ({error})", error.class()),
        }
    }
}

fn followed(graph: &Graph, rows: &[String], steps: Vec<String>, step: fn(String) -> Step) -> Ours {
    match graph.follow(rows, &steps.iter().cloned().map(step).collect::<Vec<_>>()) {
        Ok(end) => Ours::Steps { steps, end },
        Err((_, error)) => Ours::Refused { at: "apply", error },
    }
}

fn stamped(step: &Step) -> String {
    match step {
        Step::Stamp { from, to, upgrade, .. } => {
            format!("{:?} {:?} {upgrade}", unordered(from.clone()), unordered(to.clone()))
        }
        Step::Upgrade(id) | Step::Downgrade(id) => id.clone(),
    }
}

impl Ours {
    fn agrees(&self, graph: &Graph, answer: &Value, down: bool) -> bool {
        match (self, answer.get("err")) {
            (Self::Refused { at, error }, Some(err)) => {
                let class = err["cause"].as_str().or(err["type"].as_str()).unwrap();
                err["at"] == *at && class == error.class()
            }
            (Self::Refused { .. }, None) | (_, Some(_)) => false,
            (Self::Steps { steps, end }, None) => {
                let theirs: Vec<String> = answer["steps"].as_array().unwrap().iter().map(their_step).collect();
                let ended = strings(&answer["end"]);
                unordered(steps.clone()) == unordered(theirs.clone())
                    && steps.len() == theirs.len()
                    && end.iter().eq(ended.iter())
                    && (steps.iter().any(|s| !graph.contains(s)) || topological(graph, steps, down))
            }
            (Self::Revisions(ids), None) => {
                let theirs: Vec<&Value> = answer["revs"].as_array().into_iter().flatten().collect();
                let theirs: Vec<String> = theirs.into_iter().map(|r| r.as_str().unwrap_or("none").to_owned()).collect();
                unordered(ids.clone()) == unordered(theirs)
            }
            (Self::Fact(fact), None) => answer["ok"] == *fact,
        }
    }
}

fn their_step(step: &Value) -> String {
    step["rev"].as_str().map_or_else(
        || format!("{:?} {:?} {}", set(&step["from"]), set(&step["to"]), step["up"].as_bool().unwrap()),
        str::to_owned,
    )
}

fn topological(graph: &Graph, steps: &[String], down: bool) -> bool {
    let position = |id: &String| steps.iter().position(|s| s == id);
    steps.iter().enumerate().all(|(at, step)| {
        graph.parents(step).iter().filter_map(position).all(|parent| if down { parent > at } else { parent < at })
    })
}
