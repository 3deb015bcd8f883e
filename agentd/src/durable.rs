//! Replacing a file so that after any crash either the old or the new content is there, whole.
//!
//! The steps are those of "Files are hard": write a temporary file in the same folder, sync it, rename it over the
//! old one, sync the folder. Without the last the rename itself can be lost (fsync(2), NOTES).

use core::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Mode of every file of the agent's state: it names users and what they run.
const PRIVATE_FILE: u32 = 0o600;
/// Mode of its folders.
const PRIVATE_FOLDER: u32 = 0o700;

/// A step of making something durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making or opening the file.
    Create,
    /// Writing the content.
    Write,
    /// Bringing the content to the disk.
    Sync,
    /// Putting the new file in the old one's place.
    Rename,
    /// Bringing the folder's entry to the disk.
    SyncFolder,
    /// Cutting a file back to a length.
    Truncate,
    /// Removing a file.
    Remove,
}

impl Step {
    /// The verb, as in "failed to write".
    pub const fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Rename => "rename",
            Self::SyncFolder => "sync the folder of",
            Self::Truncate => "cut back",
            Self::Remove => "remove",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())
    }
}

/// A step that failed, on which file.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}: {cause}", path.display())]
pub struct DurableError {
    /// The step.
    pub step: Step,
    /// The file that was to become durable.
    pub path: PathBuf,
    /// What the kernel said.
    pub cause: io::Error,
}

impl DurableError {
    /// Whether the disk is full or over quota: the remedy is then known.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// What the agent asks of a disk. The kernel's is [`Kernel`]; tests have one that fails when told to.
pub trait Disk: fmt::Debug {
    /// Makes a new empty file that only the agent can read.
    fn create(&self, path: &Path) -> io::Result<File> {
        // O_EXCL also refuses a symbolic link in the file's place.
        OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path)
    }

    /// Opens a file to write at its end, making it if it does not exist.
    fn append_to(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(PRIVATE_FILE).open(path)
    }

    /// Writes everything.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Brings a file's content to the disk (fsync(2)).
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Brings a file's content to the disk, without its times (fdatasync(2)).
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Puts a file in another one's place at once (rename(2)).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Brings a folder's entries to the disk.
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// Cuts a file back to a length.
    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The kernel's file systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kernel;

impl Disk for Kernel {}

/// Replaces a file durably. The file's mode becomes 0600. On an error before the rename the old content is there; on
/// an error of the folder's sync the new content is there and may not survive a crash.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    replace_on(&Kernel, path, bytes)
}

/// [`replace`] on a given disk.
pub fn replace_on(disk: &impl Disk, path: &Path, bytes: &[u8]) -> Result<(), DurableError> {
    let at = |step: Step| move |cause| DurableError { step, path: path.to_path_buf(), cause };
    let temporary = temporary_of(path).map_err(at(Step::Create))?;
    // What a crash left behind. There is one writer, so nobody else's can be lost.
    match disk.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(at(Step::Remove)(error));
        }
        _ => {}
    }
    let written = write_new(disk, &temporary, bytes)
        .and_then(|()| disk.rename(&temporary, path).map_err(|cause| (Step::Rename, cause)));
    if let Err((step, cause)) = written {
        // The old file is what counts; a temporary one that stays is overwritten next time.
        let _ = disk.remove(&temporary);
        return Err(at(step)(cause));
    }
    disk.sync_folder(folder_of(path)).map_err(at(Step::SyncFolder))
}

fn write_new(disk: &impl Disk, path: &Path, bytes: &[u8]) -> Result<(), (Step, io::Error)> {
    let mut file = disk.create(path).map_err(|cause| (Step::Create, cause))?;
    disk.write(&mut file, bytes).map_err(|cause| (Step::Write, cause))?;
    disk.sync(&file).map_err(|cause| (Step::Sync, cause))
}

/// `.NAME.new` beside the file: in the same folder, or the rename would cross file systems.
fn temporary_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    Ok(path.with_file_name(temporary))
}

