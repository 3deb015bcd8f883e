//! The rules of the repository, as tests. Each says in its failure what to change.

mod changes;
mod crates;
mod documents;
mod layers;
mod sources;
mod units;

use std::fs;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// A file of the repository.
#[derive(Clone, Debug)]
struct TextFile {
    /// The path from the root, as in `agentd/src/main.rs`.
    path: String,
    text: String,
}

impl TextFile {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }
}

fn workspace() -> Workspace {
    Workspace::find().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(workspace().path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file, build outputs, version control and snapshots of foreign data left out.
fn text_files() -> Vec<TextFile> {
    let root = workspace().root;
    let mut files = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !is_foreign(&folder, &root, &name) {
                open.push(path);
            } else if kind.is_file() && name != "Cargo.lock" {
                files.extend(text_file(&root, &path));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(files.len() > 50, "too few files were found in {}", root.display());
    files
}

fn is_foreign(folder: &Path, root: &Path, name: &str) -> bool {
    name == ".git"
        || name == "__pycache__"
        || (folder == root && (name == "target" || name == "out"))
}

fn text_file(root: &Path, path: &PathBuf) -> Option<TextFile> {
    let text = fs::read_to_string(path).ok()?;
    Some(TextFile { path: path.strip_prefix(root).ok()?.to_string_lossy().into_owned(), text })
}

fn rust_files() -> Vec<TextFile> {
    text_files().into_iter().filter(TextFile::is_rust).collect()
}

/// Fails with all faults at once.
fn none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n  {}", faults.join("\n  "));
}
