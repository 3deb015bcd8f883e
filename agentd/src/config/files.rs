//! Which files are the configuration, and reading them without trusting them.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::problem::{Place, Problem, Problems};

/// The folders and the file of the configuration, later ones win. Within a folder files are read by name.
const SEARCHED: [&str; 4] = [
    "usr/lib/agentd/config.d",
    "run/agentd/config.d",
    "etc/agentd/agentd.toml",
    "etc/agentd/config.d",
];

/// The largest file that is read: a configuration of every key is a hundredth of it.
const LARGEST: u64 = 256 * 1024;

/// The most files that a folder may have.
const MOST_FILES: usize = 256;

/// Where the configuration is loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadFrom {
    /// The system's folders below a root: `/` on a real machine.
    System {
        /// The root.
        root: PathBuf,
    },
    /// This file alone, which must exist.
    File(PathBuf),
    /// A file, which must exist, over what is loaded from elsewhere.
    Over {
        /// What it is laid over.
        base: Box<LoadFrom>,
        /// The file.
        file: PathBuf,
    },
}

/// A file and its text.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) file: PathBuf,
    pub(super) text: String,
}

/// Reads all files in the order of their weight. What cannot be read is a problem, never passed over: it might have
/// been what keeps the machine up.
pub(super) fn read(from: &LoadFrom, problems: &mut Problems) -> Vec<Text> {
    let files = listed(from, problems);
    let mut texts = Vec::with_capacity(files.len());
    for file in files {
        match read_one(&file, problems) {
            Ok(text) => texts.push(Text { file, text }),
            Err(why) => problems.push(Problem::error(Some(why.place), "", why.message)),
        }
    }
    texts
}

fn listed(from: &LoadFrom, problems: &mut Problems) -> Vec<PathBuf> {
    match from {
        LoadFrom::File(file) => vec![file.clone()],
        LoadFrom::System { root } => found(root, problems),
        LoadFrom::Over { base, file } => {
            let mut files = listed(base, problems);
            files.push(file.clone());
            files
        }
    }
}

fn found(root: &Path, problems: &mut Problems) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for searched in SEARCHED {
        let path = root.join(searched);
        let listed = if path.extension().is_some_and(|extension| extension == "toml") {
            present(&path).map(|present| if present { vec![path.clone()] } else { Vec::new() })
        } else {
            fragments(&path)
        };
        match listed {
            Ok(listed) => files.extend(listed),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                problems.push(Problem::error(Some(Place::whole(&path)), "", message));
            }
        }
    }
    files
}

/// A dangling link counts as present, so that reading it says what is wrong.
fn present(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The `*.toml` of a folder by name; hidden files are those that editors and package managers leave.
fn fragments(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        if files.len() == MOST_FILES {
            return Err(io::Error::other(format!("more than {MOST_FILES} files")));
        }
        files.push(path);
    }
    files.sort();
    Ok(files)
}

struct Unreadable {
    place: Place,
    message: String,
}

