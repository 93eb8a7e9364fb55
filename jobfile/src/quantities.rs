//! Quantities as people write them, a number with its unit: `6h`, `400Mbit/s`, `5%`.

use std::time::Duration;

use crate::fault::RuleId;
use crate::tree::{Kind, Node, Value};
use crate::walk::Walk;

/// What editors are told of them; what is read may be less.
pub(crate) const DURATION: &str = "^[1-9][0-9]*[smhd]$";
pub(crate) const BANDWIDTH: &str = "^[1-9][0-9]*([kMG]bit|MB|MiB)/s$";
pub(crate) const PERCENT: &str = "^([0-9]|[1-9][0-9]|100)%$";

/// Units of time, in seconds.
const TIMES: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 24 * 3600)];

/// The longest time that can be meant, in seconds: a year.
const TIME_MAX: u64 = 366 * 24 * 3600;

/// Units of bandwidth, in bytes per second.
const BANDWIDTHS: [(&str, u64); 5] =
    [("kbit/s", 125), ("Mbit/s", 125_000), ("Gbit/s", 125_000_000), ("MB/s", 1_000_000), ("MiB/s", 1 << 20)];

/// Reads a time that is not zero.
pub(crate) fn duration(walk: &mut Walk, node: &Node, what: &str) -> Option<Duration> {
    let read = |text: &str| of_units(text, &TIMES).filter(|seconds| *seconds <= TIME_MAX);
    let mend = "write a number and `s`, `m`, `h` or `d`, as in `6h`, and at most `366d`";
    quantity(walk, node, what, ("a time", mend), read).map(Duration::from_secs)
}

/// Reads a bandwidth that is not zero, as bytes per second.
pub(crate) fn bandwidth(walk: &mut Walk, node: &Node, what: &str) -> Option<u64> {
    let mend = "write a number and `kbit/s`, `Mbit/s`, `Gbit/s`, `MB/s` or `MiB/s`, as in `400Mbit/s`";
    quantity(walk, node, what, ("a bandwidth", mend), |text| of_units(text, &BANDWIDTHS))
}

/// Reads a whole percentage from 0 to 100.
pub(crate) fn percent(walk: &mut Walk, node: &Node, what: &str) -> Option<u8> {
    let within = |number: Option<u32>| number.filter(|number| *number <= 100);
    let mend = match &node.value {
        Value::Typed(Kind::Number, text) if within(number_before(text, "")).is_some() => format!("write `{text}%`"),
        _ => "write a whole number from 0 to 100 and `%`, as in `5%`".to_owned(),
    };
    let read = |text: &str| u8::try_from(within(number_before(text, "%"))?).ok();
    quantity(walk, node, what, ("a percentage", &mend), read)
}

/// What `read` makes of the text; a number without its unit is none.
fn quantity<T>(
    walk: &mut Walk,
    node: &Node,
    what: &str,
    (expected, mend): (&str, &str),
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let text = match &node.value {
        Value::Typed(Kind::Number, text) => text,
        Value::Text(_) => walk.text(node, what)?,
        _ => {
            walk.wrong_type(node, what, expected, mend);
            return None;
        }
    };
    let found = read(text);
    if found.is_none() {
        walk.fault(node.position, RuleId::Value, format!("{what} is `{text}`, expected {expected}"), mend);
    }
    found
}

/// The product of number and unit; none if it is zero.
fn of_units(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let found = units.iter().find_map(|(unit, factor)| Some((number_before(text, unit)?, factor)));
    found.and_then(|(number, factor)| u64::from(number).checked_mul(*factor)).filter(|product| *product > 0)
}

/// The number before a unit, as a person writes it: without sign and leading zeros.
fn number_before(text: &str, unit: &str) -> Option<u32> {
    let digits = text.strip_suffix(unit)?;
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_stands_for_its_factor() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("6h", 21_600), ("7d", 604_800)] {
            assert_eq!(of_units(text, &TIMES), Some(seconds), "{text}");
        }
        for (text, bytes) in [
            ("8kbit/s", 1_000),
            ("400Mbit/s", 50_000_000),
            ("1Gbit/s", 125_000_000),
            ("50MB/s", 50_000_000),
            ("1MiB/s", 1_048_576),
        ] {
            assert_eq!(of_units(text, &BANDWIDTHS), Some(bytes), "{text}");
        }
    }

    #[test]
    fn a_number_is_written_one_way() {
        for text in ["", "0s", "-1s", "+1s", "01s", "1.5s", "1 s", "1S", "s", "1", "1ss", "4294967296s", "1w"] {
            assert_eq!(of_units(text, &TIMES), None, "{text}");
        }
    }
}
