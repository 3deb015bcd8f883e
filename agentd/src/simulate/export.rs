//! Writes a trace as plain lines that stand alone: for a bug report, or to become a test.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use agent_core::trace::Header;

use super::anonymous::Names;
use super::command::{ExportRequest, SimulateError, Source};

/// Writes the records of `source`; what was done, for people.
pub(super) fn export(
    source: &mut Source,
    request: &ExportRequest,
) -> Result<String, SimulateError> {
    let failed = |cause| SimulateError::Write { path: request.to.clone(), cause };
    let stdout = request.to == Path::new("-");
    let to: Box<dyn Write> = if stdout {
        Box::new(io::stdout().lock())
    } else {
        // It tells who did what on this machine.
        let mut file = OpenOptions::new();
        file.write(true).create(true).truncate(true).mode(0o600);
        Box::new(file.open(&request.to).map_err(failed)?)
    };
    let mut to = BufWriter::new(to);
    let mut names = request.anonymise.then(Names::default);
    let header = Header::new(concat!("agentd ", env!("CARGO_PKG_VERSION")));
    let mut count: u64 = 0;
    write_line(&mut to, &header).map_err(failed)?;
    for record in source.by_ref() {
        let mut record = record?;
        if let Some(names) = &mut names {
            names.replace(&mut record);
        }
        write_line(&mut to, &record).map_err(failed)?;
        count = count.saturating_add(1);
    }
    to.flush().map_err(failed)?;
    if stdout {
        return Ok(String::new());
    }
    let what = if request.anonymise {
        "; names are replaced. Look through it before you hand it on."
    } else {
        ", with the names of users and programs; --anonymise replaces them."
    };
    let done = format!("{count} records are in {}{what}\n", request.to.display());
    let notes = source.notes().into_iter().map(|note| format!("Note: {note}\n"));
    Ok(core::iter::once(done).chain(notes).collect())
}

fn write_line(to: &mut impl Write, line: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *to, line)?;
    to.write_all(b"\n")
}
