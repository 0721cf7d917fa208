//! guest-image build --whole-root: the layers of an OCI image layout as the root of the image.

use std::fs;
use std::io::Write;
use std::process::Command;

use serde_json::json;
use tar::EntryType;

use super::work::{Work, listing, text_of};
use crate::support::container::{self, Tar};

#[test]
fn the_layers_of_an_oci_image_lie_one_over_the_other() {
    let first = Tar::new()
        .file("a/kept", 0o644, "1")
        .file("a/removed", 0o644, "1")
        .file("b/old", 0o644, "1")
        .directory("b/folder", 0o755)
        .file("b/folder/old", 0o644, "1")
        .file("c", 0o644, "1")
        .file("d/file", 0o644, "1")
        .link("usr-bin", "bin");
    let second = Tar::new()
        .file("a/.wh.removed", 0o644, "")
        .file("b/new", 0o644, "2")
        // Everything that earlier layers have in b, whatever stands before it in this layer.
        .file("b/.wh..wh..opq", 0o644, "")
        .directory("c", 0o750)
        .file("c/below", 0o644, "2")
        .file(".wh.d", 0o644, "")
        .file("usr-bin/tool", 0o755, "2");
    let third = Tar::new().file("d", 0o600, "3").entry(EntryType::Link, "a/same", 0, "a/kept", b"");
    let gzip = |bytes: Vec<u8>| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        encoder.finish().unwrap()
    };
    let layers = [first.bytes(), gzip(second.bytes()), zstd::encode_all(&third.bytes()[..], 1).unwrap()];

    let work = Work::new();
    work.file("layout/x", "");
    let layout = work.path("layout");
    let mut other = container::image(&layout, "arm64", &[Tar::new().file("arm", 0o644, "").bytes()], &[]);
    other["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    let mut own = container::image(&layout, "amd64", &layers, &["/usr-bin/tool", "-v"]);
    own["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    container::index(&layout, &[other, own]);
    let tar = Command::new("tar").args(["-C", "layout", "-cf", "layout.tar", "."]).current_dir(work.path("")).status();
    assert!(tar.unwrap().success());

    for root in ["layout", "layout.tar"] {
        let output = work.command(&["--root", root, "--whole-root"]).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.ends_with("boot with guest_init.agent=/usr-bin/tool -- -v\n"), "{printed}");
        let image = work.image();
        let listed = listing(&image);
        let own: Vec<_> =
            listed.lines().filter(|line| ["a", "b", "c", "d", "bin", "usr-bin"].contains(&top(line))).collect();
        let expected = [
            "d 0755 a",
            "f 0644 a/kept",
            "f 0644 a/same",
            "d 0755 b",
            "f 0644 b/new",
            "d 0755 bin",
            "f 0755 bin/tool",
            "d 0750 c",
            "f 0644 c/below",
            "f 0600 d",
            "l 0777 usr-bin -> bin",
        ];
        assert_eq!(own, expected);
        work.remove_image();
    }

    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|blob| blob.unwrap().path());
    let layer = blobs.into_iter().find(|path| fs::read(path).unwrap() == layers[0]).unwrap();
    let mut changed = layers[0].clone();
    changed[600] ^= 1;
    fs::write(&layer, &changed).unwrap();
    let printed = work.fails(&["--root", "layout", "--whole-root"]);
    assert!(printed.contains(": its digest is sha256:") && printed.ends_with("; copy the image again\n"), "{printed}");
    fs::remove_file(&layer).unwrap();
    assert!(work.fails(&["--root", "layout", "--whole-root"]).contains("No such file"));
}

