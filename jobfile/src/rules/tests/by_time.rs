//! The newest by when tags were set.

use super::*;

/// Tags, each with the second in which it was set; `-` where the listing does not say it.
fn listing(text: &str) -> (Vec<Tag>, HashMap<Tag, Timestamp>) {
    let entries = text.split(' ').map(|entry| entry.split_once('@').unwrap());
    let tags = entries.clone().map(|(tag, _)| tag.parse().unwrap()).collect();
    let timed = entries.filter(|(_, second)| *second != "-");
    let times = timed.map(|(tag, second)| (tag.parse().unwrap(), second_of(second.parse().unwrap())));
    (tags, times.collect())
}

fn second_of(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What the rule, and others after `|`, take of a listing, in the order of the listing, and how many times it lacks.
fn selected(rules: &str, listed: &str) -> (String, usize) {
    let rules = super::rules(&rules.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    let (tags, times) = listing(listed);
    let selection = rules.select_timed(&tags, &times);
    let taken: Vec<_> = selection.taken.iter().map(|taken| taken.tag.as_str()).collect();
    (taken.join(" "), selection.untimed)
}

fn taken_by_time(rules: &str, listed: &str) -> String {
    let (taken, untimed) = selected(rules, listed);
    assert_eq!(untimed, 0, "{rules}");
    taken
}

#[test]
fn those_that_were_set_last_are_taken_whatever_their_versions() {
    let two = "{ versions: '>=1', newest: { count: 2, by: time } }";
    assert_eq!(taken_by_time(two, "1.0@3 2.0@1 3.0@2 0.9@9 edge@9 1.0-slim@9"), "3.0 1.0");
    assert_eq!(taken_by_time(&two.replace("time", "version"), "1.0@3 2.0@1 3.0@2"), "3.0 2.0");
}

#[test]
fn a_pattern_needs_no_version_where_times_are_compared() {
    let two = "{ pattern: 'main-.*', newest: { count: 2, by: time } }";
    assert_eq!(taken_by_time(two, "main-f00@3 main-aaa@1 main-bcd@2 x-main-f@9 dev@9"), "main-bcd main-f00");
    let optional = "{ pattern: 'main(-(?<version>[0-9]+))?', newest: { count: 1, by: time } }";
    assert_eq!(taken_by_time(optional, "main@3 main-7@1"), "main", "and one that is there says nothing");
}

#[test]
fn each_variant_is_counted_on_its_own_and_each_tag_too() {
    let one = "{ versions: '>=1', variants: ['', slim], newest: { count: 1, by: time } }";
    assert_eq!(taken_by_time(one, "1.0@4 2.0@3 1.0-slim@1 2.0-slim@2"), "2.0-slim 1.0");
    assert_eq!(
        taken_by_time(one, "v1.0.0@4 1.0.0@3 1.0-slim@1"),
        "v1.0.0 1.0-slim",
        "names of one version are two tags"
    );
}

#[test]
fn of_those_that_were_set_at_once_the_newest_version_is_first() {
    assert_eq!(taken_by_time("{ versions: '>=1', newest: { count: 2, by: time } }", "1.0@1 3.0@1 2.0@1"), "3.0 2.0");
}

#[test]
fn aliases_and_pre_releases_are_left_and_taken_as_by_version() {
    let one = "{ versions: '>=1', newest: { count: 1, by: time } }";
    assert_eq!(taken_by_time(one, "1.2.0@1 1.2@9 2.0-rc1@9"), "1.2.0");
    let aliases = one.replace("'>=1'", "'>=1', aliases: true");
    assert_eq!(taken_by_time(&aliases, "1.2.0@2 1.2@9 1.1.0@1 1.1@8"), "1.2.0 1.2");
}

#[test]
fn a_tag_whose_time_is_unknown_is_not_taken_and_counted() {
    let one = "{ versions: '>=1', newest: { count: 1, by: time } }";
    assert_eq!(selected(one, "1.0@1 2.0@- 3.0@-"), ("1.0".to_owned(), 2));
    assert_eq!(selected(one, "1.0@1 0.5@- edge@- 1.0-slim@-"), ("1.0".to_owned(), 0), "others do not matter");
    assert_eq!(selected(&format!("{one} | '*'"), "1.0@1 2.0@-"), ("2.0 1.0".to_owned(), 1), "whoever takes it");
    assert_eq!(selected("'*'", "1.0@- 2.0@-").1, 0, "who takes by name needs no times");
}

#[test]
fn without_times_nothing_is_taken_and_no_rule_counts_as_idle() {
    let rules = rules(&["{ versions: '>=1', variants: ['', slim], newest: { count: 1, by: time } }".to_owned()]);
    let selection = rules.select(&listing("1.0@1 1.0-slim@1 edge@1").0);
    assert_eq!((selection.taken.len(), selection.untimed, selection.idle), (0, 2, vec![]));
    let why: Vec<_> = selection.dropped.iter().map(|left| format!("{}: {}", left.tag, left.why)).collect();
    let unknown = "the registry's listing does not say when it was set";
    assert_eq!(why, [format!("1.0: {unknown}"), format!("1.0-slim: {unknown}"), "edge: no rule takes it".to_owned()]);
    let tag = |text: &str| -> Tag { text.parse().unwrap() };
    assert!(rules.may_match(&tag("7.0")) && !rules.may_match(&tag("edge")), "it may be the newest");
    assert!(rules.need_listing());
}

#[test]
fn a_tag_that_is_left_and_one_that_is_taken_say_by_which_rule() {
    let rules = rules(&["{ pattern: 'v.*', newest: { by: time, count: 1 } }".to_owned()]);
    let (tags, times) = listing("v1@1 v2@2");
    let selection = rules.select_timed(&tags, &times);
    assert_eq!(selection.taken[0].rule, "{ pattern: \"v.*\", newest: { count: 1, by: time } }");
    assert_eq!(selection.dropped[0].why.to_string(), "older than the newest tag by time");
}

/// Tags with times, few enough that some are the same.
fn timed() -> impl Strategy<Value = Vec<(Tag, i64)>> {
    proptest::collection::vec((tag(), 0..6_i64), 0..20)
}

proptest! {
    #[test]
    fn a_larger_count_takes_all_that_a_smaller_one_takes_and_order_never_matters(
        (listed, shuffled) in timed().prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        (rule, _) in map_rule(Just(String::new())),
        count in 1..4,
    ) {
        let times: HashMap<Tag, Timestamp> =
            listed.iter().map(|(tag, second)| (tag.clone(), second_of(*second))).collect();
        let select = |count: i32, listed: &[(Tag, i64)]| {
            let rules = rules(&[with_newest((rule.clone(), format!("count: {count}, by: time")))]);
            rules.select_timed(&listed.iter().map(|(tag, _)| tag.clone()).collect::<Vec<_>>(), &times)
        };
        let smaller = select(count, &listed);
        prop_assert_eq!(&smaller, &select(count, &shuffled));
        let larger: BTreeSet<_> = select(count + 1, &listed).taken.into_iter().map(|taken| taken.tag).collect();
        prop_assert!(smaller.taken.iter().all(|taken| larger.contains(&taken.tag)));
        prop_assert_eq!(smaller.untimed, 0);
    }
}
