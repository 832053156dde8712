//! Locks of plain data.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value is plain data that no panic can leave half-changed.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
