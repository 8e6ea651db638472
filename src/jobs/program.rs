//! The runner's Python package, and how its files stand in a ConfigMap and in a pod; no I/O.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Value, json};

use super::names::short_hash;

macro_rules! files {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../runner/", $path)))),*] };
}

/// Every file of `src/runner`: its path below the folder that is mounted, and its text.
const FILES: &[(&str, &str)] = files![
    "__main__.py",
    "alembic_operator_runner/__init__.py",
    "alembic_operator_runner/apart.py",
    "alembic_operator_runner/application.py",
    "alembic_operator_runner/batch.py",
    "alembic_operator_runner/blame.py",
    "alembic_operator_runner/by_hand.py",
    "alembic_operator_runner/catalog.py",
    "alembic_operator_runner/connect.py",
    "alembic_operator_runner/drive.py",
    "alembic_operator_runner/engines/__init__.py",
    "alembic_operator_runner/engines/base.py",
    "alembic_operator_runner/engines/mysql.py",
    "alembic_operator_runner/engines/postgresql.py",
    "alembic_operator_runner/engines/sqlite.py",
    "alembic_operator_runner/errors.py",
    "alembic_operator_runner/executed.py",
    "alembic_operator_runner/frames.py",
    "alembic_operator_runner/imported.py",
    "alembic_operator_runner/inspection.py",
    "alembic_operator_runner/limits.py",
    "alembic_operator_runner/lock.py",
    "alembic_operator_runner/look.py",
    "alembic_operator_runner/look_only.py",
    "alembic_operator_runner/models.py",
    "alembic_operator_runner/next_revision.py",
    "alembic_operator_runner/observe.py",
    "alembic_operator_runner/outcome.py",
    "alembic_operator_runner/place.py",
    "alembic_operator_runner/pooler.py",
    "alembic_operator_runner/problems.py",
    "alembic_operator_runner/project.py",
    "alembic_operator_runner/rehearse.py",
    "alembic_operator_runner/render/__init__.py",
    "alembic_operator_runner/render/child.py",
    "alembic_operator_runner/render/guard.py",
    "alembic_operator_runner/render/offline.py",
    "alembic_operator_runner/render/operations.py",
    "alembic_operator_runner/render/output.py",
    "alembic_operator_runner/render/rendering.py",
    "alembic_operator_runner/report.py",
    "alembic_operator_runner/review.py",
    "alembic_operator_runner/revisions.py",
    "alembic_operator_runner/rights.py",
    "alembic_operator_runner/rows.py",
    "alembic_operator_runner/run.py",
    "alembic_operator_runner/scratch.py",
    "alembic_operator_runner/secrets.py",
    "alembic_operator_runner/source/__init__.py",
    "alembic_operator_runner/source/kinds.py",
    "alembic_operator_runner/source/reads.py",
    "alembic_operator_runner/source/sight.py",
    "alembic_operator_runner/statements.py",
    "alembic_operator_runner/steps.py",
    "alembic_operator_runner/stopping.py",
    "alembic_operator_runner/task.py",
    "alembic_operator_runner/texts.py",
    "alembic_operator_runner/url.py",
    "alembic_operator_runner/work.py",
];

/// Every file of the runner, for whoever starts it outside of a pod.
pub fn runner_files() -> &'static [(&'static str, &'static str)] {
    FILES
}

/// The folder of the pod that holds the program; Python runs it by its `__main__.py`.
pub(super) const FOLDER: &str = "/alembic-operator";

/// Hashed once: every pass asks for it, and the files are 300 KB.
static NAME: LazyLock<String> = LazyLock::new(|| {
    let parts: Vec<&str> = FILES.iter().flat_map(|(path, text)| [*path, *text]).collect();
    format!("alembic-runner-{}", short_hash(&parts, 12))
});

/// The name of the ConfigMap, which follows from the text of all files.
pub(super) fn name() -> String {
    NAME.clone()
}

/// The ConfigMap's data: its keys are flat, so a slash becomes a dot.
pub(super) fn data() -> BTreeMap<String, String> {
    FILES.iter().map(|(path, text)| (key(path), (*text).to_owned())).collect()
}

/// Which key is mounted at which path.
pub(super) fn items() -> Vec<Value> {
    FILES.iter().map(|(path, _)| json!({ "key": key(path), "path": path })).collect()
}

fn key(path: &str) -> String {
    path.replace('/', ".")
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        path::{Path, PathBuf},
    };

    use super::*;

    fn python_files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                python_files(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "py") {
                found.insert(path);
            }
        }
    }

    #[test]
    fn every_file_of_the_package_is_mounted_and_under_a_key_of_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runner");
        let mut found = BTreeSet::new();
        python_files(&root, &mut found);
        let mounted: BTreeSet<PathBuf> = FILES.iter().map(|(path, _)| root.join(path)).collect();
        assert_eq!(found, mounted);
        assert_eq!(data().len(), FILES.len());
    }

    #[test]
    fn the_package_fits_into_a_config_map() {
        assert!(data().iter().map(|(key, text)| key.len() + text.len()).sum::<usize>() < 512 * 1024);
    }
}
