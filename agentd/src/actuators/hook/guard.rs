//! Whether the hook may be run as root: only when nobody but root can have changed it.

use std::path::Path;

use crate::host::program;

/// Checks every component of an absolute path ([`program::inspect`]). The error names the component.
pub(super) fn inspect(path: &Path) -> Result<(), String> {
    program::inspect(path, "hook")
}
