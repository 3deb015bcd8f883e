//! Where the repository and its build outputs are.

use std::env;
use std::path::{Path, PathBuf};

/// Why the workspace was not found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkspaceError {
    /// The current folder cannot be read.
    #[error("find the current folder: {0}")]
    CurrentDir(#[from] std::io::Error),
    /// No folder above has a workspace with this program in it.
    #[error("find the repository above '{0}': run this inside it")]
    NotFound(PathBuf),
}

/// The repository.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// The folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target folder.
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Searches upwards from the current folder.
    pub(crate) fn find() -> Result<Self, WorkspaceError> {
        let here = env::current_dir()?;
        let root = here
            .ancestors()
            .find(|folder| folder.join("packaging/xtask/Cargo.toml").is_file())
            .ok_or_else(|| WorkspaceError::NotFound(here.clone()))?;
        Ok(Self::at(root, env::var_os("CARGO_TARGET_DIR").map(PathBuf::from)))
    }

    fn at(root: &Path, target: Option<PathBuf>) -> Self {
        let target = target.map_or_else(|| root.join("target"), |given| root.join(given));
        Self { root: root.to_owned(), target }
    }

    /// A path inside the repository.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside)
    }

    /// The version of the package, from the first line of `debian/changelog`: `agentd (0.1.0) unstable; …`.
    #[cfg(test)]
    pub(crate) fn version(&self) -> Option<String> {
        let changelog = std::fs::read_to_string(self.path("debian/changelog")).ok()?;
        let (_, rest) = changelog.lines().next()?.split_once('(')?;
        Some(rest.split_once(')')?.0.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_folder_is_beside_the_manifest_unless_the_variable_moves_it() {
        let root = Path::new("/r");
        assert_eq!(Workspace::at(root, None).target, Path::new("/r/target"));
        assert_eq!(Workspace::at(root, Some("/t".into())).target, Path::new("/t"));
        assert_eq!(Workspace::at(root, Some("out".into())).target, Path::new("/r/out"));
    }

    #[test]
    fn the_version_of_the_package_is_the_version_of_the_workspace() {
        let version = Workspace::find().unwrap().version().unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
    }
}
