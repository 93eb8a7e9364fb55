//! Properties of the rules, whatever the tags; the lists of real shape are among the tests from outside.

mod by_time;

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::string::{RegexGeneratorStrategy, string_regex};

use super::*;
use crate::tree;
use crate::version::{Place, Version};
use crate::walk::Walk;

/// The rules that a file's list of these texts holds.
fn rules(items: &[String]) -> Rules {
    read(&format!("[{}]", items.join(", "))).unwrap_or_else(|faults| panic!("{faults:?}"))
}

/// What a file's selection of tags holds, or the faults.
fn read(text: &str) -> Result<Rules, Vec<crate::Fault>> {
    let file: Arc<Path> = Path::new("job.yaml").into();
    let mut walk = Walk { folder: Path::new("").into(), file: file.clone(), faults: Vec::new(), warnings: Vec::new() };
    let Ok(node) = tree::read(text, &file, &mut walk.faults) else { return Err(walk.faults) };
    let rules = Rules::read(&mut walk, &node, &TagSets::default());
    if walk.faults.is_empty() { Ok(rules) } else { Err(walk.faults) }
}

fn taken(rules: &Rules, tags: &[Tag]) -> BTreeSet<Tag> {
    rules.select(tags).taken.into_iter().map(|taken| taken.tag).collect()
}

/// Texts that match; the regex is read once, where a text as strategy is read for each case.
fn matching(regex: &str) -> RegexGeneratorStrategy<String> {
    string_regex(regex).unwrap()
}

/// Tags in many shapes, few enough that rules meet them.
fn tag() -> impl Strategy<Value = Tag> {
    let version = "v?[0-3](\\.[0-3]){0,2}(_[0-3])?(-?rc[1-3]?)?(-alpine|-slim|-alpine3\\.2[0-3])?";
    let date = "2025010[1-9]|2025-0[1-3]-[0-3]|v?202[45]\\.[1-3]";
    let other = "latest|edge|noble-2025|r[1-9]-[1-9]|sha256-[0-9a-f]{64}(\\.sig)?|[A-Za-z_][A-Za-z0-9_.-]{0,8}";
    prop_oneof![6 => matching(version), 1 => matching(date), 1 => matching(other)]
        .prop_map(|text| text.parse().unwrap())
}

/// A rule as text that takes something, quoted.
fn text_rule() -> impl Strategy<Value = String> {
    let range = "'(>=|>|<=|<|=|~|\\^)[0-3](\\.[0-3]){0,2}'";
    let between = "'((>=|=|~|\\^)0|(>=|~)[12])(\\.[0-3]){0,2} <[34]'";
    let glob = "'([1-3v]\\*|\\*-alpine|\\*|\\?\\.\\?|\\{1,2\\}\\.\\*|[a-c]\\*)'";
    let exact = "'([0-3]\\.[0-3]|latest)'";
    let regex = "'/(\\^[1-3]|alpine|rc)/'";
    prop_oneof![matching(range), matching(between), matching(glob), matching(exact), matching(regex)]
}

/// A rule as a map, with `newest` before its end if it is not empty.
fn map_rule(newest: impl Strategy<Value = String>) -> impl Strategy<Value = (String, String)> {
    let range = "versions: '(>=0|>=1|<3|~1|\\^2)'";
    let variants = "(, variants: \\[('', )?alpine\\]|, variants: \\['alpine\\*'\\]|, variants: \\['\\*'\\])?";
    let flags = "(, pre_releases: true)?(, aliases: true)?";
    let versions = (matching(range), matching(variants), matching(flags))
        .prop_map(|(range, variants, flags)| range + &variants + &flags);
    let dates = matching("versions: '>=2024', scheme: date(, variants: \\['\\*'\\])?");
    let pattern = select(vec!["pattern: 'r(?<version>.*)'".to_owned(), "pattern: 'v(?<version>.*)'".to_owned()]);
    (prop_oneof![4 => versions, 1 => dates, 1 => pattern], newest)
}