fn read_one(file: &Path, problems: &mut Problems) -> Result<String, Unreadable> {
    let fail = |message: String| Unreadable { place: Place::whole(file), message };
    let unreadable = |error: io::Error| fail(format!("cannot be read: {error}"));
    // A FIFO must not make the daemon wait for a writer.
    let mut opened = OpenOptions::new()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(file)
        .map_err(unreadable)?;
    let about = opened.metadata().map_err(unreadable)?;
    if about.file_type().is_char_device() && about.rdev() == nix::sys::stat::makedev(1, 3) {
        // /dev/null: the usual way to mask a file.
        return Ok(String::new());
    }
    if !about.is_file() {
        return Err(fail("is not a regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    opened.by_ref().take(LARGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|size| size > LARGEST) {
        return Err(fail(format!("is larger than {} KiB", LARGEST / 1024)));
    }
    if about.mode() & 0o002 != 0 {
        let message = "can be written by every user of this machine";
        let hint = format!("chmod o-w {}", file.display());
        problems.push(Problem::warning(Some(Place::whole(file)), "", message).with_hint(hint));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
        Unreadable { place: Place::at(file, &text, valid), message: "is not UTF-8 text".to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(root: &Path, file: &str, text: impl AsRef<[u8]>) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn load(root: &Path) -> (Vec<String>, Vec<String>) {
        let mut problems = Problems::default();
        let from = LoadFrom::System { root: root.to_path_buf() };
        let texts = read(&from, &mut problems).into_iter().map(|text| text.text).collect();
        let problems = match problems.finish(&[]) {
            Ok(warnings) => warnings,
            Err(error) => error.problems,
        };
        (texts, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn the_order_is_vendor_runtime_main_file_then_local_fragments() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/agentd/config.d/90-b.toml", "6");
        write(root.path(), "etc/agentd/config.d/10-a.toml", "5");
        write(root.path(), "etc/agentd/agentd.toml", "4");
        write(root.path(), "run/agentd/config.d/50.toml", "3");
        write(root.path(), "usr/lib/agentd/config.d/99.toml", "2");
        write(root.path(), "usr/lib/agentd/config.d/00.toml", "1");
        write(root.path(), "etc/agentd/config.d/.hidden.toml", "no");
        write(root.path(), "etc/agentd/config.d/90-b.toml.bak", "no");
        write(root.path(), "etc/agentd/config.d/README", "no");
        let (texts, problems) = load(root.path());
        assert_eq!(texts, ["1", "2", "3", "4", "5", "6"]);
        assert!(problems.is_empty(), "{problems:?}");
    }

    #[test]
    fn no_file_at_all_is_fine() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(load(root.path()), (vec![], vec![]));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let root = tempfile::tempdir().unwrap();
        let folder = "etc/agentd/config.d";
        write(root.path(), &format!("{folder}/a.toml"), b"x = \"\xff\"");
        write(root.path(), &format!("{folder}/b.toml"), vec![b'#'; 256 * 1024 + 1]);
        fs::create_dir(root.path().join(folder).join("c.toml")).unwrap();
        symlink("/nonexistent/file", root.path().join(folder).join("d.toml")).unwrap();
        let fifo = root.path().join(folder).join("e.toml");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        symlink("/dev/null", root.path().join(folder).join("f.toml")).unwrap();
        let (texts, problems) = load(root.path());
        assert_eq!(texts, [""], "/dev/null masks a file");
        let expected = [
            ("a.toml:1:6: ", "not UTF-8"),
            ("b.toml: ", "larger than 256 KiB"),
            ("c.toml: ", "not a regular file"),
            ("d.toml: ", "No such file"),
            ("e.toml: ", "not a regular file"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:?}");
        for (problem, (place, message)) in problems.iter().zip(expected) {
            assert!(problem.contains(place) && problem.contains(message), "{problem}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/agentd/config.d", "");
        let (_, problems) = load(root.path());
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("config.d: cannot be read"), "{problems:?}");
    }

    #[test]
    fn a_named_file_must_exist() {
        let mut problems = Problems::default();
        read(&LoadFrom::File("/nonexistent/agentd.toml".into()), &mut problems);
        let error = problems.finish(&[]).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/agentd.toml: cannot be read"), "{error}");
    }

    #[test]
    fn too_many_fragments_are_an_error() {
        let root = tempfile::tempdir().unwrap();
        for number in 0..=MOST_FILES {
            write(root.path(), &format!("run/agentd/config.d/{number:04}.toml"), "");
        }
        let (_, problems) = load(root.path());
        assert!(problems[0].contains("more than 256 files"), "{problems:?}");
    }

    #[test]
    fn a_file_that_everybody_can_write_is_warned_about() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "etc/agentd/agentd.toml", "");
        let path = root.path().join("etc/agentd/agentd.toml");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let (_, problems) = load(root.path());
        assert!(problems[0].contains("warning: can be written by every user"), "{problems:?}");
    }
}
