//! The report of a run: a fold over the rows of the Store, streamed, so that size does not matter.
//!
//! - [`model`]: the document
//! - `write`: rows to the three files of a report, each by a writer of its own: `json`, `table` and `page`
//! - [`Causes`]: what went wrong, how often, and where
//! - `shares`: whose images ended how, and at which registry
//! - [`Summary`]: what a person reads first
//! - [`Reports`]: where reports go
//! - [`keep`]: a report where a person wants it
//! - [`words`]: numbers, sizes and times for people

mod causes;
mod draft;
mod json;
mod keep;
pub mod model;
mod page;
mod place;
mod sections;
mod shares;
mod summary;
mod table;
pub mod words;
mod write;

pub use causes::{Causes, host};
pub use keep::{keep, run_in};
pub use place::{Reports, files};
pub use summary::Summary;
pub use write::write;

/// The document: all there is to know, for programs.
pub const JSON: &str = "report.json";
/// A line for each image and destination, for spreadsheets.
pub const TABLE: &str = "report.csv";
/// The page, for people.
pub const PAGE: &str = "report.html";

/// The JSON Schema of `report.json`, for whoever reads it by program.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(model::Report).to_value()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_in_the_repository_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/report.schema.json");
        let ours = serde_json::to_string_pretty(&super::schema()).unwrap() + "\n";
        if std::fs::read_to_string(path).ok().as_deref() != Some(&ours) {
            std::fs::write(path, ours).unwrap();
            panic!("`report.schema.json` was not that of the code and is written anew: look at what changed");
        }
    }
}
