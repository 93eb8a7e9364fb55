//! Rules that stand in no file.

use jobfile::Rules;
use proto::Tag;

fn parse(texts: &[&str]) -> Result<Rules, jobfile::Faults> {
    Rules::parse_all(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>(), "--rule", None)
}

#[test]
fn rules_are_read_as_a_file_would_hold_them_but_without_quotes() {
    let rules = parse(&[">=3", "!*-perl", "{3.20-slim,edge}", "{ versions: '>=3', variants: [alpine] }"]).unwrap();
    let tags = ["3.21", "3.21-perl", "3.21-alpine", "3.20-slim", "edge", "2.0"];
    let tags: Vec<Tag> = tags.iter().map(|tag| tag.parse().unwrap()).collect();
    let mut taken: Vec<String> = rules.select(&tags).taken.iter().map(|taken| taken.tag.to_string()).collect();
    taken.sort();
    assert_eq!(taken, ["3.20-slim", "3.21", "3.21-alpine", "edge"]);
    // By a version, `3.21` is taken only if nothing says more.
    assert_eq!(
        tags.iter().map(|tag| rules.take_by_text(tag)).collect::<Vec<_>>(),
        [false, false, false, true, true, false]
    );
}

#[test]
fn all_faults_of_rules_are_told_each_with_the_number_of_its_rule() {
    let faults = parse(&["*", "a b", "{ version: 3", "$stable"]).unwrap_err();
    let places: Vec<_> = faults.iter().map(|fault| fault.place.position.line).collect();
    assert_eq!(places, [3], "{faults}");
    let faults = parse(&["*", "a b", "$stable", "{ versionen: '>=3' }"]).unwrap_err();
    assert_eq!(faults.iter().count(), 4, "{faults}");
    assert!(parse(&["!edge"]).unwrap_err().to_string().contains("only removals are given"));
}
