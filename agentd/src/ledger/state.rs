//! A small file that holds one value over restarts and is never believed when it is damaged.
//!
//! The form is `{"version":1,"crc32":"89abcdef","state":{…}}`. The checksum is of the version and the state, so every
//! flipped bit is noticed. What cannot be believed is set aside for people, and the caller starts safe.

use core::fmt::Debug;
use core::marker::PhantomData;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use agent_core::stamp::Stamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::prune;
use crate::durable::{Disk, DurableError, Kernel, folder_of, replace_on};

/// The largest state: holds of a thousand users are below it.
const MOST_STATE: usize = 1024 * 1024;

/// At most so many damaged files are kept.
const MOST_KEPT: usize = 8;

/// The extension of files that were set aside.
const ASIDE: &str = "corrupt";

const BEFORE_CRC: &str = r#","crc32":""#;
const BEFORE_STATE: &str = r#"","state":"#;

/// What a state file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loaded<T> {
    /// There is none: the first start.
    Fresh,
    /// It is whole.
    Good(T),
    /// It is there and cannot be believed. Nothing may be concluded from it, not even that nothing was under way.
    Corrupt {
        /// Where it was moved to; none if it could not be.
        moved_to: Option<PathBuf>,
        /// What is wrong, one line.
        why: String,
    },
}

/// Why a state could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A step on the file failed.
    #[error("save the state: {0}")]
    Disk(#[from] DurableError),
    /// It is larger than any legal state.
    #[error("save the state in {}: {bytes} bytes are more than {MOST_STATE}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The size.
        bytes: usize,
    },
    /// It has no JSON form.
    #[error("save the state in {}: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What the serializer said.
        why: String,
    },
}

/// A file that holds a value of one version of a form.
#[derive(Debug)]
pub struct StateFile<T, D: Disk = Kernel> {
    path: PathBuf,
    version: u32,
    disk: D,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> StateFile<T, Kernel> {
    /// The state file at a path, in this version of its form.
    pub fn new(path: impl Into<PathBuf>, version: u32) -> Self {
        Self::on(Kernel, path, version)
    }
}

impl<T: Serialize + DeserializeOwned, D: Disk> StateFile<T, D> {
    /// [`StateFile::new`] on a given disk.
    pub fn on(disk: D, path: impl Into<PathBuf>, version: u32) -> Self {
        Self { path: path.into(), version, disk, of: PhantomData }
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the state. A file that cannot be believed is set aside under a name with the time.
    pub fn load(&self, now: Stamp) -> Loaded<T> {
        let bytes = match self.read() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Loaded::Fresh,
            // It may be whole; it is left where it is.
            Err(error) => {
                return Loaded::Corrupt { moved_to: None, why: format!("cannot be read: {error}") };
            }
        };
        match decode(&bytes, self.version) {
            Ok(state) => Loaded::Good(state),
            Err(why) => Loaded::Corrupt { moved_to: self.set_aside(now), why },
        }
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let most = u64::try_from(MOST_STATE).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn set_aside(&self, now: Stamp) -> Option<PathBuf> {
        let mut name = self.path.file_name()?.to_os_string();
        name.push(format!(".{}.{ASIDE}", now.wall_ms.max(0)));
        let aside = self.path.with_file_name(name);
        self.disk.rename(&self.path, &aside).ok()?;
        // Only a surplus of old evidence: no reason to fail.
        let _ = prune(&self.disk, folder_of(&self.path), ASIDE, MOST_KEPT);
        Some(aside)
    }

    /// Saves the state durably: when this returns it survives a crash. On an error the old one is still there.
    pub fn save(&self, state: &T) -> Result<(), StateError> {
        let form = |error: serde_json::Error| StateError::Form {
            path: self.path.clone(),
            why: error.to_string(),
        };
        let bytes = encode(&serde_json::to_string(state).map_err(form)?, self.version).into_bytes();
        if bytes.len() > MOST_STATE {
            return Err(StateError::TooLarge { path: self.path.clone(), bytes: bytes.len() });
        }
        Ok(replace_on(&self.disk, &self.path, &bytes)?)
    }
}

fn checksum(version: u32, json: &str) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&version.to_le_bytes());
    hasher.update(json.as_bytes());
    hasher.finalize()
}

fn encode(json: &str, version: u32) -> String {
    let crc = checksum(version, json);
    format!("{{\"version\":{version}{BEFORE_CRC}{crc:08x}{BEFORE_STATE}{json}}}\n")
}

fn decode<T: DeserializeOwned>(bytes: &[u8], version: u32) -> Result<T, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    if bytes.len() > MOST_STATE {
        return Err(format!("is larger than {MOST_STATE} bytes"));
    }
    let text = core::str::from_utf8(bytes).map_err(|_| "is not text".to_owned())?;
    let json = framed(text).ok_or_else(|| "is cut short or damaged".to_owned())?;
    let found = version_of(text).ok_or_else(|| "has no version".to_owned())?;
    // The whole is compared, so that no bit of the frame can be another either.
    if encode(json, found) != text {
        return Err("has a wrong checksum".to_owned());
    }
    if found != version {
        return Err(format!(
            "has version {found} of its form, this agentd reads version {version}"
        ));
    }
    serde_json::from_str(json).map_err(|error| format!("does not have the expected form: {error}"))
}

fn framed(text: &str) -> Option<&str> {
    text.split_once(BEFORE_STATE)?.1.strip_suffix("}\n")
}

