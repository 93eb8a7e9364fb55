//! Where reports go: into a folder, or into evidence, as three documents and a list of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use backends::store::{Run, RunReport};
use backends::{Evidence, Store};
use proto::Digest;

use crate::error::CoordinatorError;
use crate::report::{JSON, PAGE, TABLE, write};

/// How the place of a report begins that lies in evidence.
const EVIDENCE: &str = "evidence:";

/// Where reports go.
#[derive(Clone)]
pub enum Reports {
    /// Into a folder of their own below this one.
    Folder(PathBuf),
    /// Into evidence.
    Evidence {
        /// Where they are kept.
        evidence: Evidence,
        /// Where they are written before; nothing stays there.
        scratch: PathBuf,
    },
}

impl Reports {
    /// Writes the report of an ended run, and says where.
    ///
    /// # Errors
    /// The Store does not answer, a file cannot be written, or the evidence store does not take it.
    pub async fn write(&self, store: &Store, run: &Run) -> Result<RunReport, CoordinatorError> {
        match self {
            Self::Folder(folder) => write(store, run, folder).await,
            Self::Evidence { evidence, scratch } => {
                let report = write(store, run, scratch).await?;
                let path = PathBuf::from(&report.path);
                let folder = path.parent().unwrap_or(scratch);
                let kept = keep(evidence, folder).await;
                let removed = tokio::fs::remove_dir_all(folder).await;
                removed.map_err(|source| CoordinatorError::Report { path: folder.display().to_string(), source })?;
                Ok(RunReport { path: format!("{EVIDENCE}{}", kept?), ..report })
            }
        }
    }
}

/// Keeps the files of a report; gives the digest of their list.
async fn keep(evidence: &Evidence, folder: &Path) -> Result<Digest, CoordinatorError> {
    let mut list = BTreeMap::new();
    for name in [JSON, TABLE, PAGE] {
        list.insert(name, evidence.keep_file(&folder.join(name)).await?);
    }
    let list = serde_json::to_vec(&list).map_err(|source| CoordinatorError::Document { what: "write", source })?;
    Ok(evidence.keep(list).await?)
}

/// The digests of a report's files by their names, if it lies in evidence.
///
/// # Errors
/// The evidence store does not give the list, or it is none of this program's.
pub async fn files(
    evidence: &Evidence,
    report: &RunReport,
) -> Result<Option<BTreeMap<String, Digest>>, CoordinatorError> {
    let Some(digest) = report.path.strip_prefix(EVIDENCE).and_then(|digest| digest.parse().ok()) else {
        return Ok(None);
    };
    let list = evidence.read(&digest).await?;
    let list = serde_json::from_slice(&list).map_err(|source| CoordinatorError::Document { what: "read", source })?;
    Ok(Some(list))
}
