//! guest-image build --append: guest-init's image behind another one, whose bytes stay as they are.

use cpio::newc::{Builder, trailer};
use guest_init::guest::modules::unpack::Format;
use guest_init::resolve::tree::dep::module_of;
use std::fs;
use std::io::Write;

use super::work::{Work, listing, read_entries, text_of};
use crate::support::scene::compress;

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

/// An archive of paths, modes and contents.
fn archive(entries: &[(&str, u32, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, mode, content) in entries {
        let mut entry = Builder::new(path).mode(*mode).write(&mut bytes, content.len() as u32);
        entry.write_all(content.as_bytes()).unwrap();
        entry.finish().unwrap();
    }
    trailer(bytes).unwrap()
}

/// A distribution's image: /lib and /sbin are links, and it has its own /init and /sbin/modprobe, and a module.
fn distribution() -> Vec<u8> {
    archive(&[
        (".", DIRECTORY, ""),
        ("usr", DIRECTORY, ""),
        ("usr/lib", DIRECTORY, ""),
        ("usr/lib/modules", DIRECTORY, ""),
        ("usr/lib/modules/1.0", DIRECTORY, ""),
        ("usr/lib/modules/1.0/kernel", DIRECTORY, ""),
        ("usr/lib/modules/1.0/kernel/a", DIRECTORY, ""),
        ("usr/lib/modules/1.0/kernel/a/mid.ko", FILE, "mid, decompressed"),
        ("usr/lib/modules/1.0/modules.dep", FILE, "kernel/a/mid.ko:\n"),
        ("usr/sbin", DIRECTORY, ""),
        ("usr/sbin/modprobe", LINK, "/bin/kmod"),
        ("lib", LINK, "usr/lib"),
        ("sbin", LINK, "/usr/sbin"),
        ("init", FILE, "the other init"),
        ("tmp", DIRECTORY, ""),
    ])
}

/// The part of the image behind the other one. Asserts that the other one stands before it unchanged.
fn appended(work: &Work, base: &[u8]) -> Vec<u8> {
    let image = fs::read(work.path("initramfs.img")).unwrap();
    let (start, rest) = image.split_at(base.len().next_multiple_of(4));
    assert!(start.starts_with(base) && start[base.len()..].iter().all(|&b| b == 0));
    // Zeros may follow, as the end of a format that has none.
    let zeros = rest.iter().take_while(|&&b| b == 0).count();
    rest[zeros..].to_vec()
}

/// These bytes in the formats that only initramfs images and kernels have, but lzo, for which there is no program here.
fn in_other_formats(bytes: &[u8]) -> [Vec<u8>; 3] {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    let block = lz4_flex::block::compress(bytes);
    [
        encoder.write_all(bytes).and_then(|()| encoder.finish()).unwrap(),
        compress(bytes, "xz", &["--format=lzma"]),
        [&0x184c_2102_u32.to_le_bytes()[..], &(block.len() as u32).to_le_bytes(), &block].concat(),
    ]
}

const ARGUMENTS: [&str; 6] = ["--append", "other.img", "--module-dir", "lib/modules", "--compress", "none"];

#[test]
fn an_appended_image_replaces_no_file_of_the_other() {
    let work = super::with_tree();
    let base = distribution();
    work.file("other.img", &base);
    let printed = work.build(&[&ARGUMENTS[..], &["top-mod", "--agent", "agent"]].concat());
    assert_eq!(printed, "initramfs.img: 4 modules");
    let image = read_entries(&appended(&work, &base));
    let expected = "\
        d 0755 dev\n\
        c 0600 dev/console 5:1\n\
        c 0644 dev/kmsg 1:11\n\
        c 0666 dev/null 1:3\n\
        d 0755 etc\n\
        d 0755 etc/modprobe.d\n\
        d 0555 proc\n\
        d 0755 run\n\
        d 0555 sys\n\
        f 0644 usr/lib/modules/1.0/kernel/a/base.ko\n\
        f 0644 usr/lib/modules/1.0/kernel/a/top-mod.ko\n\
        d 0755 usr/lib/modules/1.0/kernel/b\n\
        f 0644 usr/lib/modules/1.0/kernel/b/soft.ko\n\
        f 0755 usr/sbin/agent\n\
        f 0755 usr/sbin/guest-init\n";
    let listed = listing(&image);
    let lines: String = listed.split_inclusive('\n').filter(|line| !line.contains("/modules.")).collect();
    assert_eq!(lines, expected);
    // The indexes have the modules of both images, each with its path.
    let dep = "kernel/a/top-mod.ko: kernel/a/mid.ko kernel/a/base.ko\nkernel/a/mid.ko: kernel/a/base.ko\n\
               kernel/a/base.ko:\nkernel/b/soft.ko:\n";
    assert_eq!(text_of(&image, "usr/lib/modules/1.0/modules.dep"), dep);
}

#[test]
fn the_other_image_may_be_compressed_and_begin_with_microcode() {
    let work = super::with_tree();
    let plain = distribution();
    let mut early =
        archive(&[("kernel", DIRECTORY, ""), ("kernel/x86", DIRECTORY, ""), ("kernel/x86/x.bin", FILE, "code")]);
    early.resize(early.len().next_multiple_of(512), 0);
    let mut images: Vec<_> = Format::ALL.map(|format| compress(&plain, format.name(), &[])).into();
    images.extend(in_other_formats(&plain));
    images.extend([
        [early.clone(), compress(&plain, "zstd", &[])].concat(),
        [compress(&plain, "xz", &["--check=crc32"]), vec![0; 64], compress(&early, "gzip", &[])].concat(),
    ]);
    let parts = images.iter().map(|image| {
        work.file("other.img", image);
        work.build(&[&ARGUMENTS[..], &["top-mod"]].concat());
        let part = appended(&work, image);
        work.remove_image();
        part
    });
    let mut parts: Vec<_> = parts.collect();
    parts.sort();
    assert!(parts.windows(2).all(|pair| pair[0] == pair[1]) && !read_entries(&parts[0]).is_empty());
}

#[test]
fn of_two_modules_with_one_name_modules_dep_decides() {
    let work = super::with_tree();
    // DKMS's module is in modules.dep, and the kernel's own is not. Debian's initramfs has both.
    let dep = "updates/dkms/mid.ko: kernel/a/base.ko\nkernel/a/base.ko:\n";
    work.file("lib/modules/1.0/modules.dep", dep);
    work.file("lib/modules/1.0/updates/dkms/mid.ko", "mid of DKMS");
    let folder = |path| (path, DIRECTORY, "");
    let base = archive(&[
        folder("lib"),
        folder("lib/modules"),
        folder("lib/modules/1.0"),
        folder("lib/modules/1.0/kernel"),
        ("lib/modules/1.0/kernel/mid.ko", FILE, "mid"),
        folder("lib/modules/1.0/updates"),
        folder("lib/modules/1.0/updates/dkms"),
        ("lib/modules/1.0/updates/dkms/mid.ko", FILE, "mid of DKMS"),
    ]);
    work.file("other.img", &base);
    work.build(&[&ARGUMENTS[..], &["mid", "--agent", "agent"]].concat());
    let image = read_entries(&appended(&work, &base));
    assert_eq!(text_of(&image, "lib/modules/1.0/modules.dep"), dep);
    assert!(image.iter().all(|entry| !entry.path.ends_with("mid.ko")), "{}", listing(&image));
}

#[test]
fn without_a_list_the_indexes_have_the_other_images_modules() {
    let work = Work::new();
    work.file("other.img", distribution());
    work.build(&[&ARGUMENTS[..2], &["--compress", "none"]].concat());
    let image = read_entries(&appended(&work, &distribution()));
    assert!(image.iter().all(|entry| module_of(entry.path.as_bytes()) != b"modules"), "{}", listing(&image));
    assert!(image.iter().any(|entry| entry.path == "usr/sbin/guest-init"));
}

#[test]
fn a_file_with_several_names_is_unlinked_before_it_is_replaced() {
    let work = super::with_tree();
    // dracut makes equal files one file. The kernel would write each new index into all of them.
    let names = ["modules.alias.bin", "modules.dep.bin"].map(|name| format!("lib/modules/1.0/{name}"));
    let mut base =
        archive(&[("lib", DIRECTORY, ""), ("lib/modules", DIRECTORY, ""), ("lib/modules/1.0", DIRECTORY, "")]);
    base.extend({
        let mut bytes = Vec::new();
        for name in &names {
            Builder::new(name).mode(FILE).nlink(2).ino(9).write(&mut bytes, 0).finish().unwrap();
        }
        trailer(bytes).unwrap()
    });
    fs::write(work.path("other.img"), &base).unwrap();
    work.build(&[&ARGUMENTS[..], &["base"]].concat());
    let entries = read_entries(&appended(&work, &base));
    for name in &names {
        let modes: Vec<_> = entries.iter().filter(|entry| entry.path == *name).map(|entry| entry.mode).collect();
        assert_eq!(modes, [LINK, FILE], "{name}");
    }
    assert_eq!(entries.iter().filter(|entry| entry.path.ends_with("modules.symbols.bin")).count(), 1);
}

#[test]
fn a_file_that_is_no_image_or_of_another_tree_is_refused() {
    let work = super::with_tree();
    let printed = |bytes: &[u8], arguments: &[&str]| {
        work.file("other.img", bytes);
        work.fails(&[&["--append", "other.img"], arguments].concat())
    };
    let junk = "guest-image: other.img: at offset 0x0: neither a cpio archive nor one in gzip, zstd, xz, bzip2, lzma, \
                lzo or lz4; compress the image in one of these\n";
    assert_eq!(printed(b"\x04\x22\x4d\x18lz4", &[]), junk);
    assert_eq!(printed(b"\0\0\0\0", &[]), "guest-image: other.img: an empty image\n");
    let packed = compress(&distribution(), "gzip", &[]);
    assert!(printed(&packed[..packed.len() / 2], &[]).starts_with("guest-image: other.img: at offset 0x0: "));
    let behind = [&distribution()[..], b"junk"].concat();
    let offset = format!("guest-image: other.img: at offset {:#x}: neither ", distribution().len());
    assert!(printed(&behind, &[]).starts_with(&offset));

    let strange = archive(&[
        ("lib", DIRECTORY, ""),
        ("lib/modules", DIRECTORY, ""),
        ("lib/modules/1.0", DIRECTORY, ""),
        ("lib/modules/1.0/x.ko", FILE, ""),
    ]);
    let expected = "guest-image: the image to append to has x.ko in /lib/modules/1.0, which the module tree lacks; name the \
                    tree that the image was made from\n";
    assert_eq!(printed(&strange, &["base"]), expected);
    let taken = archive(&[("sbin", DIRECTORY, ""), ("sbin/guest-init", DIRECTORY, "")]);
    let expected = "guest-image: /sbin/guest-init is a directory in the image to append to\n";
    assert_eq!(printed(&taken, &[]), expected);
    let round = archive(&[("sbin", LINK, "bin"), ("bin", LINK, "sbin")]);
    assert_eq!(printed(&round, &[]), "guest-image: /sbin/modprobe: a loop of symbolic links\n");
}
