//! Writes the report of a run: rows are read once, page by page, and each goes to the writers of all three files.

use std::io;
use std::path::Path;

use backends::Store;
use backends::store::{ReportRow, Run, RunReport};
use proto::Digest;
use proto::outcome::Spent;

use crate::error::CoordinatorError;
use crate::report::causes::Causes;
use crate::report::json::{Document, Rest};
use crate::report::page::Page;
use crate::report::shares::Shares;
use crate::report::table::Table;
use crate::report::{JSON, draft, model, sections};

/// Rows read at once.
const ROWS: usize = 500;

/// Writes the report of an ended run into `folder/RUN/`: three files, each whole or not at all, `report.json` last.
///
/// # Errors
/// The Store does not answer, or a file cannot be written.
pub async fn write(store: &Store, run: &Run, folder: &Path) -> Result<RunReport, CoordinatorError> {
    let folder = folder.join(run.id.to_string());
    let failed = |source| CoordinatorError::Report { path: folder.display().to_string(), source };
    let mut report = Writers::create(&folder, run).map_err(failed)?;
    let mut after: Option<String> = None;
    loop {
        let rows = store.report_rows(run.id, after.as_deref(), ROWS).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.source.clone());
        for row in &rows {
            report.row(row).map_err(failed)?;
        }
    }
    let warnings = store.warnings(run.id).await?;
    let digest = report.finish(&folder, run, warnings).map_err(failed)?;
    Ok(RunReport { digest, path: folder.join(JSON).display().to_string() })
}

/// The three files, and what is folded for their heads and ends.
struct Writers {
    document: Document,
    table: Table,
    page: Page,
    causes: Causes,
    owners: Shares,
    registries: Shares,
    totals: model::Totals,
    spent: Spent,
    unlisted: Vec<model::UnlistedSection>,
}

impl Writers {
    fn create(folder: &Path, run: &Run) -> io::Result<Self> {
        draft::make_empty(folder)?;
        Ok(Self {
            document: Document::create(folder, &sections::run(run))?,
            table: Table::create(folder)?,
            page: Page::create(folder),
            causes: Causes::default(),
            owners: Shares::of_owners(),
            registries: Shares::of_registries(),
            totals: model::Totals::default(),
            spent: Spent::default(),
            unlisted: Vec::new(),
        })
    }

    fn row(&mut self, row: &ReportRow) -> io::Result<()> {
        self.table.row(row)?;
        if let Some(failure) = &row.failure {
            self.totals.unlisted += 1;
            let repository = row.source.clone();
            self.unlisted.push(model::UnlistedSection { repository, failure: failure.into() });
            return Ok(());
        }
        self.totals.count(row.outcome);
        self.spent += row.spent;
        self.causes.note(row);
        self.owners.note(row);
        self.registries.note(row);
        self.document.image(&sections::image(row))?;
        self.page.row(row)
    }

    fn finish(self, folder: &Path, run: &Run, warnings: Vec<String>) -> io::Result<Digest> {
        let rest = Rest {
            causes: self.causes.into_list(),
            owners: self.owners.into_list(),
            registries: self.registries.into_list(),
            unlisted: self.unlisted,
            warnings,
            totals: self.totals,
            spent: sections::spent(run, &self.spent),
        };
        self.page.finish(run, &rest)?;
        self.table.finish()?;
        // Last: who finds the document finds all three.
        let digest = self.document.finish(&rest)?;
        draft::sync(folder)?;
        Ok(digest)
    }
}
