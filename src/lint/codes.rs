//! Every hazard code: what it is called, how bad it is, and what to write instead; no I/O.

use super::Severity;

macro_rules! codes {
    ($($code:ident $severity:ident $title:literal: $advice:literal,)*) => {
        /// A kind of hazard. D loses data, B blocks, C breaks clients, F fails or stops half-way, I can't be
        /// undone, O can't be judged.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($code,)* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$code,)*];

            /// The code as it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// What the code stands for, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Self::$code => $title,)* }
            }

            /// How bad it is where nothing makes it better or worse.
            pub fn severity(self) -> Severity {
                match self { $(Self::$code => Severity::$severity,)* }
            }

            /// What to write instead.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$code => $advice,)* }
            }

            /// What to do where a downgrade does it: what it drops, no later release will.
            pub fn advice_down(self) -> &'static str {
                match self {
                    Self::D01 | Self::D02 | Self::D03 | Self::D04 | Self::D07 => {
                        "Keep a copy of the data first: going up again brings back the structure, and not the values."
                    }
                    other => other.advice(),
                }
            }
        }
    };
}

codes! {
    D01 Critical "drops a table, schema or database": "Stop using it first; rename or back it up, and drop it in a later release.",
    D02 Critical "drops a column": "Stop reading and writing the column first, and drop it in a later release.",
    D03 Critical "deletes every row": "Say which rows with WHERE, or keep a copy of the table first.",
    D04 Critical "makes a type narrower": "Add a new column, copy what fits in batches, and change over; check first that no value is cut.",
    D05 High "drops a view, sequence, type, function, trigger or extension": "Check that nothing uses it, and leave out CASCADE: what depends on it should stop the drop.",
    D06 Medium "drops a constraint, an index or a primary key": "Check that no query and no foreign key needs it; on PostgreSQL drop an index CONCURRENTLY.",
    D07 Critical "deletes the rows of child tables by a cascade": "PRAGMA foreign_keys=OFF before the table is copied, and foreign_key_check after it.",
    D08 High "takes away a grant or row security": "Check who loses access, or who gets more; do it apart from other changes.",
    B01 High "builds an index while writes wait": "CREATE INDEX CONCURRENTLY in an autocommit block on PostgreSQL; elsewhere in a quiet hour.",
    B02 Critical "CONCURRENTLY inside a transaction, which fails": "Use op.get_context().autocommit_block() around it.",
    B03 High "checks a new constraint while writes wait": "On PostgreSQL add it NOT VALID, and VALIDATE CONSTRAINT in a later transaction; elsewhere in a quiet hour.",
    B04 High "builds a unique, primary key or exclusion constraint while the table is locked": "On PostgreSQL CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX; elsewhere in a quiet hour.",
    B05 High "reads the whole table to set NOT NULL": "On PostgreSQL add CHECK (… IS NOT NULL) NOT VALID, validate it, then SET NOT NULL; elsewhere in a quiet hour.",
    B06 High "rewrites the table while it is locked": "Add a new column or table, fill it in batches and change over, or use an online tool such as gh-ost or pg_repack.",
    B07 Medium "takes a strong lock": "Use the CONCURRENTLY form where there is one, a short lock_timeout, and a transaction of its own.",
    B08 Medium "goes on working while it holds a strong lock": "Give the locking statement a revision and a transaction of its own (transaction_per_migration).",
    B09 Medium "takes the lock timeout away": "Leave it as the run sets it (`spec.timeouts.lock`), or set a short one.",
    B10 High "changes rows of a table in use inside a migration": "Change rows in batches outside the migration's transaction, each committed by itself.",
    C01 High "renames a column": "Add the new column, write both, move the readers, and drop the old one in a later release.",
    C02 High "renames a table, schema or enum value": "Leave a view with the old name, or add the new one and move the clients first.",
    C03 High "adds a column that old clients must fill but don't": "Add it with a DEFAULT or as nullable, fill it, and tighten it in a later release.",
    C04 Medium "refuses rows that were good before": "Release clients that keep to the new rule first.",
    C05 Low "lets in values that clients may not know": "Release clients that know them first; use a new enum value in a later transaction only.",
    C06 Low "json has no equality": "Use jsonb.",
    F01 High "may fail on the rows that are there": "Look for rows that break it before the run, and repair them.",
    F02 Medium "stops half-way when a later statement fails": "One change for each revision, so that a failed one leaves nothing half done.",
    F03 Medium "works on a table with an invalid index": "DROP INDEX CONCURRENTLY it, or REINDEX INDEX CONCURRENTLY, before the run.",
    I01 Medium "can't be undone": "Write a downgrade(), or plan how to go forward when the release fails.",
    I02 Low "loses data when it is undone": "Know that going back drops what the new release has written; keep a copy where that matters.",
    O01 Medium "does more than its SQL shows": "Read the revision file yourself; write plain SQL where you can.",
    O02 Medium "can't be judged": "Read it yourself; write plain SQL where you can.",
    O03 Low "is ignored by the engine": "Write it in the form that the engine obeys, such as ADD FOREIGN KEY.",
    O04 Low "joins branches": "See that both branches were tested together.",
}
