//! Layouts in tars, and what skopeo says of both forms.

use std::path::PathBuf;

use registry::Archive;

use super::*;

/// An archive of `image` with a referrer, under [`NAME`].
async fn archive(folder: &Path, name: &str, image: &Image) -> PathBuf {
    let target = folder.join(name);
    let archive = Archive::create(&target).await.unwrap();
    write(archive.layout(), image, Some(NAME)).await;
    write(archive.layout(), &sbom(&image.manifest), None).await;
    archive.finish().await.unwrap();
    target
}

#[tokio::test]
async fn an_archive_gives_back_the_image_and_is_the_same_each_time() {
    let folder = folder();
    let image = image(1, 700_000);
    let target = archive(folder.path(), "a.tar", &image).await;
    let layout = Layout::open_archive(&target).await.unwrap();
    assert_eq!(digest_of(&layout, None).await.as_ref(), Some(&image.manifest.digest));
    assert_holds(&layout, &image).await;
    assert_eq!(layout.referrers(&image.manifest.digest).await.unwrap().len(), 1);
    assert_eq!(layout.put_manifest(&image.manifest).await.unwrap_err().kind(), Kind::Unsupported);

    let again = archive(folder.path(), "b.tar", &image).await;
    assert_eq!(Digest::of(&fs::read(target).unwrap()), Digest::of(&fs::read(again).unwrap()));
    assert_eq!(entries(folder.path()), ["a.tar", "b.tar"]);
}

#[tokio::test]
async fn an_archive_that_is_not_finished_leaves_the_older_one_and_nothing_else() {
    let folder = folder();
    let target = archive(folder.path(), "a.tar", &image(1, 10)).await;
    let before = fs::read(&target).unwrap();
    let unfinished = Archive::create(&target).await.unwrap();
    write(unfinished.layout(), &image(2, 10), Some(NAME)).await;
    drop(unfinished);
    assert_eq!(fs::read(&target).unwrap(), before);
    assert_eq!(entries(folder.path()), ["a.tar"]);
}

#[tokio::test]
async fn a_file_that_is_no_archive_is_not_written_over() {
    let folder = folder();
    let path = folder.path().join("job.yaml");
    fs::write(&path, "version: 1\n").unwrap();
    assert_eq!(Archive::create(&path).await.err().unwrap().kind(), Kind::Unsupported);
    assert_eq!(fs::read_to_string(&path).unwrap(), "version: 1\n");
    assert_eq!(entries(folder.path()), ["job.yaml"]);
}

#[tokio::test]
async fn blobs_with_long_digests_fit_into_an_archive() {
    let folder = folder();
    let target = folder.path().join("a.tar");
    let archive = Archive::create(&target).await.unwrap();
    let content = Bytes::from_static(b"long");
    let zeros = format!("sha512:{}", "0".repeat(128)).parse::<Digest>().unwrap();
    let mut hasher = zeros.hasher();
    hasher.update(&content);
    let blob = Descriptor::new("layer", hasher.finish(), 4);
    push(archive.layout(), &blob, &content).await.unwrap();
    archive.finish().await.unwrap();
    assert_eq!(read(&Layout::open_archive(&target).await.unwrap(), &blob).await.unwrap(), content);
}

/// A tar of these files; one without content is a link to `/etc/passwd`.
fn tar(path: &Path, files: &[(&str, Option<&[u8]>)]) {
    let mut tar = tar::Builder::new(File::create(path).unwrap());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        // Set by hand: the builder refuses names that lead upwards.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.map_or(0, <[u8]>::len) as u64);
        if content.is_none() {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, content.unwrap_or_default()).unwrap();
    }
    tar.finish().unwrap();
}

const MARK: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;

#[tokio::test]
async fn hostile_tars_are_refused_with_the_reason() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    let refused = async |why: &str| {
        let error = Layout::open_archive(&path).await.err().unwrap();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains(why), "{error}");
    };
    tar(&path, &[("oci-layout", Some(MARK)), ("index.json", Some(INDEX)), ("./index.json", Some(b"{}"))]);
    refused("`index.json` twice").await;
    tar(&path, &[("oci-layout", None), ("index.json", Some(INDEX))]);
    refused("no file `oci-layout`").await;
    tar(&path, &[("../oci-layout", Some(MARK))]);
    refused("no file `oci-layout`").await;
    fs::write(&path, [&[0x1f, 0x8b, 8][..], &[1; 2000]].concat()).unwrap();
    refused("not an uncompressed tar").await;
    tar(&path, &[("oci-layout", Some(MARK)), ("index.json", Some(&[b' '; 5000]))]);
    File::options().write(true).open(&path).unwrap().set_len(512 * 4).unwrap();
    refused("cut short").await;
}

#[tokio::test]
async fn a_name_that_would_fill_the_memory_is_not_read() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(1 << 40);
    header.set_cksum();
    fs::write(&path, header.as_bytes()).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1 << 41).unwrap();
    let error = Layout::open_archive(&path).await.err().unwrap();
    assert!(error.to_string().contains("headers exceed"), "{error}");
}

#[tokio::test]
async fn links_and_odd_entries_beside_a_layout_are_passed_over() {
    let folder = folder();
    let path = folder.path().join("a.tar");
    let (blob, content) = blob("layer", b"content".to_vec());
    let name = format!("./blobs/sha256/{}", blob.digest.hex());
    let files: [(&str, Option<&[u8]>); 5] = [
        ("./oci-layout", Some(MARK)),
        ("./index.json", Some(INDEX)),
        ("/etc/shadow", Some(b"x")),
        ("link", None),
        (&name, Some(&content)),
    ];
    tar(&path, &files);
    let layout = Layout::open_archive(&path).await.unwrap();
    assert_eq!(read(&layout, &blob).await.unwrap(), content);
    assert_eq!(digest_of(&layout, None).await, None);
}

fn skopeo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn skopeo_reads_what_we_wrote_and_we_read_what_it_wrote() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        return skip("skopeo_reads_what_we_wrote_and_we_read_what_it_wrote", "skopeo is not installed");
    }
    let folder = folder();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let image = image(1, 20 * 512);
    let layout = Layout::create(at("layout")).await.unwrap();
    write(&layout, &image, Some(NAME)).await;
    write(&layout, &sbom(&image.manifest), None).await;
    archive(folder.path(), "a.tar", &image).await;

    let sources = [format!("oci:{}:{NAME}", at("layout")), format!("oci-archive:{}:{NAME}", at("a.tar"))];
    for (number, source) in sources.iter().enumerate() {
        assert_eq!(skopeo(&["inspect", "--raw", source]), image.manifest.raw, "{source}");
        let theirs = at(&format!("theirs{number}"));
        let options = ["--insecure-policy", "copy", "--preserve-digests", "-q", source];
        skopeo(&[&options[..], &[&format!("oci:{theirs}:{NAME}")]].concat());
        skopeo(&[&options[..], &[&format!("oci-archive:{theirs}.tar:{NAME}")]].concat());
        assert_holds(&Layout::open_folder(&theirs).await.unwrap(), &image).await;
        let read_back = Layout::open_archive(format!("{theirs}.tar")).await.unwrap();
        assert_holds(&read_back, &image).await;
        assert_eq!(digest_of(&read_back, Some(NAME)).await.as_ref(), Some(&image.manifest.digest));
    }
}