#[test]
fn an_oci_layout_without_one_image_for_the_machine_is_refused() {
    let work = Work::new();
    work.file("layout/x", "");
    let layout = work.path("layout");
    let tar = |name: &str| Tar::new().file(name, 0o644, "").bytes();
    let named = |mut image: serde_json::Value, name: &str| {
        image["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        image
    };
    let image =
        |architecture: &str, name: &str| named(container::image(&layout, architecture, &[tar(name)], &[]), name);
    let mut encrypted = image("amd64", "e");
    let [first, second, foreign] = [image("amd64", "1"), image("amd64", "2"), image("arm64", "f")];
    let mut too_long = first.clone();
    too_long["size"] = 9.into();
    let manifest = layout.join("blobs/sha256").join(&encrypted["digest"].as_str().unwrap()["sha256:".len()..]);
    let changed = fs::read_to_string(manifest).unwrap().replace("layer.v1.tar", "layer.v1.tar+encrypted");
    encrypted = container::blob(&layout, "application/vnd.oci.image.manifest.v1+json", changed.as_bytes());
    let mut outside = first.clone();
    outside["digest"] = "sha256:../../../init".into();
    let mut of_arm = foreign.clone();
    of_arm["platform"] = json!({ "os": "linux", "architecture": "arm64" });
    let of_others = "it has no image for linux/amd64, but for linux/arm64; \
                     name the guest-init of that architecture with --init, ";
    let cases = [
        (vec![first.clone(), second], "it has several images: ["),
        (vec![foreign], "the image is for arm64, not for amd64; name the guest-init of that architecture with --init"),
        (vec![of_arm], of_others),
        (vec![], "it has no image; copy one into it, as `skopeo copy` does\n"),
        (vec![too_long], "bytes, and its descriptor has 9"),
        (vec![encrypted], " is encrypted"),
        (vec![outside], "is no digest of SHA-256 or SHA-512"),
    ];
    for (manifests, expected) in cases {
        container::index(&layout, &manifests);
        let printed = work.fails(&["--root", "layout", "--whole-root"]);
        assert!(printed.starts_with("guest-image: layout: ") && printed.contains(expected), "{expected}: {printed}");
    }
    fs::write(layout.join("index.json"), vec![b' '; (4 << 20) + 1]).unwrap();
    let printed = work.fails(&["--root", "layout", "--whole-root"]);
    assert_eq!(printed, "guest-image: layout: index.json: more than 4 MiB\n");
    // One image with two names is one image.
    container::index(&layout, &[first.clone(), named(first, "another")]);
    work.build(&["--root", "layout", "--whole-root"]);
}

#[test]
fn an_opaque_whiteout_hides_what_is_older_in_the_root_or_behind_a_link() {
    let first = Tar::new()
        .directory("a", 0o750)
        .file("a/old", 0o644, "1")
        .file("gone/old", 0o644, "1")
        .link("link", "b/folder")
        .file("b/folder/old", 0o644, "1")
        .file("b/kept", 0o644, "1");
    let of_link = Tar::new().file("link/.wh..wh..opq", 0o644, "").file("link/new", 0o644, "2");
    let of_root = Tar::new().file("a/b", 0o644, "3").file(".wh..wh..opq", 0o644, "");

    let work = Work::new();
    work.file("layout/x", "");
    let layout = work.path("layout");
    let [first, of_link, of_root] = [first, of_link, of_root].map(Tar::bytes);
    let files = |layers: &[Vec<u8>]| {
        container::index(&layout, &[container::image(&layout, "amd64", layers, &[])]);
        work.build(&["--root", "layout", "--whole-root"]);
        let listed = listing(&work.image());
        let own = listed.lines().filter(|line| ["a", "b", "gone", "link"].contains(&top(line)));
        own.map(String::from).collect::<Vec<_>>()
    };
    let expected = [
        "d 0750 a",
        "f 0644 a/old",
        "d 0755 b",
        "d 0755 b/folder",
        "f 0644 b/folder/new",
        "f 0644 b/kept",
        "d 0755 gone",
        "f 0644 gone/old",
        "l 0777 link -> b/folder",
    ];
    assert_eq!(files(&[first.clone(), of_link]), expected);
    assert_eq!(files(&[first, of_root]), ["d 0750 a", "f 0644 a/b"]);
}

#[test]
fn an_index_that_others_name_again_and_again_is_read_once() {
    let work = Work::new();
    work.file("layout/x", "");
    let layout = work.path("layout");
    let kind = "application/vnd.oci.image.index.v1+json";
    let mut inner = container::image(&layout, "amd64", &[Tar::new().file("file", 0o644, "1").bytes()], &[]);
    for _ in 0..3 {
        let index = json!({ "schemaVersion": 2, "manifests": vec![inner; 2000] });
        inner = container::blob(&layout, kind, index.to_string().as_bytes());
    }
    container::index(&layout, &vec![inner; 2000]);
    work.build(&["--root", "layout", "--whole-root"]);
    assert_eq!(text_of(&work.image(), "file"), "1");
}

/// The first part of the path in a line of [`listing`].
fn top(line: &str) -> &str {
    line[7..].split(['/', ' ']).next().unwrap()
}