/// The folder of a file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder that only the agent can enter, with its parents; one that exists is left as it is.
pub fn private_folder(path: &Path) -> Result<(), DurableError> {
    let made = DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path);
    made.map_err(|cause| DurableError { step: Step::Create, path: path.to_path_buf(), cause })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use nix::errno::Errno;

    use super::faulty::Faulty;
    use super::*;

    fn old_file() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "old").unwrap();
        (folder, path)
    }

    #[test]
    fn the_content_is_replaced_and_private() {
        let (folder, path) = old_file();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_failure_at_any_step_before_the_rename_keeps_the_old_content() {
        for errno in [Errno::ENOSPC, Errno::EIO, Errno::EROFS] {
            for step in [Step::Create, Step::Write, Step::Sync, Step::Rename] {
                let (folder, path) = old_file();
                let error = replace_on(&Faulty::at(step, errno), &path, b"new").unwrap_err();
                assert_eq!(error.step, step);
                assert_eq!(fs::read(&path).unwrap(), b"old", "{step:?}");
                assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{step:?}: no rubbish");
                let text = error.to_string();
                assert!(text.starts_with(step.verb()), "{text}");
                assert!(text.contains("state.json"), "{text}");
                assert_eq!(error.is_out_of_space(), errno == Errno::ENOSPC);
            }
        }
    }

    #[test]
    fn a_folder_that_cannot_be_synced_is_an_error_although_the_content_is_new() {
        let (_folder, path) = old_file();
        let disk = Faulty::at(Step::SyncFolder, Errno::EIO);
        assert_eq!(replace_on(&disk, &path, b"new").unwrap_err().step, Step::SyncFolder);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn what_a_crash_left_does_not_matter() {
        let (folder, path) = old_file();
        fs::write(folder.path().join(".state.json.new"), "half of somethi").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old", "a crash before the rename changes nothing");
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn a_link_in_the_temporary_files_place_is_not_followed() {
        let (folder, path) = old_file();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join(".state.json.new")).unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = replace(Path::new("/nonexistent/state.json"), b"").unwrap_err().to_string();
        assert!(error.starts_with("create /nonexistent/state.json: "), "{error}");
        assert!(replace(Path::new("/"), b"").is_err());
    }

    #[test]
    fn folders_are_made_private_with_their_parents() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o700);
    }
}

#[cfg(test)]
pub(crate) mod faulty {
    //! A disk that fails when told to.

    use std::cell::Cell;

    use super::*;

    /// Every step works like the kernel's until the chosen one, which fails with the chosen error. A failing write
    /// leaves half of its bytes, as a full disk does.
    #[derive(Debug)]
    pub(crate) struct Faulty {
        pub(crate) fails: Cell<Option<(Step, i32)>>,
    }

    impl Faulty {
        pub(crate) fn at(step: Step, errno: nix::errno::Errno) -> Self {
            Self { fails: Cell::new(Some((step, errno as i32))) }
        }

        pub(crate) fn never() -> Self {
            Self { fails: Cell::new(None) }
        }

        fn check(&self, step: Step) -> io::Result<()> {
            match self.fails.get() {
                Some((failing, errno)) if failing == step => {
                    Err(io::Error::from_raw_os_error(errno))
                }
                _ => Ok(()),
            }
        }
    }

    impl Disk for Faulty {
        fn create(&self, path: &Path) -> io::Result<File> {
            self.check(Step::Create)?;
            Kernel.create(path)
        }

        fn append_to(&self, path: &Path) -> io::Result<File> {
            self.check(Step::Create)?;
            Kernel.append_to(path)
        }

        fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
            let failed = self.check(Step::Write);
            let part = if failed.is_err() { &bytes[..bytes.len() / 2] } else { bytes };
            Kernel.write(file, part)?;
            failed
        }

        fn sync(&self, file: &File) -> io::Result<()> {
            self.check(Step::Sync)?;
            Kernel.sync(file)
        }

        fn sync_data(&self, file: &File) -> io::Result<()> {
            self.check(Step::Sync)?;
            Kernel.sync_data(file)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.check(Step::Rename)?;
            Kernel.rename(from, to)
        }

        fn sync_folder(&self, folder: &Path) -> io::Result<()> {
            self.check(Step::SyncFolder)?;
            Kernel.sync_folder(folder)
        }

        fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
            self.check(Step::Truncate)?;
            Kernel.truncate(file, length)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.check(Step::Remove)?;
            Kernel.remove(path)
        }
    }
}
