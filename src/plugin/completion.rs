//! `completion`: scripts for shells, and what kubectl may complete; no I/O.

use super::cli::{Cli, Shell};
use clap::CommandFactory;

/// The script for a shell.
pub fn script(shell: Shell) -> String {
    let generator = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
        Shell::Kubectl => return KUBECTL.to_owned(),
    };
    let mut out = Vec::new();
    clap_complete::generate(generator, &mut Cli::command(), "kubectl-dbmigration", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// kubectl looks for a program of this name beside the plugin.
const KUBECTL: &str = "#!/bin/sh
# Save it as kubectl_complete-dbmigration on the PATH and make it executable.
exec kubectl dbmigration __complete -- \"$@\"
";

/// Whether the word that is being typed is the name of an object.
pub fn wants_name(words: &[String]) -> bool {
    let Some((typed, before)) = words.split_last() else { return false };
    let command = before.iter().find(|word| !word.starts_with('-')).and_then(|word| find(word));
    let takes_name = command.is_some_and(|command| command.get_positionals().any(|arg| arg.get_id() == "name"));
    let named = before.iter().filter(|word| !word.starts_with('-')).count() > 1;
    takes_name && !named && !typed.starts_with('-')
}

fn find(name: &str) -> Option<clap::Command> {
    Cli::command().get_subcommands().find(|command| command.get_name() == name).cloned()
}

/// The candidates, one a line, and the directive by which kubectl adds no names of files.
pub fn candidates(words: &[String], names: &[String]) -> String {
    let typed = words.last().map(String::as_str).unwrap_or_default();
    let command =
        words.iter().take(words.len().saturating_sub(1)).find(|w| !w.starts_with('-')).and_then(|word| find(word));
    let mut all: Vec<String> = match &command {
        None => {
            Cli::command().get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect()
        }
        Some(_) if wants_name(words) => names.to_vec(),
        Some(command) if typed.starts_with('-') => {
            command.get_arguments().filter_map(|arg| arg.get_long()).map(|flag| format!("--{flag}")).collect()
        }
        Some(_) => Vec::new(),
    };
    all.retain(|candidate| candidate.starts_with(typed));
    all.iter().map(|candidate| format!("{candidate}\n")).collect::<String>() + ":4\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn commands_names_and_flags_are_completed() {
        let names = ["shop".to_owned(), "ledger".to_owned()];
        assert_eq!(candidates(&words("hi"), &names), "history\n:4\n");
        assert_eq!(candidates(&words("plan s"), &names), "shop\n:4\n");
        assert_eq!(candidates(&words("approve --pl"), &names), "--plan\n:4\n");
        assert_eq!((wants_name(&words("plan shop x")), wants_name(&words("why x"))), (false, false));
        assert!(
            script(Shell::Bash).contains("kubectl-dbmigration") && script(Shell::Kubectl).starts_with("#!/bin/sh\n")
        );
    }
}
