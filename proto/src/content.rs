//! What of an image is carried to a destination: which platforms, and which of what refers to it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::platform::Platform;

/// What lies in a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Container images.
    #[default]
    Image,
    /// Helm charts.
    Chart,
    /// Anything else that registries keep.
    Artifact,
}

/// What of an image is carried to a destination. By default all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Content {
    /// Which platforms of an index.
    #[serde(default)]
    pub platforms: Platforms,
    /// Which of what refers to the image.
    #[serde(default)]
    pub referrers: Referrers,
}

/// Which platforms of an index are carried.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platforms {
    /// All of them: the digest stays.
    #[default]
    All,
    /// These alone, with the attestations of the build that lie in the index beside them. An image without an index is
    /// carried whatever it is for.
    Only {
        /// Which.
        platforms: BTreeSet<Platform>,
        /// What becomes of the index.
        index: IndexForm,
    },
}

/// What becomes of an index of which only some platforms are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexForm {
    /// It is written anew with the carried platforms alone: another digest, which no signature of the source fits, so
    /// what refers to the index stays behind. Where all platforms are carried it keeps bytes and digest.
    Rewrite,
    /// It keeps its bytes and names what is not there, which many registries refuse.
    Sparse,
}

/// Which of what refers to an image, or to one of its children, is carried: as a referrer, or under a tag of cosign's.
/// What is not wanted is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Referrers {
    /// All of it.
    #[default]
    All,
    /// Nothing.
    None,
    /// These kinds alone.
    Only(BTreeSet<ReferrerKind>),
}

/// What something that refers to an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReferrerKind {
    /// A signature.
    Signature,
    /// A list of what the image is made of.
    Sbom,
    /// Any other statement about it, as of how it was built.
    Attestation,
}

/// Gives the values of an enum the names that they have in the job file and in reports.
macro_rules! named {
    ($($type:ty { $($value:ident = $name:literal,)+ })+) => {$(
        impl $type {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// The name in job file and report.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $name,)+ }
            }

            /// The value with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )+};
}

named! {
    Kind { Image = "image", Chart = "chart", Artifact = "artifact", }
    IndexForm { Rewrite = "rewrite", Sparse = "sparse", }
    ReferrerKind { Signature = "signature", Sbom = "sbom", Attestation = "attestation", }
}

impl Content {
    /// Whether all of an image is carried, so that its digest and what refers to it stay as they are.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Platforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only { platforms, index } => {
                let platforms: Vec<String> = platforms.iter().map(ToString::to_string).collect();
                write!(f, "{} (index: {index})", platforms.join(", "))
            }
        }
    }
}

impl fmt::Display for Referrers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::Only(kinds) => {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                f.write_str(&kinds.join(", "))
            }
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "platforms: {}; referrers: {}", self.platforms, self.referrers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for kind in ReferrerKind::ALL {
            assert_eq!(ReferrerKind::from_name(kind.as_str()), Some(*kind));
        }
        assert_eq!((Kind::from_name("chart"), IndexForm::from_name("keep")), (Some(Kind::Chart), None));
    }

    #[test]
    fn content_is_told_in_words() {
        let platforms = ["linux/arm64", "linux/amd64"].map(|text| text.parse().unwrap()).into();
        let some = Content {
            platforms: Platforms::Only { platforms, index: IndexForm::Rewrite },
            referrers: Referrers::Only([ReferrerKind::Sbom, ReferrerKind::Signature].into()),
        };
        assert_eq!(
            some.to_string(),
            "platforms: linux/amd64, linux/arm64 (index: rewrite); referrers: signature, sbom"
        );
        assert!(!some.is_whole() && Content::default().is_whole());
    }
}
