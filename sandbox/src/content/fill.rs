//! A registry's worth of content at once.

use super::{Image, Layer, artifact, cosign_signature, cosign_tag, docker_list, image, index, multi_platform, sbom};
use crate::store::Store;

/// Fills `store` with `repositories` repositories of `tags` tags each, the same every time.
///
/// All images of a repository share one layer with each other and one with all repositories. Of eight tags, two are
/// plain images, two multi-platform indexes, and one each a Docker image, a Docker list, an index of one image, and an
/// image with an oddly formatted manifest. Every fourth has an SBOM as referrer, every fifth a cosign signature beside it (these tags
/// come on top of `tags`). The last tag of each repository is an artifact that is no image.
///
/// Repositories are named `library/app-00`, … and tags `1.0`, `1.1`, ….
pub fn fill(store: &Store, repositories: u64, tags: u64) {
    let base = Layer::new(u64::MAX, 20_000);
    for number in 0..repositories {
        let repository = format!("library/app-{number:02}");
        let shared = Layer::new(u64::MAX - 1 - number, 10_000);
        for tag in 0..tags {
            let name = format!("1.{tag}");
            let seed = number * 10_000 + tag;
            if tag + 1 == tags && tags > 1 {
                let chart = artifact("application/vnd.cncf.helm.chart.content.v1.tar+gzip", name.as_bytes());
                store.put_image(&repository, Some(&name), &chart);
                continue;
            }
            let mut made = make(seed, tag, &[&base, &shared]);
            if tag % 4 == 0 {
                let sbom = sbom(&made);
                made = made.with_referrer(sbom);
            }
            store.put_image(&repository, Some(&name), &made);
            if tag % 5 == 0 {
                store.put_image(&repository, Some(&cosign_tag(&made.digest(), "sig")), &cosign_signature(&made));
            }
        }
    }
}

fn make(seed: u64, tag: u64, shared: &[&Layer]) -> Image {
    let own = Layer::new(seed, 3_000);
    let builder = shared.iter().fold(image(seed), |builder, layer| builder.layer(layer)).layer(&own);
    match tag % 8 {
        1 | 4 => multi_platform(seed, &["linux/amd64", "linux/arm64", "linux/arm/v7"]),
        2 => builder.docker().build(),
        3 => docker_list(&[builder.docker().build()]),
        5 => builder.oddly_formatted().build(),
        6 => index(&[builder.build()]),
        _ => builder.build(),
    }
}
