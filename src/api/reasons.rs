//! Every reason that the Ready condition can have, what kind of state it is, and what a person does about it; no I/O.

/// What a reason says about the next move, and so which of the kstatus conditions stand at True.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonKind {
    /// The database is where it should be.
    Ready,
    /// The operator is at work, or waits for something that clears by itself.
    Working,
    /// It may still pass by itself, as what comes a little later than the object: Working for a grace period, Stalled after it.
    Late,
    /// Nothing happens until the spec, the image or the world outside changes.
    Stalled,
    /// Held by the user.
    Held,
}

macro_rules! reasons {
    ($($kind:ident { $($name:ident = $text:literal: $advice:literal,)* })*) => {
        /// Why the Ready condition stands as it does; the STATUS column.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($($name,)*)* }

        impl Reason {
            /// Every reason, grouped by kind.
            pub const ALL: &'static [Self] = &[$($(Self::$name,)*)*];

            /// The word in the condition.
            pub fn as_str(self) -> &'static str {
                match self { $($(Self::$name => $text,)*)* }
            }

            /// What kind of state this is.
            pub fn kind(self) -> ReasonKind {
                match self { $($(Self::$name => ReasonKind::$kind,)*)* }
            }

            /// What a person does about it, in one sentence; the page docs/src/reasons.md.
            pub fn advice(self) -> &'static str {
                match self { $($(Self::$name => $advice,)*)* }
            }
        }
    };
}

