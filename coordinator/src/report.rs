//! The report of a run: a fold over the rows of the Store, streamed, so that size does not matter.
//!
//! - [`model`]: the document
//! - `write`: rows to `report.json`
//! - [`Summary`]: what a person reads first

pub mod model;
mod summary;
mod write;

pub use summary::{Cause, Summary};
pub(crate) use write::write;

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
