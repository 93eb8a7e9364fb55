//! Where strict semantic versioning gives another answer than ours, and why ours is the one that is wanted.

use semver::{Version, VersionReq};

use crate::tag_lists::{listing, select, taken};

/// What strict semantic versioning takes from the listing `name`, newest first; with pre-releases if `pre_releases`.
fn by_semver(name: &str, range: &str, pre_releases: bool) -> String {
    let Ok(range) = VersionReq::parse(&range.replace(' ', ", ")) else { return "not a range".to_owned() };
    let mut found: Vec<Version> = listing(name).iter().filter_map(|tag| Version::parse(tag.as_str()).ok()).collect();
    found.retain(|version| {
        let release = Version::new(version.major, version.minor, version.patch);
        range.matches(if pre_releases { &release } else { version })
    });
    found.sort_by(|a, b| b.cmp(a));
    found.iter().map(Version::to_string).collect::<Vec<_>>().join(" ")
}

struct Row {
    image: &'static str,
    versions: &'static str,
    /// What else the rule says.
    more: &'static str,
    semver: &'static str,
    ours: &'static str,
    why: &'static str,
}

const ROWS: [Row; 12] = [
    Row {
        image: "postgres",
        versions: ">=17",
        more: "",
        semver: "",
        ours: "18.0 17.6 17.5 17.4",
        why: "a version may have two parts",
    },
    Row {
        image: "alpine",
        versions: ">=2.6 <3.7",
        more: "",
        semver: "3.6.5",
        ours: "3.6.5 3.5 3.4 3.3 3.2 3.1 2.7 2.6",
        why: "where there is nothing longer, two parts are a release",
    },
    Row {
        image: "ubuntu",
        versions: ">=24.04",
        more: "",
        semver: "not a range",
        ours: "25.10 25.04 24.10 24.04",
        why: "a part may begin with 0",
    },
    Row {
        image: "amazonlinux",
        versions: ">=2 <3",
        more: "",
        semver: "",
        ours: "2.0.20250707.0 2.0.20250623.0 2.0.20250610.0",
        why: "a version may have four parts",
    },
    Row {
        image: "prometheus",
        versions: ">=3.4",
        more: "",
        semver: "",
        ours: "v3.5.0 v3.4.1 v3.4.0",
        why: "a `v` says nothing",
    },
    Row {
        image: "traefik",
        versions: ">=3.5",
        more: "",
        semver: "3.5.0",
        ours: "3.5.0 v3.5.0",
        why: "one version may have two names, and people pull both",
    },
    Row {
        image: "eclipse-temurin",
        versions: ">=21 <22",
        more: ", variants: [jre-noble], newest: { count: 2 }",
        semver: "",
        ours: "21.0.7_6-jre-noble 21.0.6_7-jre-noble",
        why: "a build follows `_`, and then the variant",
    },
    Row {
        image: "openjdk",
        versions: ">=8 <9",
        more: ", variants: [jdk-slim-bullseye]",
        semver: "",
        ours: "8u342-jdk-slim-bullseye 8u332-jdk-slim-bullseye",
        why: "`8u342` is Java's 8.0.342",
    },
    Row {
        image: "rabbitmq",
        versions: ">=4.1",
        more: ", variants: [alpine]",
        semver: "4.1.2 4.1.1 4.1.0",
        ours: "4.1.2-alpine 4.1.1-alpine 4.1.0-alpine",
        why: "`-alpine` is a variant, which can be asked for",
    },
    Row {
        image: "rabbitmq",
        versions: ">=4.1.2",
        more: ", pre_releases: true",
        semver: "4.2.0-rc.1-management-alpine 4.2.0-rc.1-management 4.2.0-rc.1-alpine 4.2.0-rc.1 \
                 4.2.0-beta.2-management-alpine 4.2.0-beta.2-management 4.2.0-beta.2-alpine 4.2.0-beta.2 4.1.2 \
                 4.1.2-management-alpine 4.1.2-management 4.1.2-alpine",
        ours: "4.2.0-rc.1 4.2.0-beta.2 4.1.2",
        why: "a variant is no pre-release, and a pre-release has variants",
    },
    Row {
        image: "golang",
        versions: ">=1.25",
        more: ", pre_releases: true",
        semver: "",
        ours: "1.26-rc 1.25rc2 1.25rc1",
        why: "a pre-release may follow without `-`, and after two parts",
    },
    Row {
        image: "pause",
        versions: ">=3.9",
        more: ", aliases: true",
        semver: "3.10.1",
        ours: "3.10.1 3.10 3.9",
        why: "a shorter tag may be a release or another name; both can be asked for",
    },
];

#[test]
fn strict_semantic_versioning_gives_the_wrong_answer_for_nearly_every_image() {
    for Row { image, versions, more, semver, ours, why } in ROWS {
        assert_eq!(by_semver(image, versions, more.contains("pre_releases")), semver, "{image} {versions}");
        let selection = select(image, &format!("[{{ versions: '{versions}'{more} }}]"));
        assert_eq!(taken(&selection), ours, "{image} {versions}{more}: {why}");
        assert_ne!(semver, ours);
    }
}
