//! Faulty settings of registries.

use super::{and, registry};

/// Files, each with what is wrong with it.
pub(super) fn files() -> Vec<(&'static str, String)> {
    [settings(), credentials(), limits(), alternatives()].concat()
}

fn settings() -> Vec<(&'static str, String)> {
    vec![
        ("words for booleans", registry("{ plain_http: yes, tls: { skip_verify: 1, ca_fil: a.pem } }")),
        ("a client certificate without key", registry("{ tls: { client: { certificate: a.pem } } }")),
        ("settings that say nothing", registry("{ limits: {}, tls: {} }")),
        ("tricks that there are not", registry("{ without: [mounts, head, 1] }\n  ghcr.io: { without: [] }")),
        ("a name that is no path", registry("{ name: Quay/IO }")),
        (
            "settings for what is no registry",
            and("registries:\n  harbor: {}\n  quay.io/UP: {}\n  Quay.io: {}\n  quay.io: {}\n"),
        ),
    ]
}

fn credentials() -> Vec<(&'static str, String)> {
    vec![
        ("a password in clear text", registry("{ auth: { username: bank, password: hunter2 } }")),
        ("a secret in two places", registry("{ auth: { username: bank, password: { env: A, file: b } } }")),
        ("credentials of which a half is missing", registry("{ auth: { username: bank } }")),
        ("an identity that there is not", registry("{ auth: gpc }")),
        ("an app without key", registry("{ auth: { github_app: { id: 4711 } } }")),
        ("an app without id, and a key in clear text", registry("{ auth: { github_app: { key: hunter2 } } }")),
        (
            "an app and a user",
            registry("{ auth: { username: bank, github_app: { id: bank, key: { env: KEY }, owner: me } } }"),
        ),
        ("a list as credentials", registry("{ auth: [hunter2] }")),
        ("a variable that is no name", registry("{ auth: { username: bank, password: { env: $HUB_PAT } } }")),
    ]
}

fn limits() -> Vec<(&'static str, String)> {
    vec![
        ("limits out of range", registry("{ limits: { concurrency: 0 } }")),
        ("limits of a later part", registry("{ limits: { concurrency: \"16\", blobs: 5 } }")),
        (
            "limits that are no numbers with their units",
            registry(
                "{ limits: { requests_per_second: 0, manifest_writes_per_second: 8/s, bandwidth: 400, pulls: { count: 1e3, per: 6 } } }",
            ),
        ),
        (
            "units that there are not",
            registry(
                "{ limits: { bandwidth: 400 Mbit/s, pulls: { per: 2w, keep_free: 5% } } }\n  ghcr.io: { limits: { bandwidth: [], pulls: { per: 0s } } }",
            ),
        ),
        ("a time without end", registry("{ limits: { bandwidth: 0MB/s, pulls: { count: 1, per: 367d } } }")),
        ("pulls of which none is left", registry("{ limits: { pulls: { count: 100, keep_free: 100 } } }")),
        (
            "pulls that are not limited",
            registry("{ limits: { pulls: { per: 6h } } }\n  ghcr.io: { limits: { pulls: {} } }"),
        ),
    ]
}

fn alternatives() -> Vec<(&'static str, String)> {
    vec![
        (
            "alternatives that cannot be read",
            registry(
                "{ alternatives: {} }\n  ghcr.io: { alternatives: [a] }\n  gcr.io: { alternatives: { a: [b], b: 1, c:  } }",
            ),
        ),
        (
            "alternatives with stars in wrong places",
            registry(
                "{ alternatives: { \"*/*\": \"a.io/*\", \"b/*\": \"a.io/*/*\", \"c/*\": a.io/c, d: \"a.io/*\", \"e/*\": \"*/e\", \"f/*\": \"*.io/f\" } }",
            ),
        ),
        (
            "alternatives of which a side is no path or no repository",
            registry(&format!(
                "{{ alternatives: {{ quay.io/a: b.io/a, A: b.io/A, /b: b.io/b, \"c:1\": b.io/c, d: library/d, e: b.io, f: \"b.io/f:1\", \"g/*\": \"b.io/g:*\", h: \"b.io/h@sha256:{}\" }} }}",
                "ab".repeat(32)
            )),
        ),
        (
            "alternatives that are the registry itself",
            registry("{ alternatives: { \"a/*\": \"quay.io/b/*\" } }")
                + "  quay.io/team: { alternatives: { b: quay.io/c } }\n  \"*.gcr.io\": { alternatives: { \"*\": \"eu.gcr.io/*\" } }\n",
        ),
        (
            "a name at Docker Hub that stands for another path",
            and("registries: { docker.io: { alternatives: { alpine: a.io/alpine, \"*-x\": \"a.io/*\" } } }\n"),
        ),
    ]
}