/// The text of a rule with these limits; without any if there are none.
fn with_newest((rule, newest): (String, String)) -> String {
    if newest.is_empty() { format!("{{ {rule} }}") } else { format!("{{ {rule}, newest: {{ {newest} }} }}") }
}

fn limits() -> impl Strategy<Value = String> {
    proptest::sample::subsequence(vec!["majors", "minors", "patches", "count"], 0..=4)
        .prop_flat_map(|keys| {
            let limit = |key: &'static str| (1..4).prop_map(move |number| format!("{key}: {number}"));
            keys.into_iter().map(limit).collect::<Vec<_>>()
        })
        .prop_map(|limits| limits.join(", "))
}

/// A rule of any form that takes something.
fn rule() -> impl Strategy<Value = String> {
    prop_oneof![3 => text_rule(), 2 => map_rule(limits()).prop_map(with_newest)]
}

/// A removal.
fn removal() -> impl Strategy<Value = String> {
    text_rule().prop_map(|rule| rule.replacen('\'', "'!", 1))
}

fn some<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    proptest::collection::vec(of, 0..6)
}

/// Tags, and the same in another order with some repeated.
fn shuffled<T: std::fmt::Debug + Clone>(of: impl Strategy<Value = T>) -> impl Strategy<Value = (Vec<T>, Vec<T>)> {
    some(of).prop_flat_map(|list| {
        let twice: Vec<_> = list.iter().chain(list.iter().take(2)).cloned().collect();
        (Just(list), Just(twice).prop_shuffle())
    })
}

