//! The operating system and architecture that an image is for.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use crate::text::serde_as_text;

/// `os/architecture[/variant]`, as in `linux/amd64` and `linux/arm/v7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// Operating system, as Go names it: `linux`, `windows`.
    pub os: String,
    /// Architecture, as Go names it: `amd64`, `arm64`, `arm`.
    pub architecture: String,
    /// Variant of the architecture: `v7`, `v8`.
    pub variant: Option<String>,
}

/// Why a text is not a [`Platform`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a platform: expected `os/architecture` or `os/architecture/variant`, as in `linux/arm64`")]
pub struct PlatformError {
    text: String,
}

/// A platform as image-spec writes it, in descriptors and in configurations of images.
#[derive(Deserialize)]
pub(crate) struct Wire {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    variant: Option<String>,
}

impl Wire {
    /// The platform; none if it is not named whole.
    pub(crate) fn platform(self) -> Option<Platform> {
        let Self { os, architecture, variant } = self;
        let is_whole = !os.is_empty() && !architecture.is_empty();
        is_whole.then(|| Platform { os, architecture, variant: variant.filter(|variant| !variant.is_empty()) })
    }
}

impl Platform {
    /// What an image is for, by its configuration (image-spec, config.md); none if that does not say it.
    pub fn of_config(config: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Wire>(config).ok()?.platform()
    }

    /// Whether an image for `self` is what somebody who asks for `wanted` means.
    ///
    /// A missing variant of `arm64` is `v8`, the only one there is.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant_or_usual() == wanted.variant_or_usual())
    }

    fn variant_or_usual(&self) -> Option<&str> {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", None) => Some("v8"),
            (_, variant) => variant,
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError { text: crate::digest::excerpt(text) };
        let is_word = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        };
        let parts: Vec<&str> = text.split('/').collect();
        if !parts.iter().all(|part| is_word(part)) {
            return Err(error());
        }
        match parts[..] {
            [os, architecture] => Ok(Self { os: os.into(), architecture: architecture.into(), variant: None }),
            [os, architecture, variant] => {
                Ok(Self { os: os.into(), architecture: architecture.into(), variant: Some(variant.into()) })
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

serde_as_text!(Platform);

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn platforms_read_back() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(platform(text).to_string(), text);
        }
        for text in ["", "linux", "linux/", "linux/arm/v7/x", "linux /amd64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_configuration_says_what_its_image_is_for() {
        let config = |text: &str| Platform::of_config(text.as_bytes()).map(|platform| platform.to_string());
        let arm = r#"{"os":"linux","architecture":"arm","variant":"v7","config":{}}"#;
        assert_eq!(config(arm).as_deref(), Some("linux/arm/v7"));
        for without in [r#"{"os":"","architecture":""}"#, r#"{"os":"linux"}"#, "{}", "[]", "null", ""] {
            assert_eq!(config(without), None, "{without}");
        }
    }

    #[test]
    fn arm64_without_a_variant_is_v8_and_arm_without_one_is_any() {
        assert!(platform("linux/arm64").satisfies(&platform("linux/arm64/v8")));
        assert!(platform("linux/arm64/v8").satisfies(&platform("linux/arm64")));
        assert!(platform("linux/arm/v6").satisfies(&platform("linux/arm")));
        assert!(!platform("linux/arm/v6").satisfies(&platform("linux/arm/v7")));
        assert!(!platform("linux/amd64").satisfies(&platform("linux/arm64")));
    }
}
