//! The known keys: what each map of the file may hold, in one place for those that read it and for the schema.

use Shape::{AnyOf, Flag, List, Map, MapOf, Matching, Nothing, Number, OneOrMore, Text, Version, Words};

use crate::access::{CONCURRENCY_MAX, PULLS_MAX, RATE_MAX};
use crate::cron::CRON;
use crate::jobs::TASKS_MAX;
use crate::quantities::{BANDWIDTH, DURATION, PERCENT};
use crate::rules::NEWEST_MAX;
use crate::schedule::TIME;

/// The keys of a map.
#[derive(Debug)]
pub(crate) struct Table {
    /// What the map is, in faults.
    pub(crate) what: &'static str,
    /// Its keys, in parts that tables share.
    pub(crate) parts: &'static [&'static [Known]],
}

/// A known key.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// What it says, in a sentence.
    pub(crate) doc: &'static str,
    pub(crate) shape: Shape,
}

/// What a value looks like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// The number of the format.
    Version,
    Nothing,
    /// Text that is not empty.
    Text,
    /// Text that this regex finds.
    Matching(&'static str),
    Words(&'static [&'static str]),
    Flag,
    /// From one number to the other.
    Number(u32, u32),
    List(&'static Shape),
    OneOrMore(&'static Shape),
    Map(&'static Table),
    /// Any keys that this regex finds.
    MapOf(&'static str, &'static Shape),
    AnyOf(&'static [Shape]),
}

impl Table {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static Known> {
        self.parts.iter().copied().flatten()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.keys().map(|key| key.name).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.keys().any(|key| key.name == name)
    }
}

/// A known key; no function, for what one is given cannot be referred to by a constant.
macro_rules! key {
    ($name:literal, $doc:literal, $shape:expr $(,)?) => {
        Known { name: $name, doc: $doc, shape: $shape }
    };
}

/// Most that `expect` may name: no repository has more tags.
pub(crate) const EXPECT_MAX: u32 = 10_000_000;

/// What an included file may be allowed to define.
pub(crate) const DEFINABLE: &[&str] = &["registries", "destinations", "tag_sets", "groups", "jobs"];

/// What a registry can be used without.
pub(crate) const TRICKS: &[&str] = &["mount", "single_post", "optimistic_put", "conditional_get", "bulk_listing"];

/// Credentials that need no more than a word.
pub(crate) const IDENTITIES: &[&str] = &["anonymous", "aws", "azure", "gcp"];

/// Names that become parts of repositories and of folders.
const NAME: &str = "^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$";
const ANY: &str = ".";
const ONE_STAR: &str = "^[^*]*[*]?[^*]*$";
const PATHS: Shape = OneOrMore(&Text);

pub(crate) static FILE: Table = Table { what: "the file", parts: &[FILE_KEYS] };
const FILE_KEYS: &[Known] = &[
    key!("version", "The version of the format: 1.", Version),
    key!("include", "Other files, and what they may define.", List(&Map(&INCLUDE))),
    key!("network", "How connections are made.", Map(&NETWORK)),
    key!(
        "registries",
        "How to reach registries: `host`, `host:port` or `host/prefix`; `*` is allowed, and the longest match wins.",
        MapOf(ANY, &Map(&REGISTRY)),
    ),
    key!("destinations", "Places to mirror to, by names that `to` uses.", MapOf(NAME, &Map(&DESTINATION))),
    key!("defaults", "Settings of all images, where group and image say nothing else.", Map(&DEFAULTS)),
    key!("tag_sets", "Selections of tags, by names that are used as `$name`.", MapOf("^[a-z0-9-]+$", &TAGS)),
    key!("to", "Where images go; short for `to` in `defaults`.", PATHS),
    key!("groups", "Which images, from where, to where, owned by whom.", MapOf(NAME, &Map(&GROUP))),
    key!("images", "Repositories to mirror, each with its tags.", IMAGES),
    key!("jobs", "Groups that run together; without it, all do.", MapOf(NAME, &Map(&JOB))),
];

pub(crate) static INCLUDE: Table = Table { what: "an include", parts: &[INCLUDE_KEYS] };
const INCLUDE_KEYS: &[Known] = &[
    key!("files", "A path, or a pattern of paths with `*`, `?` and `[…]`, from the folder of this file.", Text),
    key!("may_define", "Keys that these files may have.", OneOrMore(&Words(DEFINABLE))),
    key!("may_use", "What groups of these files may name.", Map(&MAY_USE)),
];
pub(crate) static MAY_USE: Table = Table { what: "`may_use`", parts: &[MAY_USE_KEYS] };
const MAY_USE_KEYS: &[Known] = &[key!("destinations", "Destinations that `to` may name there.", PATHS)];

pub(crate) static NETWORK: Table = Table { what: "`network`", parts: &[NETWORK_KEYS] };
const NETWORK_KEYS: &[Known] = &[
    key!("proxy", "URL of the proxy, without credentials.", Matching("^https?://[^@]+$")),
    key!("direct", "Hosts, `.domains` and networks (`10.0.0.0/8`) that are reached without the proxy.", PATHS),
    key!("ca_file", "PEM file of certificates to trust beside those of the system.", Text),
];

pub(crate) static REGISTRY: Table = Table { what: "a registry", parts: &[REGISTRY_KEYS] };
const REGISTRY_KEYS: &[Known] = &[
    key!("name", "What `{registry}` stands for in a destination.", Matching(NAME)),
    key!("auth", "Credentials; without it, those of Docker.", AnyOf(&[Words(IDENTITIES), Map(&AUTH)])),
    key!("tls", "How TLS is spoken.", Map(&TLS)),
    key!("plain_http", "Speak HTTP without TLS.", Flag),
    key!("limits", "How much is asked of it; without it, what it bears is found out.", Map(&LIMITS)),
    key!(
        "alternatives",
        "Where else the same is found, by paths at this registry: `\"library/*\": \"public.ecr.aws/docker/library/*\"`.",
        MapOf(ONE_STAR, &Matching(ONE_STAR)),
    ),
    key!("without", "What saves requests elsewhere, and is not tried here.", OneOrMore(&Words(TRICKS))),
];
pub(crate) static AUTH: Table = Table { what: "`auth`", parts: &[AUTH_KEYS] };
const AUTH_KEYS: &[Known] = &[
    key!("username", "The user's name.", Text),
    key!("password", "Where the password is.", Map(&PASSWORD)),
    key!("github_app", "An app of GitHub's, installed at the owner of the repositories.", Map(&GITHUB_APP)),
];
pub(crate) static GITHUB_APP: Table = Table { what: "`github_app`", parts: &[GITHUB_APP_KEYS] };
const GITHUB_APP_KEYS: &[Known] = &[
    key!("id", "The app's id.", Number(1, u32::MAX)),
    key!("key", "Where its private key is, as PEM.", Map(&PRIVATE_KEY)),
];
pub(crate) static PASSWORD: Table = Table { what: "`password`", parts: &[SECRET_KEYS] };
pub(crate) static PRIVATE_KEY: Table = Table { what: "`key`", parts: &[SECRET_KEYS] };
const SECRET_KEYS: &[Known] = &[
    key!("env", "The environment variable that holds it.", Text),
    key!("file", "The file that holds it.", Text),
    key!("helper", "The Docker credential helper that prints it.", Text),
];
pub(crate) static TLS: Table = Table { what: "`tls`", parts: &[TLS_KEYS] };
const TLS_KEYS: &[Known] = &[
    key!("ca_file", "PEM file of certificates to trust beside those of the system.", Text),
    key!("client", "The certificate by which we make ourselves known.", Map(&CLIENT)),
    key!("skip_verify", "Trust any certificate.", Flag),
];
pub(crate) static CLIENT: Table = Table { what: "`client`", parts: &[CLIENT_KEYS] };
const CLIENT_KEYS: &[Known] = &[
    key!("certificate", "PEM file of the certificate.", Text),
    key!("key", "Where its PEM key is.", Map(&PRIVATE_KEY)),
];
pub(crate) static LIMITS: Table = Table { what: "`limits`", parts: &[LIMITS_KEYS] };
const LIMITS_KEYS: &[Known] = &[
    key!("concurrency", "Requests under way at once.", Number(1, CONCURRENCY_MAX)),
    key!("requests_per_second", "Requests per second, of all kinds together.", Number(1, RATE_MAX)),
    key!("manifest_writes_per_second", "Manifests written per second.", Number(1, RATE_MAX)),
    key!("bandwidth", "Of blobs in both directions together, as in `400Mbit/s` or `50MB/s`.", Matching(BANDWIDTH)),
    key!("pulls", "Manifests that are read.", Map(&PULLS)),
];
pub(crate) static PULLS: Table = Table { what: "`pulls`", parts: &[PULLS_KEYS] };
const PULLS_KEYS: &[Known] = &[
    key!("count", "So many; without it, what the registry says of itself.", Number(1, PULLS_MAX)),
    key!("per", "In this time, as in `30s`, `5m`, `6h` or `7d`; without it, `6h`.", Matching(DURATION)),
    key!("keep_free", "So many are left to the people behind the same account.", Number(0, PULLS_MAX)),
];

pub(crate) static DESTINATION: Table = Table { what: "a destination", parts: &[DESTINATION_KEYS] };
const DESTINATION_KEYS: &[Known] =
    &[key!("repositories", "Where images go, as in `registry.example.com/{registry}/{path}`: one or several.", PATHS,)];

pub(crate) static DEFAULTS: Table = Table { what: "`defaults`", parts: &[SETTINGS] };
pub(crate) static IMAGE: Table = Table { what: "an image", parts: &[SETTINGS] };
pub(crate) static GROUP: Table = Table { what: "a group", parts: &[SETTINGS, GROUP_KEYS] };
const SETTINGS: &[Known] = &[
    key!("to", "Destinations by their names, or templates with a `/`.", PATHS),
    key!("tags", "Which tags: names, ranges, globs, regexes, `!` to remove, `$name` of a set.", TAGS),
    key!("owner", "Who answers for it: in reports, and as `{owner}`.", Text),
    key!("kind", "What the repository holds.", Words(&["image", "chart", "artifact"])),
    key!("platforms", "Which platforms of an image.", AnyOf(&[Words(&["all"]), Map(&PLATFORMS)])),
    key!("referrers", "Which of what refers to an image.", AnyOf(&[Words(&["all", "none"]), Map(&REFERRERS)])),
    key!("expect", "How many tags of a repository there must be; outside of it nothing of it is copied.", Map(&EXPECT)),
];
const GROUP_KEYS: &[Known] = &[
    key!("from", "What the keys of `images` begin with; or one image, with its tag.", Text),
    key!("images", "Repositories to mirror, each with its tags.", IMAGES),
    key!("lists", "Files with one reference to a line.", PATHS),
];
const IMAGES: Shape = MapOf(ANY, &AnyOf(&[Nothing, Words(&["skip"]), TAGS, Map(&IMAGE)]));
pub(crate) static PLATFORMS: Table = Table { what: "`platforms`", parts: &[PLATFORMS_KEYS] };
const PLATFORMS_KEYS: &[Known] = &[
    key!("only", "These platforms, as in `linux/amd64`.", OneOrMore(&Matching("^[^/ ]+/[^/ ]+(/[^/ ]+)?$"))),
    key!(
        "index",
        "`rewrite`: the index names these alone, and has a new digest; `sparse`: it stays, and names what is not there.",
        Words(&["rewrite", "sparse"]),
    ),
];
pub(crate) static REFERRERS: Table = Table { what: "`referrers`", parts: &[REFERRERS_KEYS] };
const REFERRERS_KEYS: &[Known] =
    &[key!("only", "These kinds alone.", OneOrMore(&Words(&["signature", "sbom", "attestation"])))];
pub(crate) static EXPECT: Table = Table { what: "`expect`", parts: &[EXPECT_KEYS] };
const EXPECT_KEYS: &[Known] =
    &[key!("min", "At least so many.", Number(0, EXPECT_MAX)), key!("max", "At most so many.", Number(0, EXPECT_MAX))];

pub(crate) static JOB: Table = Table { what: "a job", parts: &[JOB_KEYS] };
const JOB_KEYS: &[Known] = &[
    key!("groups", "Names of groups, or globs; `!` removes.", PATHS),
    key!("schedule", "When it runs by itself, where a coordinator serves it.", Map(&SCHEDULE)),
    key!("max_duration", "How long a run may last, as in `8h`; what is left is postponed.", Matching(DURATION)),
    key!("max_concurrency", "How many of its tasks are worked on at once.", Number(1, TASKS_MAX)),
    key!("window", "Until when a run begins with tasks; what is left is postponed.", Map(&WINDOW)),
    key!("verify", "How much of what was mirrored before is read back in each run.", Map(&VERIFY)),
];
pub(crate) static SCHEDULE: Table = Table { what: "`schedule`", parts: &[SCHEDULE_KEYS] };
const SCHEDULE_KEYS: &[Known] = &[
    key!("cron", "Minute, hour, day of the month, month and day of the week, as in `30 1 * * *`.", Matching(CRON)),
    key!("timezone", "Whose clock shows these times, as in `Europe/Berlin`; without it, `UTC`.", Text),
    key!("jitter", "It starts up to so much later, as in `10m`.", Matching(DURATION)),
    key!(
        "missed",
        "What becomes of times at which no coordinator was there: the job runs `once` for them, or they are left out.",
        Words(&["once", "skip"]),
    ),
    key!(
        "overlap",
        "What becomes of times at which the job still runs: they are left out, or it runs once when it is done.",
        Words(&["skip", "queue"]),
    ),
];
pub(crate) static WINDOW: Table = Table { what: "`window`", parts: &[WINDOW_KEYS] };
const WINDOW_KEYS: &[Known] =
    &[key!("until", "When it closes, as in `\"05:45\"`, by the clock of the schedule.", Matching(TIME))];
pub(crate) static VERIFY: Table = Table { what: "`verify`", parts: &[VERIFY_KEYS] };
const VERIFY_KEYS: &[Known] =
    &[key!("at_most", "Of its requests, as in `5%`, which holds without it; `0%` for none.", Matching(PERCENT))];

const TAGS: Shape = OneOrMore(&AnyOf(&[Text, Map(&RULE)]));
pub(crate) static RULE: Table = Table { what: "a rule for tags", parts: &[RULE_KEYS] };
const RULE_KEYS: &[Known] = &[
    key!("versions", "A range, as in `>=1.20 <2`.", Text),
    key!("pattern", "A regex for the whole tag, with a group `version` unless times are compared.", Text),
    key!("variants", "What follows the version, as names or globs; `\"\"` is the plain one.", OneOrMore(&Matching(""))),
    key!("pre_releases", "Pre-releases too.", Flag),
    key!("aliases", "Other names of a version that is taken too.", Flag),
    key!("scheme", "Tags begin with a date.", Words(&["date"])),
    key!("newest", "How many, for each variant.", Map(&NEWEST)),
];
pub(crate) static NEWEST: Table = Table { what: "`newest`", parts: &[NEWEST_KEYS] };
const NEWEST_KEYS: &[Known] = &[
    key!("majors", "So many majors.", Number(1, NEWEST_MAX)),
    key!("minors", "So many minors: in each major, if `majors` is given.", Number(1, NEWEST_MAX)),
    key!("patches", "So many patches in each minor.", Number(1, NEWEST_MAX)),
    key!("count", "So many in all.", Number(1, NEWEST_MAX)),
    key!(
        "by",
        "`time`: by when tags were set, if the registry lists it; with `count` alone.",
        Words(&["version", "time"])
    ),
];
