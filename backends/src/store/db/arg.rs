//! Values for placeholders, in the form in which they are kept.

use jiff::Timestamp;

/// A value for a placeholder.
#[derive(Clone)]
pub(in crate::store) enum Arg {
    /// Text, or null.
    Text(Option<String>),
    /// A whole number, or null.
    Number(Option<i64>),
}

impl Arg {
    /// Null in a column of the same kind.
    pub(in crate::store) fn null(&self) -> Self {
        match self {
            Self::Text(_) => Self::Text(None),
            Self::Number(_) => Self::Number(None),
        }
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<Option<&str>> for Arg {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        i64::from(number).into()
    }
}

impl From<usize> for Arg {
    fn from(number: usize) -> Self {
        i64::try_from(number).unwrap_or(i64::MAX).into()
    }
}

impl From<bool> for Arg {
    fn from(flag: bool) -> Self {
        i64::from(flag).into()
    }
}

impl From<Timestamp> for Arg {
    fn from(time: Timestamp) -> Self {
        // Always six decimals, so that texts sort as the times do.
        Self::Text(Some(format!("{time:.6}")))
    }
}

impl From<Option<Timestamp>> for Arg {
    fn from(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Text(None), Self::from)
    }
}

macro_rules! id_args {
    ($($id:ty),+) => {$(
        impl From<$id> for Arg {
            fn from(id: $id) -> Self {
                Self::Text(Some(id.to_string()))
            }
        }
    )+};
}

id_args!(proto::RunId, proto::TaskId);

/// A value as it is kept.
#[expect(clippy::expect_used, reason = "our values are plain structs with text keys, which JSON can always hold")]
pub(in crate::store) fn to_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("a plain struct as JSON")
}
