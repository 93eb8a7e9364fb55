//! What holds for all tasks of a run: one document in evidence, known by its digest, which its task messages name.
//!
//! JSON, so that an auditor reads it; names of secrets and never the secrets themselves.

use serde::{Deserialize, Serialize};

use crate::settings::Access;

/// What holds for all tasks of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// How to reach the registries.
    pub access: Access,
}

impl Bundle {
    /// The document. The same bundle is the same bytes, so that it has one digest.
    ///
    /// # Errors
    /// A path in the settings is no text.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The bundle that a document holds.
    ///
    /// # Errors
    /// It is none of this program's.
    pub fn from_json(document: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Network, RegistrySettings};

    #[test]
    fn a_bundle_reads_back_from_its_document_which_is_the_same_each_time() {
        let registries = vec![RegistrySettings { pattern: "docker.io".to_owned(), ..Default::default() }];
        let network = Network { ca_file: Some("/etc/ca.pem".into()), ..Network::default() };
        let bundle = Bundle { access: Access { network, registries } };
        let document = bundle.to_json().unwrap();
        assert_eq!(document, bundle.to_json().unwrap());
        assert_eq!(Bundle::from_json(&document).unwrap(), bundle);
    }
}
