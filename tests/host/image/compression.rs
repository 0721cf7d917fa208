//! The compression that guest-image chooses, and the one that it is asked for.

use std::fs;

use super::with_tree;
use super::work::Work;

/// What guest-image prints without its arguments of this tree, and whether the image is compressed by zstd.
fn build(work: &Work, arguments: &[&str]) -> (String, bool) {
    let output = work.command(&[&["base", "--root", ".", "--agent", "agent"], arguments].concat()).output().unwrap();
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}");
    (printed, fs::read(work.path("initramfs.img")).unwrap().starts_with(&[0x28, 0xb5, 0x2f, 0xfd]))
}

/// Asserts the end of the summary, and whether the image is compressed by zstd.
fn is(work: &Work, arguments: &[&str], end: &str, compressed: bool) {
    let (printed, is_compressed) = build(work, arguments);
    assert!(printed.trim_end().ends_with(&format!("iB, {end}")), "{arguments:?}: {printed}");
    assert_eq!(is_compressed, compressed, "{arguments:?}");
}

#[test]
fn an_image_is_compressed_if_it_would_take_much_memory_otherwise() {
    let work = with_tree();
    is(&work, &[], "not compressed: it boots fastest so", false);
    is(&work, &["--compress", "none"], "not compressed", false);
    is(&work, &["--compress", "zstd"], "compressed by zstd", true);

    fs::File::create(work.path("large")).unwrap().set_len(65 << 20).unwrap();
    let large = ["--add", "large:/large"];
    let reason = "uncompressed it would take three times its size of the VM's memory";
    is(&work, &large, &format!("compressed by zstd: {reason}"), true);

    work.file("boot/config-1.0", "CONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n");
    is(&work, &large, "not compressed: this kernel has no CONFIG_RD_ZSTD", false);
    let (printed, _) = build(&work, &["--compress", "zstd"]);
    let warning = "warning: the kernel can't read this image: its configuration has no CONFIG_RD_ZSTD";
    assert!(printed.contains(warning), "{printed}");
}
