//! Properties of the rules, whatever the tags; the lists of real shape are among the tests from outside.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::version::Version;

fn rules(texts: &[String]) -> Rules {
    let mut rules = Rules::default();
    for text in texts {
        rules.add(text).unwrap();
    }
    rules
}

fn taken(rules: &Rules, tags: &[Tag]) -> BTreeSet<Tag> {
    rules.select(tags).taken.into_iter().map(|taken| taken.tag).collect()
}

/// Tags in many shapes, few enough that rules meet them.
fn tag() -> impl Strategy<Value = Tag> {
    let version = "v?[0-3](\\.[0-3]){0,2}(_[0-3])?(-?rc[1-3])?(-alpine|-slim|-alpine3\\.2[0-3])?";
    let other = "latest|edge|2025010[1-9]|noble-2025|sha256-[0-9a-f]{64}(\\.sig)?|[A-Za-z_][A-Za-z0-9_.-]{0,8}";
    prop_oneof![4 => version, 1 => other].prop_map(|text| text.parse().unwrap())
}

/// A rule that takes something.
fn rule() -> impl Strategy<Value = String> {
    let range = "(>=|>|<=|<|=|~|\\^)[0-3](\\.[0-3]){0,2}( <[1-4])?";
    let glob = "[1-3v]\\*|\\*-alpine|\\*|\\?\\.\\?|\\{1,2\\}\\.\\*|[a-c]\\*";
    let exact = "[0-3]\\.[0-3]|latest";
    prop_oneof![range, glob, exact, "/\\^[1-3]/", "/(alpine|rc)/"]
}

fn some<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, 0..6)
}

proptest! {
    #[test]
    fn any_text_is_a_rule_or_refused(text in "\\PC{0,40}", tag in tag()) {
        let mut rules = Rules::default();
        if rules.add(&text).is_ok() {
            rules.select(&[tag]);
        }
    }

    #[test]
    fn text_of_operators_is_a_rule_or_refused(text in "[!<>=~^*?\\[\\]{}/@$0-9a.,v_ -]{0,12}", tag in tag()) {
        let mut rules = Rules::default();
        if rules.add(&text).is_ok() {
            rules.select(&[tag]);
        }
    }

    #[test]
    fn every_tag_is_either_taken_or_dropped(tags in some(tag()), take in some(rule()), remove in some(rule())) {
        let removals = remove.iter().map(|rule| format!("!{rule}"));
        let rules = rules(&take.into_iter().chain(removals).collect::<Vec<_>>());
        let selection = rules.select(&tags);
        let taken = selection.taken.iter().map(|taken| &taken.tag);
        let all: Vec<_> = taken.chain(selection.dropped.iter().map(|dropped| &dropped.tag)).collect();
        let expected: BTreeSet<_> = tags.iter().chain(rules.exact().map(|(tag, _)| tag)).collect();
        prop_assert_eq!(all.len(), expected.len());
        prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn several_rules_take_what_each_takes(tags in some(tag()), one in some(rule()), other in some(rule())) {
        let both: Vec<_> = one.iter().chain(&other).cloned().collect();
        let union: BTreeSet<_> = taken(&rules(&one), &tags).union(&taken(&rules(&other), &tags)).cloned().collect();
        prop_assert_eq!(taken(&rules(&both), &tags), union);
    }

    #[test]
    fn a_removal_removes_from_all(tags in some(tag()), take in some(rule()), remove in rule()) {
        let without = rules(&take.iter().cloned().chain([format!("!{remove}")]).collect::<Vec<_>>());
        let left = taken(&without, &tags);
        prop_assert!(left.is_subset(&taken(&rules(&take), &tags)));
        prop_assert!(left.is_disjoint(&taken(&rules(&[remove]), &tags)));
    }

    #[test]
    fn order_and_repetition_never_matter(
        (tags, shuffled_tags) in some(tag()).prop_flat_map(|tags| (Just(tags.clone()), Just(tags).prop_shuffle())),
        (texts, shuffled) in some(rule()).prop_flat_map(|texts| (Just(texts.clone()), Just(texts).prop_shuffle())),
    ) {
        let twice: Vec<_> = shuffled.iter().chain(&shuffled).cloned().collect();
        prop_assert_eq!(rules(&texts).select(&tags), rules(&twice).select(&shuffled_tags));
    }

    #[test]
    fn a_range_takes_plain_releases_that_no_other_tag_says_better(
        tags in some(tag()),
        operator in select(vec![">=", ">", "<=", "<", "=", "~", "^"]),
        number in 0_u8..4,
    ) {
        let selected = taken(&rules(&[format!("{operator}{number}")]), &tags);
        let plain = |tag: &Tag| {
            let version = Version::read(tag.as_str())?;
            (version.pre_release.is_none() && version.variant.is_empty()).then_some(version.numbers)
        };
        for tag in &selected {
            let numbers = plain(tag).unwrap();
            let says_more = |other: &Vec<u64>| other.len() > numbers.len() && other.starts_with(&numbers);
            prop_assert!(!tags.iter().filter_map(plain).any(|other| says_more(&other)));
        }
    }

    #[test]
    fn a_tag_asked_for_by_name_is_taken_whether_listed_or_not(tags in some(tag()), tag in "[a-z][a-z0-9]{0,5}") {
        let tag: Tag = tag.parse().unwrap();
        prop_assert!(taken(&rules(&[tag.to_string()]), &tags).contains(&tag));
    }
}

#[test]
fn a_pin_wins_over_all_other_rules_for_its_tag() {
    let digest = Digest::of(b"pinned");
    let rules = rules(&[">=3".to_owned(), "3.1".to_owned(), format!("3.1@{digest}"), "*".to_owned()]);
    let selection = rules.select(&["3.1".parse().unwrap(), "3.2".parse().unwrap()]);
    let pins: Vec<_> = selection.taken.into_iter().map(|taken| taken.digest).collect();
    assert_eq!(pins, [Some(digest), None]);
}

#[test]
fn only_patterns_need_a_listing_and_only_they_can_be_idle() {
    assert!(!rules(&["3.1".to_owned(), "!3.*".to_owned()]).need_listing());
    assert!(rules(&["3.*".to_owned()]).need_listing());
    let selection = rules(&["3.1".to_owned(), "4.*".to_owned(), ">9".to_owned()]).select(&[]);
    assert_eq!(selection.idle, ["4.*", ">9"]);
}