fn version_of(text: &str) -> Option<u32> {
    text.strip_prefix("{\"version\":")?.split_once(BEFORE_CRC)?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use nix::errno::Errno;
    use serde::Deserialize;

    use super::*;
    use crate::durable::Step;
    use crate::durable::faulty::Faulty;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct State {
        key: u64,
        names: BTreeMap<String, i64>,
    }

    fn state() -> State {
        let names = [("alice".to_owned(), -1), ("bob \"x\"\n".to_owned(), 7)];
        State { key: 42, names: names.into() }
    }

    fn file(folder: &tempfile::TempDir) -> StateFile<State> {
        StateFile::new(folder.path().join("state.json"), 1)
    }

    fn now() -> Stamp {
        Stamp::new(0, 0, 1_700_000_000_123)
    }

    #[test]
    fn nothing_then_what_was_saved() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        assert_eq!(file.load(now()), Loaded::Fresh);
        file.save(&state()).unwrap();
        assert_eq!(file.load(now()), Loaded::Good(state()));
        let text = fs::read_to_string(file.path()).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["state"]["key"], 42, "people can read it");
    }

    #[test]
    fn every_truncation_is_noticed_and_the_file_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.save(&state()).unwrap();
        let bytes = fs::read(file.path()).unwrap();
        for length in 0..bytes.len() {
            fs::write(file.path(), &bytes[..length]).unwrap();
            let Loaded::Corrupt { moved_to: Some(aside), why } = file.load(now()) else {
                panic!("{length} bytes were believed");
            };
            assert!(!why.is_empty());
            assert_eq!(fs::read(&aside).unwrap(), &bytes[..length], "the evidence is kept");
            assert_eq!(file.load(now()), Loaded::Fresh, "the next start is a fresh one");
        }
    }

    #[test]
    fn every_single_flipped_bit_is_noticed() {
        let bytes = encode(&serde_json::to_string(&state()).unwrap(), 1).into_bytes();
        assert!(decode::<State>(&bytes, 1).is_ok());
        // Every bit of a small state, and 1,000 spread over a large one.
        for bit in 0..bytes.len() * 8 {
            assert!(!is_believed_with_flip(&bytes, bit), "bit {bit}");
        }
        let names = (0..2_000).map(|number| (format!("user{number}"), number)).collect();
        let large = State { key: 1, names };
        let bytes = encode(&serde_json::to_string(&large).unwrap(), 1).into_bytes();
        let bits = bytes.len() * 8;
        for step in 0..1_000 {
            // 7919 is prime, so the positions differ.
            assert!(!is_believed_with_flip(&bytes, (step * 7_919 * 31) % bits), "step {step}");
        }
    }

    fn is_believed_with_flip(bytes: &[u8], bit: usize) -> bool {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        decode::<State>(&flipped, 1).is_ok()
    }

    #[test]
    fn another_version_or_another_form_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let newer = StateFile::<State>::new(folder.path().join("state.json"), 2);
        newer.save(&state()).unwrap();
        let Loaded::Corrupt { moved_to, why } = file(&folder).load(now()) else { panic!() };
        assert_eq!(why, "has version 2 of its form, this agentd reads version 1");
        let kept = folder.path().join("state.json.1700000000123.corrupt");
        assert_eq!(moved_to, Some(kept));

        let other = StateFile::<u32>::new(folder.path().join("state.json"), 1);
        other.save(&5).unwrap();
        let Loaded::Corrupt { why, .. } = file(&folder).load(now()) else { panic!() };
        assert!(why.starts_with("does not have the expected form"), "{why}");
    }

    #[test]
    fn rubbish_a_giant_and_a_folder_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        for rubbish in
            [vec![0_u8; 4_096], b"{}".to_vec(), vec![b'x'; MOST_STATE + 1], b"\xff".to_vec()]
        {
            fs::write(file.path(), rubbish).unwrap();
            assert!(matches!(file.load(now()), Loaded::Corrupt { .. }));
        }
        fs::create_dir(file.path()).unwrap();
        let Loaded::Corrupt { moved_to, why } = file.load(now()) else { panic!() };
        assert_eq!(moved_to, None);
        assert!(why.starts_with("cannot be read"), "{why}");
    }

    #[test]
    fn what_cannot_be_set_aside_is_not_believed_either() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Faulty::at(Step::Rename, Errno::EROFS);
        let file = StateFile::<State, _>::on(disk, folder.path().join("state.json"), 1);
        fs::write(file.path(), "x").unwrap();
        assert!(matches!(file.load(now()), Loaded::Corrupt { moved_to: None, .. }));
    }

    #[test]
    fn a_failed_save_keeps_the_old_state_and_says_what_failed() {
        for step in [Step::Create, Step::Write, Step::Sync, Step::Rename] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state.json");
            let file = StateFile::<State, _>::on(Faulty::never(), &path, 1);
            file.save(&state()).unwrap();
            file.disk.fails.set(Some((step, Errno::ENOSPC as i32)));
            let error = file.save(&State { key: 43, ..state() }).unwrap_err().to_string();
            assert!(
                error.starts_with("save the state: ") && error.contains("state.json"),
                "{error}"
            );
            assert_eq!(file.load(now()), Loaded::Good(state()));
        }
    }

    #[test]
    fn only_so_many_damaged_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        for wall_ms in 1_700_000_000_000..1_700_000_000_020 {
            fs::write(file.path(), "x").unwrap();
            file.load(Stamp::new(0, 0, wall_ms));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_KEPT);
        assert!(folder.path().join("state.json.1700000000019.corrupt").exists());
    }

    #[test]
    fn a_state_beyond_the_limit_is_not_saved() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::<String>::new(folder.path().join("state.json"), 1);
        let error = file.save(&"x".repeat(MOST_STATE)).unwrap_err().to_string();
        assert!(error.contains("more than"), "{error}");
    }
}