proptest! {
    #[test]
    fn any_text_is_a_rule_or_refused(text in "\\PC{0,40}", tag in any_tag()) {
        if let Ok(rule) = Rule::read(&text) {
            let mut rules = Rules::default();
            rules.insert(rule);
            rules.select(&[tag]);
        }
    }

    #[test]
    fn text_of_operators_is_a_rule_or_refused(text in "[!<>=~^*?\\[\\]{}/@$0-9a.,v_ -]{0,12}", tag in any_tag()) {
        if let Ok(rule) = Rule::read(&text) {
            let mut rules = Rules::default();
            rules.insert(rule);
            rules.select(&[tag]);
        }
    }

    #[test]
    fn any_map_is_a_rule_or_refused(
        key in "versions|pattern",
        value in "[<>=0-9.() ?a-z|*+-]{0,12}",
        variants in "[a-z0-9*.\\[-]{0,6}",
        scheme in "(, scheme: date)?",
        tags in some(any_tag()),
    ) {
        if let Ok(rules) = read(&format!("[{{ {key}: '{value}', variants: ['{variants}']{scheme} }}]")) {
            rules.select(&tags);
        }
    }

    #[test]
    fn no_tag_is_too_odd_to_be_judged(tags in some(any_tag()), texts in some(rule())) {
        prop_assume!(!texts.is_empty());
        let selection = rules(&texts).select(&tags);
        prop_assert!(selection.dropped.iter().all(|dropped| !dropped.why.to_string().is_empty()));
    }

    #[test]
    fn every_tag_is_either_taken_or_dropped(tags in some(tag()), first in rule(), take in some(rule()), remove in some(removal())) {
        let rules = rules(&[vec![first], take, remove].concat());
        let selection = rules.select(&tags);
        let taken = selection.taken.iter().map(|taken| &taken.tag);
        let all: Vec<_> = taken.chain(selection.dropped.iter().map(|dropped| &dropped.tag)).collect();
        let expected: BTreeSet<_> = tags.iter().chain(rules.exact().map(|(tag, _)| tag)).collect();
        prop_assert_eq!(all.len(), expected.len());
        prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn several_rules_take_what_each_takes(tags in some(tag()), one in rule(), other in rule()) {
        let both = [one.clone(), other.clone()];
        let union: BTreeSet<_> = taken(&rules(&[one]), &tags).union(&taken(&rules(&[other]), &tags)).cloned().collect();
        prop_assert_eq!(taken(&rules(&both), &tags), union);
    }

    #[test]
    fn a_removal_removes_from_all(tags in some(tag()), first in rule(), take in some(rule()), remove in text_rule()) {
        let take = [vec![first], take].concat();
        let without = rules(&[take.clone(), vec![remove.replacen('\'', "'!", 1)]].concat());
        let left = taken(&without, &tags);
        prop_assert!(left.is_subset(&taken(&rules(&take), &tags)));
        prop_assert!(left.is_disjoint(&taken(&rules(&[remove]), &tags)));
    }

    #[test]
    fn order_and_repetition_never_matter((tags, other_tags) in shuffled(tag()), (texts, other_texts) in shuffled(rule())) {
        prop_assume!(!texts.is_empty());
        prop_assert_eq!(rules(&texts).select(&tags), rules(&other_texts).select(&other_tags));
    }

    #[test]
    fn a_range_takes_plain_releases_that_no_other_tag_says_better(
        tags in some(tag()),
        operator in select(vec![">=", ">", "<=", "<", "=", "~", "^"]),
        number in 0_u8..4,
    ) {
        let selected = taken(&rules(&[format!("'{operator}{number}'")]), &tags);
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
    fn a_tag_asked_for_by_name_is_taken_whether_listed_or_not(tags in some(tag()), tag in "[a-z][a-z0-9]{0,5}x") {
        let tag: Tag = tag.parse().unwrap();
        prop_assert!(taken(&rules(&[tag.to_string()]), &tags).contains(&tag));
    }

    #[test]
    fn a_larger_limit_takes_all_that_a_smaller_one_takes(
        tags in many(tag()),
        (rule, _) in map_rule(Just(String::new())),
        fixed in "(majors: [12], )?(minors: [12], )?",
        key in select(vec!["majors", "minors", "patches", "count"]),
        number in 1..4,
    ) {
        prop_assume!(!fixed.contains(key));
        let smaller = rules(&[with_newest((rule.clone(), format!("{fixed}{key}: {number}")))]);
        let larger = rules(&[with_newest((rule, format!("{fixed}{key}: {}", number + 1)))]);
        prop_assert!(taken(&smaller, &tags).is_subset(&taken(&larger, &tags)));
    }

    #[test]
    fn an_older_tag_changes_nothing_for_newer_ones(tags in many(tag()), limits in limits(), older in tag()) {
        let rules = rules(&[with_newest(("versions: '>=0', pre_releases: true".to_owned(), limits))]);
        let place = |tag: &Tag| {
            let version = Version::read(tag.as_str()).filter(|version| version.variant.is_empty())?;
            Some(version.place())
        };
        let Some(of_older): Option<Place> = place(&older) else { return Ok(()) };
        let newer = |tag: &Tag| place(tag).is_none_or(|of_other| of_other > of_older);
        let tags: Vec<Tag> = tags.into_iter().filter(newer).collect();
        let before = taken(&rules, &tags);
        let mut after = taken(&rules, &[tags, vec![older.clone()]].concat());
        after.remove(&older);
        prop_assert_eq!(after, before);
    }

    #[test]
    fn an_alias_goes_with_the_version_that_it_names(tags in many(tag()), limits in limits()) {
        let with = taken(&rules(&[with_newest(("versions: '>=0', aliases: true".to_owned(), limits.clone()))]), &tags);
        let without = taken(&rules(&[with_newest(("versions: '>=0'".to_owned(), limits))]), &tags);
        prop_assert!(without.is_subset(&with));
        let numbers = |tag: &Tag| Version::read(tag.as_str()).unwrap().numbers;
        for alias in with.difference(&without) {
            prop_assert!(without.iter().any(|tag| numbers(tag).starts_with(&numbers(alias))), "{alias}");
        }
    }
}

/// Tags of one repository: versions mostly.
fn many(of: impl Strategy<Value = Tag>) -> impl Strategy<Value = Vec<Tag>> {
    proptest::collection::vec(of, 0..30)
}

/// Any tag that a registry can show.
fn any_tag() -> impl Strategy<Value = Tag> {
    let numbers = "[0-9]{1,20}([.u_bT-][0-9]{1,22}){0,4}";
    let any = matching("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}");
    prop_oneof![any, matching(numbers)].prop_map(|text| text.parse().unwrap())
}

#[test]
fn a_pin_wins_over_all_other_rules_for_its_tag() {
    let digest = Digest::of(b"pinned");
    let rules = rules(&["'>=3'".to_owned(), "'3.1'".to_owned(), format!("'3.1@{digest}'"), "'*'".to_owned()]);
    let selection = rules.select(&["3.1".parse().unwrap(), "3.2".parse().unwrap()]);
    let pins: Vec<_> = selection.taken.into_iter().map(|taken| (taken.tag.to_string(), taken.digest)).collect();
    assert_eq!(pins, [("3.2".to_owned(), None), ("3.1".to_owned(), Some(digest))]);
}

#[test]
fn only_patterns_need_a_listing_and_only_they_can_be_idle() {
    assert!(!rules(&["'3.1'".to_owned(), "'!3.*'".to_owned()]).need_listing());
    assert!(rules(&["'3.*'".to_owned()]).need_listing());
    let selection = rules(&["'3.1'".to_owned(), "'4.*'".to_owned(), "'>9'".to_owned()]).select(&[]);
    assert_eq!(selection.idle, ["4.*", ">9"]);
}

#[test]
fn names_of_one_version_are_taken_together_and_count_as_one() {
    let listed = |tags: &str| tags.split(' ').map(|tag| tag.parse().unwrap()).collect::<Vec<Tag>>();
    let taken = |rule: &str, tags: &str| {
        let taken = rules(&[rule.to_owned()]).select(&listed(tags)).taken;
        taken.iter().map(|taken| taken.tag.as_str()).collect::<Vec<_>>().join(" ")
    };
    let newest = "{ versions: '>=0', newest: { count: 1 } }";
    assert_eq!(taken(newest, "1.1.9 1.2.0 v1.2.0 V1.2.0"), "1.2.0 V1.2.0 v1.2.0");
    assert_eq!(taken(newest, "1.1 v1.2 1.2 01.2"), "01.2 1.2 v1.2", "where none says more, two parts are a version");
    assert_eq!(taken(newest, "1.2 v1.2.0 1.1.9"), "v1.2.0", "`1.2` is an alias, though of the same place");
    assert_eq!(taken(newest, "1.2.0_2 1.2.0_11 1.2.0_11-jre"), "1.2.0_11", "builds are compared as numbers");
    let aliases = "{ versions: '>=0', aliases: true, newest: { count: 1 } }";
    assert_eq!(taken(aliases, "1 v1 1.1 1.2 1.2.0 v1.2.0 1.1.9"), "1.2.0 v1.2.0 1.2 1 v1");
    let dates = "{ pattern: 'r(?<version>[0-9]+)-.*', newest: { count: 1 } }";
    assert_eq!(taken(dates, "r20250102-a r20250102-b r20250101-a"), "r20250102-a r20250102-b");
}

#[test]
fn a_tag_that_is_asked_for_and_not_there_is_not_counted_among_the_newest() {
    let rules = rules(&["'3.3'".to_owned(), "{ versions: '>=3', newest: { count: 1 } }".to_owned()]);
    assert_eq!(taken(&rules, &["3.1".parse().unwrap(), "3.2".parse().unwrap()]).len(), 2);
}

#[test]
fn a_variant_that_is_asked_for_by_a_rule_and_not_there_is_named() {
    let rules = rules(&["{ versions: '>=3', variants: ['', jre, jdk] }".to_owned()]);
    let selection = rules.select(&["3.1".parse().unwrap(), "3.1-jre".parse().unwrap()]);
    assert_eq!(selection.idle, ["variant \"jdk\" of { versions: \">=3\", variants: [\"\", \"jre\", \"jdk\"] }"]);
}
