//! A report where a person wants it, beside those that lie there already.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use daemon::crash::{self, Effect};
use proto::RunId;
use serde::Deserialize;

use crate::error::CoordinatorError;
use crate::report::draft::{self, Draft};
use crate::report::{JSON, PAGE, TABLE};

/// The files of a report, in the order in which they come and go: while the last one is there, it says whose they are.
const FILES: [&str; 3] = [PAGE, TABLE, JSON];

/// Copies the report whose document is `report` into a folder, where it must not replace one of another run: such a one
/// moves to `folder/ITS-RUN/` before. Gives the path of the page.
///
/// # Errors
/// A file cannot be read or written, or what is called like a report in that folder is none.
pub fn keep(report: &Path, folder: &Path) -> Result<PathBuf, CoordinatorError> {
    let from = report.parent().unwrap_or(Path::new("."));
    let (ours, earlier) = (run_in(from)?, run_in(folder)?);
    if let Some(earlier) = earlier.filter(|earlier| ours != Some(*earlier)) {
        let aside = folder.join(earlier.to_string());
        fs::create_dir_all(&aside).map_err(failed(&aside))?;
        for name in FILES {
            match fs::rename(folder.join(name), aside.join(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&aside.join(name))(error)),
                _ => {}
            }
        }
        sync(&aside);
    }
    fs::create_dir_all(folder).map_err(failed(folder))?;
    for name in FILES {
        copy(&from.join(name), folder, name).map_err(failed(&folder.join(name)))?;
    }
    sync(folder);
    Ok(folder.join(PAGE))
}

/// The run whose report lies in a folder; none if there is no report.
///
/// # Errors
/// The file cannot be read, or is no report.
pub fn run_in(folder: &Path) -> Result<Option<RunId>, CoordinatorError> {
    #[derive(Deserialize)]
    struct Head {
        run: Run,
    }
    #[derive(Deserialize)]
    struct Run {
        id: RunId,
    }
    let path = folder.join(JSON);
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed(&path))?,
    };
    let head = serde_json::from_reader(BufReader::new(file));
    let head: Head =
        head.map_err(|error| failed(&path)(io::Error::other(format!("it is no report of ours: {error}"))))?;
    Ok(Some(head.run.id))
}

fn copy(from: &Path, folder: &Path, name: &str) -> io::Result<()> {
    crash::before(Effect::ReportCopy);
    let mut copy = Draft::create(folder, name)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.finish()?;
    crash::after(Effect::ReportCopy);
    Ok(())
}

/// Puts the names in a folder on disk, where that can be done: some file systems refuse it, as those of a network may, and
/// what is lost there with the power is only a copy.
fn sync(folder: &Path) {
    draft::sync(folder).ok();
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CoordinatorError {
    let path = path.display().to_string();
    move |source| CoordinatorError::Report { path: path.clone(), source }
}
