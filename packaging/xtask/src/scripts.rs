//! Shell scripts and man pages: shellcheck and mandoc have nothing to say.

use std::fs;
use std::path::PathBuf;

use crate::command::{Tool, exists};
use crate::steps::Trouble;
use crate::workspace::Workspace;

/// Scripts of the repository and of the package.
const SCRIPTS: &[&str] = &[".ci/run", "debian/agentd.postrm"];

/// Runs both checkers. Skipped where one of them is missing.
pub(crate) fn check(workspace: &Workspace) -> Result<String, Trouble> {
    for program in ["shellcheck", "mandoc"] {
        if !exists(program) {
            return Err(Trouble::Skipped(format!("no {program} here")));
        }
    }
    let mut shellcheck = Tool::new(&workspace.root, "shellcheck");
    for script in SCRIPTS {
        shellcheck = shellcheck.arg(script);
    }
    shellcheck.run()?;
    let pages = pages(workspace)?;
    let mut mandoc = Tool::new(&workspace.root, "mandoc -Tlint -Wwarning");
    for page in &pages {
        mandoc = mandoc.arg(page);
    }
    mandoc.run()?;
    Ok(format!("{} scripts, {} man pages", SCRIPTS.len(), pages.len()))
}

fn pages(workspace: &Workspace) -> Result<Vec<PathBuf>, Trouble> {
    let folder = workspace.path("packaging/man");
    let read = fs::read_dir(&folder)
        .map_err(|error| Trouble::Failed(format!("{}: {error}", folder.display())))?;
    let mut pages: Vec<PathBuf> = read.filter_map(|entry| Some(entry.ok()?.path())).collect();
    pages.sort();
    Ok(pages)
}
