//! squawk's rules for PostgreSQL as our codes; no I/O.

use super::{Code, tokens::Token};
use squawk_linter::{Linter, Rule};
use squawk_syntax::{Parse, SourceFile};

/// What squawk finds in one statement, in its words.
pub(super) fn rules(parse: &Parse<SourceFile>, sql: &str) -> Vec<(Code, String)> {
    let mut linter = Linter::from(RULES.iter().copied());
    let found = linter.lint(parse, sql).into_iter();
    found.filter_map(|violation| Some((code(violation.code)?, violation.message))).collect()
}

/// Whether a rule that counts here is about such a statement: each of them looks at the whole tree.
pub(super) fn has_rules(tokens: &[Token<'_>]) -> bool {
    let is = |at: usize, words: &[&str]| tokens.get(at).is_some_and(|t| words.iter().any(|word| t.is(word)));
    match () {
        () if is(0, &["ALTER"]) => !is(1, &["TABLE"]),
        () => is(0, &["UPDATE"]),
    }
}

/// Those that count here: others would look at the whole tree for nothing.
const RULES: &[Rule] = &[
    Rule::BanAlterRoleOptions,
    Rule::BanAlterDatabaseOptions,
    Rule::BanAlterSystemOptions,
    Rule::BanAlterExtension,
    Rule::BanDuplicateColumnAssignments,
];

/// The one table of rules. A rule that a new release of squawk brings does not compile until it stands here.
fn code(rule: Rule) -> Option<Code> {
    match rule {
        Rule::BanAlterRoleOptions
        | Rule::BanAlterDatabaseOptions
        | Rule::BanAlterSystemOptions
        | Rule::BanAlterExtension
        | Rule::BanDuplicateColumnAssignments => Some(Code::O02),
        // Operations have these, and know more of them.
        Rule::BanDropDatabase
        | Rule::BanDropTable
        | Rule::BanDropSchema
        | Rule::BanTruncateCascade
        | Rule::BanDropView
        | Rule::BanDropFunction
        | Rule::BanDropType
        | Rule::BanDropTrigger
        | Rule::BanDropSequence
        | Rule::BanDropDomain
        | Rule::BanDropExtension
        | Rule::BanDropIndex
        | Rule::BanAlterPolicyCondition
        | Rule::BanAlterPolicyRoles
        | Rule::RequireConcurrentIndexCreation
        | Rule::RequireConcurrentIndexDeletion
        | Rule::RequireConcurrentPartitionDetach
        | Rule::RequireConcurrentReindex
        | Rule::BanAlterDomainWithAddConstraint
        | Rule::BanDropColumn
        | Rule::BanDropPolicy
        | Rule::BanSetSchema
        | Rule::BanDropConstraint
        | Rule::RenamingColumn
        | Rule::AddingRequiredField
        | Rule::BanDropDefault
        | Rule::BanDropGeneratedExpression
        | Rule::BanAlterIdentity
        | Rule::BanDropNotNull
        | Rule::BanAlterGeneratedExpression
        | Rule::AddingForeignKeyConstraint
        | Rule::RenamingTable => None,
        // `read` and `plan` look closer: at old names, validated checks, transactions, types that cost nothing.
        Rule::ChangingColumnType
        | Rule::AddingFieldWithDefault
        | Rule::BanAlterSequenceValues
        | Rule::AddingNotNullableField
        | Rule::AddingSerialPrimaryKeyField
        | Rule::DisallowedUniqueConstraint
        | Rule::BanConcurrentIndexCreationInTransaction
        | Rule::TransactionNesting
        | Rule::BanUncommittedTransaction
        | Rule::RenamingObject
        | Rule::ConstraintMissingNotValid
        | Rule::BanDetachInheritance
        | Rule::BanDisableTrigger
        | Rule::BanRevoke => None,
        // The operator sets timeouts for each run.
        Rule::RequireTimeoutSettings | Rule::RequireLockTimeout | Rule::RequireStatementTimeout => None,
        // Style, and changes that break nothing.
        Rule::PreferBigintOverInt
        | Rule::PreferBigintOverSmallint
        | Rule::PreferIdentity
        | Rule::PreferRepack
        | Rule::PreferRobustStmts
        | Rule::PreferTextField
        | Rule::PreferTimestampTz
        | Rule::BanCharField
        | Rule::UnusedIgnore
        | Rule::BanCreateDomainWithConstraint
        | Rule::RequireEnumValueOrdering
        | Rule::RequireTableSchema
        | Rule::IdentifierTooLong
        | Rule::BanSetDefault
        | Rule::BanReplicaIdentity
        | Rule::BanReplaceViewFunction
        | Rule::BanCreatePolicy
        | Rule::BanAlterFunctionOptions
        | Rule::BanAlterViewOptions
        | Rule::BanAlterRowLevelSecurity
        | Rule::BanNewWriteRestriction
        | Rule::BanAddEnumValue
        | Rule::BanAddCompositeAttribute
        | Rule::BanAddColumn => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_that_run_are_those_that_count() {
        let counting: Vec<Rule> =
            Linter::with_rules(RULES, &[]).rules.into_iter().filter(|rule| code(*rule).is_some()).collect();
        assert_eq!(counting.len(), RULES.len());
        assert!(RULES.iter().all(|rule| counting.contains(rule)));
    }
}
