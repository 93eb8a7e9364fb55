//! Tasks compared with listings and placements: what is known of them, and which need not be done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use backends::store::Placement;
use coordinator::expand::{Expansion, Known, Listing, Only, expand};
use proto::task::{Fingerprint, ListedTag, Placed};
use proto::{Digest, Location, RunId, Tag, limits};
use registry::Tags;

use crate::scene::{at, location};

/// A source with tags `1` and `2`, mirrored to two places, as it was left by the night before; tests change one thing.
struct Night {
    text: String,
    source: Tags,
    destinations: HashMap<&'static str, Tags>,
    placements: HashMap<Location, Placement>,
    sample: HashSet<Location>,
    only: Only,
}

const PLACES: [&str; 2] = ["mirror.test/app", "edge.test/app"];

fn content(tag: &str) -> Digest {
    Digest::of(tag.as_bytes())
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// A listing that says what each tag shows.
fn listing(tags: &[&str]) -> Tags {
    let digests = tags.iter().map(|text| (tag(text), content(text))).collect();
    Tags { tags: tags.iter().map(|text| tag(text)).collect(), digests, ..Tags::default() }
}

fn signature(of: &Digest) -> Tag {
    tag(&format!("sha256-{}.sig", of.hex()))
}

impl Night {
    fn new() -> Self {
        let text =
            "version: 1\nto: [\"mirror.test/{path}\", \"edge.test/{path}\"]\nimages:\n  source.test/app: \"*\"\n";
        let mut placements = HashMap::new();
        for place in PLACES {
            for name in ["1", "2"] {
                let fingerprint = Fingerprint::of_copy(&content(name), &proto::Content::default());
                let placed = Placed { digest: content(name), fingerprint };
                let placement = Placement {
                    job: "nightly".to_owned(),
                    placed,
                    seen_at: at(0),
                    run: RunId::new(),
                    verified_at: Some(at(0)),
                };
                placements.insert(location(&format!("{place}:{name}")), placement);
            }
        }
        Self {
            text: text.to_owned(),
            source: listing(&["1", "2"]),
            destinations: PLACES.map(|place| (place, listing(&["1", "2"]))).into(),
            placements,
            sample: HashSet::new(),
            only: Only::All,
        }
    }

    fn expansion(self) -> Expansion {
        let file = jobfile::parse(self.text.as_bytes(), "nightly.yaml".as_ref()).unwrap();
        let source = &file.jobs[0].sources[0];
        let mut expansion = expand(source, &self.source, &self.only);
        let listing = |(name, tags): (&str, Tags)| (name.parse().unwrap(), Arc::new(Listing::from(tags)));
        expansion.compare(&Known {
            job: "nightly",
            source: Some(&self.source),
            destinations: self.destinations.into_iter().map(listing).collect(),
            placements: self.placements,
            sample: &self.sample,
        });
        expansion
    }

    /// The tags that become tasks.
    fn tasks(self) -> Vec<String> {
        let expansion = self.expansion();
        assert!(expansion.tasks.iter().all(|task| task.destinations.len() == 2), "with all their destinations");
        assert_eq!(expansion.tasks.len() + expansion.unchanged.len(), 2);
        let name = |source: &Location| source.to_string().rsplit(':').next().unwrap().to_owned();
        let mut names: Vec<String> = expansion.tasks.iter().map(|task| name(&task.source)).collect();
        names.sort();
        names
    }

    fn edge(&mut self) -> &mut Tags {
        self.destinations.get_mut("edge.test/app").unwrap()
    }

    fn placement(&mut self) -> &mut Placement {
        self.placements.get_mut(&location("edge.test/app:2")).unwrap()
    }
}

/// The tags that become tasks after a change.
fn tasks_if(change: impl FnOnce(&mut Night)) -> Vec<String> {
    let mut night = Night::new();
    change(&mut night);
    night.tasks()
}

#[test]
fn what_listings_show_as_it_was_placed_is_no_task() {
    assert!(tasks_if(|_| ()).is_empty());
    let image = &Night::new().expansion().unchanged[0];
    assert_eq!((image.task.listed.clone(), image.placed.len()), (Some(image.placed[0].digest.clone()), 2));
    assert!(tasks_if(|night| night.edge().digests.clear()).is_empty(), "a listing of names is enough at a destination");
    assert!(tasks_if(|night| night.edge().is_partial = true).is_empty(), "what is named is there");
}

#[test]
fn one_destination_that_is_not_as_it_was_placed_makes_a_task_with_all() {
    assert_eq!(tasks_if(|night| drop(night.edge().digests.insert(tag("2"), content("other")))), ["2"]);
    assert_eq!(tasks_if(|night| *night.edge() = listing(&["1"])), ["2"], "it is gone");
    assert_eq!(tasks_if(|night| *night.edge() = Tags { is_partial: true, ..listing(&["1"]) }), ["2"]);
    assert_eq!(tasks_if(|night| *night.edge() = Tags::default()), ["1", "2"], "the repository is gone");
    assert_eq!(tasks_if(|night| drop(night.destinations.remove("edge.test/app"))), ["1", "2"], "it cannot be listed");
    assert_eq!(tasks_if(|night| drop(night.placements.remove(&location("edge.test/app:2")))), ["2"]);
    assert_eq!(tasks_if(|night| night.placement().job = "other".to_owned()), ["2"], "another job's");
    assert_eq!(tasks_if(|night| night.placement().verified_at = None), ["2"], "in doubt");
    assert_eq!(tasks_if(|night| night.sample = [location("edge.test/app:2")].into()), ["2"], "to be read back");
}

#[test]
fn a_source_that_moved_or_is_listed_without_digests_makes_tasks() {
    assert_eq!(tasks_if(|night| drop(night.source.digests.insert(tag("1"), content("new")))), ["1"]);
    assert_eq!(tasks_if(|night| drop(night.source.digests.remove(&tag("1")))), ["1"]);
    assert_eq!(tasks_if(|night| night.source.digests.clear()), ["1", "2"]);
}

#[test]
fn other_content_wanted_by_the_file_makes_tasks() {
    let with = |line: &str| {
        let line = line.to_owned();
        tasks_if(move |night| night.text = night.text.replace("\"*\"", &line))
    };
    assert!(with("{ tags: \"*\" }").is_empty());
    assert_eq!(with("{ tags: \"*\", referrers: none }"), ["1", "2"]);
    assert_eq!(with("{ tags: \"*\", platforms: { only: [linux/amd64], index: rewrite } }"), ["1", "2"]);
}

#[test]
fn a_signature_that_only_the_source_has_makes_a_task() {
    let signed = signature(&content("2"));
    let at_source = |night: &mut Night| night.source.tags.push(signed.clone());
    assert_eq!(tasks_if(at_source), ["2"]);
    let everywhere = |night: &mut Night| {
        at_source(night);
        night.destinations.values_mut().for_each(|tags| tags.tags.push(signed.clone()));
    };
    assert!(tasks_if(everywhere).is_empty());
    assert!(tasks_if(|night| night.edge().tags.push(signed.clone())).is_empty(), "what else is there does no harm");
    let hidden = |night: &mut Night| {
        everywhere(night);
        *night.edge() = Tags { hides_sidecars: true, ..listing(&["1", "2"]) };
    };
    assert_eq!(tasks_if(hidden), ["2"], "that it is not named says nothing");
}

#[test]
fn tasks_carry_what_listings_say() {
    let mut night = Night::new();
    let signed = signature(&content("2"));
    night.source = Tags { tags: vec![tag("2"), tag("3"), signed.clone()], ..listing(&["2", "3"]) };
    night.edge().digests.clear();
    night.edge().tags.push(signed.clone());
    let places = PLACES.map(|place| location(&format!("{place}:2")));
    night.sample.insert(places[1].clone());
    let expansion = night.expansion();
    let task = |name: &str| {
        let mut tasks = expansion.tasks.iter();
        tasks.find(|task| task.source == location(&format!("source.test/app:{name}"))).unwrap()
    };
    let (second, third) = (task("2"), task("3"));
    assert_eq!((&second.listed, second.sidecars.is_complete), (&Some(content("2")), true));
    assert_eq!(second.sidecars.tags, [signed.clone()].into());
    let listed = |at: usize| second.destinations[at].listed.clone().unwrap();
    assert_eq!((listed(0).tag, listed(0).sidecars), (ListedTag::Shows(content("2")), [].into()));
    assert_eq!((listed(1).tag, listed(1).sidecars), (ListedTag::Named, [signed].into()));
    assert_eq!([second.destinations[0].read_back, second.destinations[1].read_back], [false, true]);
    let listed = third.destinations[1].listed.clone().unwrap();
    assert_eq!((listed.tag, listed.has_tags), (ListedTag::Absent, true));
}

#[test]
fn a_listing_that_may_be_incomplete_is_no_proof_of_absence() {
    let mut night = Night::new();
    night.source = Tags { is_partial: true, ..listing(&["1", "3"]) };
    night.edge().is_partial = true;
    night.destinations.insert("mirror.test/app", Tags::default());
    let expansion = night.expansion();
    for task in &expansion.tasks {
        assert!(!task.sidecars.is_complete);
        let absent = task.destinations[0].listed.as_ref().unwrap();
        assert_eq!((&absent.tag, absent.has_tags), (&ListedTag::Absent, false), "it is not even there");
    }
    let third = &expansion.tasks.iter().find(|task| task.source == location("source.test/app:3")).unwrap();
    assert_eq!(third.destinations[1].listed, None);
}

#[test]
fn of_many_signatures_a_task_names_those_of_its_digests() {
    let mut night = Night::new();
    let others = (0..=limits::SIDECARS_MAX).map(|n| signature(&content(&format!("other {n}"))));
    night.source.tags.extend(others);
    let (listed, placed) = (signature(&content("moved")), signature(&content("2")));
    night.source.tags.extend([listed.clone(), placed.clone()]);
    night.source.digests.insert(tag("2"), content("moved"));
    let expansion = night.expansion();
    let [task] = &expansion.tasks[..] else { panic!("one has moved: {:?}", expansion.tasks) };
    assert_eq!((&task.sidecars.tags, task.sidecars.is_complete), (&[listed, placed].into(), false));
}

#[test]
fn a_pinned_image_is_a_task_whatever_its_tag_shows() {
    let mut night = Night::new();
    let pin = content("2");
    night.text = night.text.replace("\"*\"", &format!("[\"1\", \"2@{pin}\"]"));
    let expansion = night.expansion();
    assert_eq!((expansion.tasks.len(), &expansion.tasks[0].listed), (1, &None));
    assert_eq!(expansion.unchanged.len(), 1);

    let mut night = Night::new();
    let pins = [(location("mirror.test/app:1"), content("1"))].into();
    night.only = Only::pinned("a plan".to_owned(), [(location("source.test/app:1"), pins)]);
    let expansion = night.expansion();
    assert_eq!((expansion.tasks.len(), expansion.unchanged.len(), &expansion.tasks[0].listed), (1, 0, &None));
}

#[test]
fn a_line_that_finds_another_number_of_tags_than_it_expects_sees_nothing_unchanged() {
    let mut night = Night::new();
    night.text = night.text.replace("\"*\"", "{ tags: \"*\", expect: { min: 3 } }");
    let expansion = night.expansion();
    assert!(expansion.failure.is_some());
    assert_eq!((expansion.tasks.len(), expansion.unchanged.len()), (0, 0));
}
