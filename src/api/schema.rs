//! What the types of the API have in common: fields that are left out, and durations; no I/O.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Whether a field says no more than its absence would.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A duration in hours, minutes and seconds.
pub(super) fn duration_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
        "minLength": 2,
        "nullable": true
    })
}
