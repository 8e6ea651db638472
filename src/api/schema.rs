//! What the types of the API have in common: fields that are left out; no I/O.

/// Whether a field says no more than its absence would.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
