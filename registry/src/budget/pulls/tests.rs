//! The pulls without a clock and without a wire.

use super::*;
use proptest::prelude::*;

const WINDOW: Duration = Duration::from_secs(21_600);

fn headers(remaining: u64) -> HeaderMap {
    let header = |name: &'static str, count: u64| {
        (reqwest::header::HeaderName::from_static(name), format!("{count};w=21600").parse().unwrap())
    };
    HeaderMap::from_iter([header("ratelimit-limit", 100), header("ratelimit-remaining", remaining)])
}

fn own(count: Option<u32>, keep_free: u32) -> Option<PullLimit> {
    Some(PullLimit { count, per: WINDOW, keep_free })
}

fn ok(pulls: &mut Pulls, now: Instant, begun: Begun, is_pull: bool, remaining: u64) {
    let headers = headers(remaining);
    assert_eq!(pulls.answered(now, begun, is_pull, (StatusCode::OK, &headers, None)), None);
}

/// How many pulls are sent at once before the next has to wait or is refused.
fn sent(pulls: &mut Pulls, now: Instant) -> Vec<Begun> {
    let next = || matches!(pulls.verdict(now), Verdict::Yes).then(|| pulls.begin(true));
    std::iter::from_fn(next).take(1_000).collect()
}

fn refusal(pulls: &mut Pulls, now: Instant) -> Exhausted {
    match pulls.verdict(now) {
        Verdict::No(exhausted) => exhausted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_goes_alone_until_it_is_known_whether_pulls_are_metered() {
    let (mut pulls, now) = (Pulls::new(None), Instant::now());
    let first = sent(&mut pulls, now);
    assert_eq!(first.len(), 1);
    assert_eq!(pulls.answered(now, first[0], true, (StatusCode::OK, &HeaderMap::new(), None)), None);
    assert_eq!((sent(&mut pulls, now).len(), pulls.view(now)), (1_000, None));
}

#[test]
fn a_pull_is_refused_until_the_oldest_of_ours_leaves_the_window() {
    let (mut pulls, begin) = (Pulls::new(own(None, 98)), Instant::now());
    let head = pulls.begin(false);
    ok(&mut pulls, begin, head, false, 100);
    let two = sent(&mut pulls, begin);
    assert_eq!(two.len(), 2);
    let minute = Duration::from_secs(60);
    ok(&mut pulls, begin + minute, two[0], true, 99);
    ok(&mut pulls, begin + 2 * minute, two[1], true, 98);
    let refused = refusal(&mut pulls, begin + 3 * minute);
    assert_eq!(refused.to_string(), "no pulls left of 100 in 6 h (98 kept free)");
    assert_eq!(refused.wait, WINDOW - 2 * minute);
    let view = pulls.view(begin + 3 * minute).unwrap();
    assert_eq!((view.left, view.limit, view.wait), (0, Some(100), Some(refused.wait)));
    // Then one goes, to see how it stands.
    assert_eq!(sent(&mut pulls, begin + minute + WINDOW).len(), 1);
}

#[test]
fn our_own_count_holds_where_the_registry_says_nothing() {
    let (mut pulls, begin) = (Pulls::new(own(Some(5), 2)), Instant::now());
    let first = sent(&mut pulls, begin)[0];
    assert_eq!(pulls.answered(begin, first, true, (StatusCode::OK, &HeaderMap::new(), None)), None);
    let second = Duration::from_secs(1);
    let others = sent(&mut pulls, begin + second);
    assert_eq!(others.len(), 2);
    for begun in others {
        assert!(matches!(pulls.verdict(begin + second), Verdict::Wait));
        pulls.answered(begin + second, begun, true, (StatusCode::OK, &HeaderMap::new(), None));
    }
    assert_eq!(refusal(&mut pulls, begin + 2 * second).wait, WINDOW - 2 * second);
    assert_eq!(sent(&mut pulls, begin + WINDOW).len(), 1);
}

#[test]
fn what_a_refusal_says_of_the_time_holds_until_it_is_over() {
    let (mut pulls, begin) = (Pulls::new(None), Instant::now());
    let begun = sent(&mut pulls, begin)[0];
    let wait = Duration::from_secs(600);
    let told = pulls.answered(begin, begun, true, (StatusCode::TOO_MANY_REQUESTS, &headers(0), Some(wait)));
    assert_eq!(told.unwrap().wait, wait);
    let head = pulls.begin(false);
    ok(&mut pulls, begin, head, false, 0);
    assert_eq!(refusal(&mut pulls, begin).wait, wait);
    assert_eq!(sent(&mut pulls, begin + wait).len(), 1);
}

#[test]
fn a_pull_without_an_answer_counts_and_one_that_was_not_sent_does_not() {
    let (mut pulls, now) = (Pulls::new(None), Instant::now());
    let head = pulls.begin(false);
    ok(&mut pulls, now, head, false, 2);
    assert_eq!(sent(&mut pulls, now).len(), 2);
    pulls.unanswered(now, false);
    assert_eq!(sent(&mut pulls, now).len(), 1);
    pulls.unanswered(now, true);
    pulls.unanswered(now, true);
    assert!(refusal(&mut pulls, now).wait > Duration::ZERO);
}

#[test]
fn headers_are_read_as_docker_hub_sends_them_and_others_are_ignored() {
    let read = |text: &'static str| {
        let headers = HeaderMap::from_iter([("ratelimit-remaining".parse().unwrap(), text.parse().unwrap())]);
        Header::read(&headers).map(|header| (header.remaining, header.window.as_secs()))
    };
    assert_eq!(read("99;w=21600"), Some((99, 21_600)));
    assert_eq!(read("99; w=60"), Some((99, 60)));
    assert_eq!(read("99"), Some((99, 21_600)));
    assert_eq!(read("99;w=99999999999"), Some((99, WINDOW_MAX)));
    assert_eq!((read(""), read("-1;w=1"), read("many")), (None, None, None));
}

proptest! {
    /// However requests and answers overtake each other, all that is allowed is used, and not one pull more.
    #[test]
    fn what_is_allowed_is_used_to_the_last_pull(
        allowed in 0u64..40,
        keep_free in 0u32..5,
        order in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 400),
    ) {
        let (mut pulls, now) = (Pulls::new(own(None, keep_free)), Instant::now());
        // On the way to the server, and back from it with what is left there.
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let (mut left, mut sent, mut refused) = (allowed, 0u64, 0u64);
        let head = pulls.begin(false);
        ok(&mut pulls, now, head, false, left);
        for (sends, index) in order {
            match (sends, pulls.verdict(now)) {
                (true, Verdict::Yes) => {
                    there.push(pulls.begin(true));
                    sent += 1;
                }
                (true, Verdict::No(_)) => refused += 1,
                _ if !there.is_empty() && (index.index(2) == 0 || back.is_empty()) => {
                    left = left.checked_sub(1).expect("more than is allowed");
                    back.push((there.swap_remove(index.index(there.len())), left));
                }
                _ if !back.is_empty() => {
                    let (begun, left) = back.swap_remove(index.index(back.len()));
                    ok(&mut pulls, now, begun, true, left);
                }
                _ => {}
            }
        }
        let ours = allowed.saturating_sub(u64::from(keep_free));
        prop_assert!(sent <= ours);
        prop_assert!(refused == 0 || sent == ours, "{sent} of {ours}");
    }
}
