//! How soon an object is checked again when nothing that is watched changes; no I/O.

use std::time::Duration;

/// While a pod works. Its end is watched; this is for a watch event that was lost.
pub const WHILE_ACTIVE: Duration = Duration::from_secs(15);
/// While a Job has no pod. That the API server refuses one is an event, which is not watched.
pub const WITHOUT_POD: Duration = Duration::from_secs(2);
/// Where a corrected Secret, image or database would let things go on.
pub const SOON: Duration = Duration::from_secs(30);