reasons! {
    Ready {
        AtTarget = "AtTarget": "Nothing: the live version rows equal the target's.",
    }
    Working {
        Inspecting = "Inspecting": "Wait: a Job reads the image's revision files (once per image).",
        Probing = "Probing": "Wait: a Job reads the version table (`spec.database.probe.mode: Job`).",
        Rehearsing = "Rehearsing": "Wait: a Job runs the plan on a scratch database (`status.rehearsal`).",
        BackingUp = "BackingUp": "Wait: a backup is made before the run (`status.backup`).",
        Queued = "Queued": "Wait: as many runs are at work as may be (`maxRuns`, `maxRunsPerServer` of the chart); the message has the place in the line.",
        Migrating = "Migrating": "Wait: a Job runs the upgrade; `kubectl logs job/NAME` shows it.",
        Adopting = "Adopting": "Wait: a Job writes the revision of `spec.adopt` into the version table.",
        Downgrading = "Downgrading": "Wait: a Job runs the downgrade; `kubectl logs job/NAME` shows it.",
        AwaitingApproval = "AwaitingApproval": "Read the plan (status.plan and its ConfigMap); if it is intended, approve it by the command in the message or `spec.policy.approvedPlan`.",
        Verifying = "Verifying": "Wait: the Job of `spec.verify` runs; `kubectl logs job/NAME` shows it.",
        Soaking = "Soaking": "Wait: the time that a wave of a set soaks (`then.soak`) runs; the next wave comes after it.",
        AwaitingPromotion = "AwaitingPromotion": "See that the wave is good, then let the next one begin by the annotation in the message.",
        DatabaseUnreachable = "DatabaseUnreachable": "Bring the database or the network back; tried again with growing pauses.",
        DatabaseReadOnly = "DatabaseReadOnly": "Wait for the failover to end, or let the URL lead to the primary: the server takes no writes; tried again with growing pauses.",
        DatabaseLocked = "DatabaseLocked": "Wait, or end the migration that the message names; tried again with growing pauses.",
        TableLocked = "TableLocked": "Wait, or end the session that uses the table; the run was rolled back, and is tried again with growing pauses up to `spec.retry.limit` times.",
        PlanOutdated = "PlanOutdated": "Wait: the version rows changed between plan and run; nothing ran, a new plan is made.",
        ImageChanged = "ImageChanged": "Wait: the image holds other revision files than when it was inspected (a moved tag); nothing ran, it is inspected again.",
        DriftUnknown = "DriftUnknown": "Wait, or see why the schema can't be read: `spec.drift.onDrift: Block` starts nothing over what nobody knows.",
        RunInterrupted = "RunInterrupted": "Wait: the pod was taken away before it began anything; it is started again.",
        PodInitializing = "PodInitializing": "Wait, or see the log of the init container that the message names.",
    }
    Late {
        SecretNotFound = "SecretNotFound": "Create the Secret in the object's namespace; it is looked for again by itself.",
        SecretKeyMissing = "SecretKeyMissing": "Add the key to the Secret, or correct `spec.database`.",
        AuthFailed = "AuthFailed": "Correct user or password in the Secret; it is tried again by itself.",
        NoSuchDatabase = "NoSuchDatabase": "Create the database, or correct its name in the URL.",
        ImagePullFailed = "ImagePullFailed": "Correct `spec.image`, or add pull secrets in `spec.podTemplate`.",
        PodRejected = "PodRejected": "Make room in the quota, or fit `spec.podTemplate` to the namespace's admission rules; the message has them.",
        PodUnschedulable = "PodUnschedulable": "Wait for a node, or fit the resources and node placement in `spec.podTemplate` to those that are there.",
        PodStuck = "PodStuck": "Create the Secret, ConfigMap or volume that the message names, or correct `spec.podTemplate`: the pod is on a node and can't start there; it starts by itself then, and is replaced after 15 minutes.",
        InitContainerFailed = "InitContainerFailed": "Correct the init container in `spec.podTemplate`; the message has its last words. It is tried again by itself.",
    }
    Held {
        PlanOnly = "PlanOnly": "Nothing, if plans are only to be shown; else change `spec.policy.approval.mode` from Never.",
        Suspended = "Suspended": "Set `spec.suspend` to false, or remove the annotation `alembic-operator.dev/suspend`, to let the pending steps run.",
    }
    Stalled {
        InvalidSpec = "InvalidSpec": "Correct the field that the message names.",
        InvalidUrl = "InvalidUrl": "Correct the URL in the Secret: postgresql://user:password@host:5432/name or mysql+pymysql://…, special characters percent-encoded.",
        UnsupportedDialect = "UnsupportedDialect": "Use a database that this version supports: PostgreSQL, MySQL or MariaDB; SQLite with `spec.database.probe.mode: Job`; any other of SQLAlchemy's with `spec.database.lock: Lease` as well.",
        HostNotAllowed = "HostNotAllowed": "Use a host that the operator may connect to (`allowHosts` of the chart), have it added, or set `spec.database.probe.mode: Job`: then a pod of the namespace connects.",
        TlsFailed = "TLSFailed": "Correct sslmode in the URL, or the server's certificate.",
        PermissionDenied = "PermissionDenied": "Grant the user CONNECT on the database and SELECT on the version table.",
        Forbidden = "Forbidden": "Give the operator the right that the message names: see the chart's values for rbac and watchNamespaces; or make room in the quota that it names.",
        PodFailed = "PodFailed": "Look at the message and the Job's log: the container could not be started or ended without a word.",
        AlembicMissing = "AlembicMissing": "Use an image with Alembic, or set `spec.alembic.command` to the Python that has it.",
        AlembicTooOld = "AlembicTooOld": "Use Alembic 1.6 or newer in the image.",
        ConfigNotFound = "ConfigNotFound": "Set `spec.alembic.config`, `section` or `workingDir` to where alembic.ini is in the image.",
        EnvPyFailed = "EnvPyFailed": "Correct env.py, or give it the variables that it needs through `spec.podTemplate`.",
        EnvPyDidNotRun = "EnvPyDidNotRun": "Let env.py call context.run_migrations() when it is online.",
        RevisionFileFailed = "RevisionFileFailed": "Correct the revision file that the message names.",
        RevisionGraphInvalid = "RevisionGraphInvalid": "Correct down_revision, depends_on or branch_labels of the revision that the message names.",
        DuplicateRevision = "DuplicateRevision": "Give one of the two files another revision id.",
        RedundantParent = "RedundantParent": "Remove the parent that is an ancestor of another one: Alembic fails half-way on such a revision.",
        DriverMissing = "DriverMissing": "Install the driver in the image, or name another one in the URL or `spec.database.driver`.",
        ConnectFailed = "ConnectFailed": "The operator reaches the database but the application's pod does not: check NetworkPolicies, the driver's message and env.py.",
        OtherDatabase = "OtherDatabase": "Let env.py take its URL from the variable that the message names, and stay in that database: nothing was run.",
        PoolerInTransactionMode = "PoolerInTransactionMode": "Let `spec.database.migrationUrlFrom` name a URL that leads to the server itself, or to a pooler in session mode: nothing was run.",
        MultipleDatabases = "MultipleDatabases": "Use one object per database: env.py migrates several in one run.",
        VersionTableMismatch = "VersionTableMismatch": "Let `spec.database.versionTable` say what env.py says, or leave it out.",
        ExternalTransaction = "ExternalTransaction": "Let env.py commit what it ran before context.configure(), or use engine.begin(): Alembic's work would be rolled back.",
        NoRevisions = "NoRevisions": "The image holds no revision files: check that they are copied into it, and script_location.",
        MultipleHeads = "MultipleHeads": "Merge the heads (`alembic merge heads`), or set `targetRevision: heads`.",
        UnknownTarget = "UnknownTarget": "Correct `spec.targetRevision`, or use an image that holds the revision.",
        RevisionNotInImage = "RevisionNotInImage": "Use an image that holds the target, such as the one that the message names.",
        AmbiguousTarget = "AmbiguousTarget": "Write more characters of the revision id.",
        InvalidTarget = "InvalidTarget": "Write an absolute `spec.targetRevision`.",
        DatabaseAhead = "DatabaseAhead": "Use an image that holds the live revision: no image that the operator knows does. Or say in `spec.adopt.from` and `spec.adopt.revision` which revision of this image the schema is at.",
        HistoryDiverged = "HistoryDiverged": "Go down to the common revision that the message names and up again, or say in `spec.adopt.from` and `spec.adopt.revision` which revision of this image the schema is at.",
        HistoryRewritten = "HistoryRewritten": "Say in `spec.adopt.from` and `spec.adopt.revision` which revision of the new history the schema is at.",
        HistoryReordered = "HistoryReordered": "Put the revisions back into the order in which they ran, or say in `spec.adopt.from` and `spec.adopt.revision` that all of them have run.",
        RevisionInserted = "RevisionInserted": "Let what was inserted run: go down below it and up again, as the message says. Or say in `spec.adopt.from` that the schema has it.",
        RevisionRewritten = "RevisionRewritten": "Ship the revision file that ran and put what is new into a revision of its own, or say in `spec.adopt.from` that the schema is right.",
        DatabaseReplaced = "DatabaseReplaced": "Let the URL lead to the database of the runs before; or set the annotation `alembic-operator.dev/requestedAt` to a new value to go on with this one.",
        DatabaseUnmanaged = "DatabaseUnmanaged": "Say in `spec.adopt.revision` which revision the tables are at; `base` if they are none of this project's.",
        AdoptionRefused = "AdoptionRefused": "Bring the tables to what the models say, correct `spec.adopt.revision`, or set `spec.adopt.verify: None`.",
        DriftBlocked = "DriftBlocked": "Undo what was changed by hand, or accept it with `spec.drift.acceptedFingerprint`; `status.drift` says what it is.",
        UnknownRevision = "UnknownRevision": "Something else wrote a revision that no image that the operator knows has: use the image that it came from, or say in `spec.adopt.from` and `spec.adopt.revision` which revision the schema is at.",
        InvalidVersionRows = "InvalidVersionRows": "Mend the version table as the message says: each revision once, and none without a name.",
        OverlappingRows = "OverlappingRows": "Remove the row that is an ancestor of another one from the version table.",
        DowngradeNotAllowed = "DowngradeNotAllowed": "Set `spec.policy.downgrade: Allow` if the downgrade is intended, or raise the target.",
        IrreversibleRevision = "IrreversibleRevision": "Write the missing downgrade(), or restore from a backup.",
        RevisionIdTooLong = "RevisionIdTooLong": "Shorten the revision's id, or widen the column version_num of the version table.",
        UnusableRevision = "UnusableRevision": "Write the missing upgrade() of the revision that the message names.",
        PlanRejected = "PlanRejected": "Somebody rejected the plan: change `spec.targetRevision` or the image, or remove the annotation `alembic-operator.dev/reject`.",
        BackupFailed = "BackupFailed": "See the message and the log of `status.backup.job`: nothing was run. Correct it, then change the spec or set the annotation `alembic-operator.dev/requestedAt`.",
        MigrationFailed = "MigrationFailed": "Correct the revision and ship a new image, or set the annotation `alembic-operator.dev/requestedAt` to try again.",
        WaveFailed = "WaveFailed": "See `status.failures`: more targets of a wave failed than `spec.rollout.failureBudget` allows, and nothing more begins. Ship a new image, or set the annotation `alembic-operator.dev/requestedAt` to try those targets again.",
        TargetsFailed = "TargetsFailed": "See `status.failures`: every other target is where it should be. Ship a new image, or set the annotation `alembic-operator.dev/requestedAt` to try those targets again.",
        TargetsVanished = "TargetsVanished": "See whether the sources of `spec.targets` are whole. If it is intended that so many targets are gone, set the annotation `alembic-operator.dev/requestedAt` to a new value.",
        StatementTimeout = "StatementTimeout": "Raise `spec.timeouts.statement`, or divide the revision's work; the run was rolled back.",
        PartiallyApplied = "PartiallyApplied": "The database can't roll back DDL: see what the revision left, undo it or complete it by hand, then ship a new image or set the annotation `alembic-operator.dev/requestedAt`.",
        RolledBack = "RolledBack": "The run ended well but its work is not in the database: look at the transactions in env.py.",
        RehearsalFailed = "RehearsalFailed": "Nothing ran on the database: see the message and the log of `status.rehearsal.job`, mend the revision, or correct `spec.rehearsal` or `spec.scratch`; the annotation `alembic-operator.dev/requestedAt` tries again.",
        VerifyFailed = "VerifyFailed": "See the message and the log of `status.verify.job`; ship an image that passes, correct `spec.verify`, or set the annotation `alembic-operator.dev/requestedAt` to try again.",
        RunLost = "RunLost": "See in the database what was done, then set the annotation `alembic-operator.dev/requestedAt` to go on.",
    }
}

impl Reason {
    /// The reason with this word, if there is one.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something that keeps an object from its target, in the words of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub reason: Reason,
    pub message: String,
}

impl Problem {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_unique_and_found_again() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
    }
}
