//! Words for people, as in the report, and standard output for them.

use std::io::{self, ErrorKind, StdoutLock, Write};

use serde::Serialize;

pub(crate) use coordinator::report::words::{bytes, count, duration, number};

/// A hint to whoever named no job file, as with `copy`: what stands in the file is given in another way.
pub(crate) fn mend_without_file(hint: &str) -> String {
    if hint.contains("in the file") { format!("{hint} (given with `--settings FILE`)") } else { hint.to_owned() }
}

/// Writes a document for machines, with a line end.
pub(crate) fn write_json(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document)?;
    writeln!(out)
}

/// Standard output. Once its reader has gone, as with `| head -1`, the rest is dropped: what was done is done.
pub(crate) fn stdout() -> Stdout {
    Stdout(io::stdout().lock())
}

/// See [`stdout`].
pub(crate) struct Stdout(StdoutLock<'static>);

impl Write for Stdout {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        match self.0.write(text) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(text.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}
