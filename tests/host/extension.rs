//! guest-image extension: the disk is what sfdisk, veritysetup and fsck.erofs take it for, and the same input makes the
//! same disk.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::image::with_tree;
use crate::support::folder::Folder;

/// Where the tools are: not every user of Debian has /usr/sbin in PATH.
const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";
/// The size of a sector and of a block, in bytes.
const SECTOR: u64 = 512;
const BLOCK: u64 = 4096;

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
    command.current_dir(folder.path("")).arg("extension").args(arguments).env_remove("SOURCE_DATE_EPOCH");
    command
}

/// Makes an extension, and returns the standard output and the standard error.
fn make(folder: &Folder, arguments: &[&str]) -> (String, String) {
    let output = command(folder, arguments).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

/// Asserts that a command ends with a status and leaves nothing behind, and returns its standard error.
fn fails(folder: &Folder, mut command: Command, status: i32) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{output:?}");
    let mut names = fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_str().unwrap().contains("extension")), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The standard output of a tool that succeeds.
fn tool(folder: &Folder, line: &[&str]) -> String {
    let output = Command::new(line[0]).args(&line[1..]).current_dir(folder.path("")).env("PATH", PATH).output();
    let output = output.unwrap_or_else(|error| panic!("{line:?}: {error}"));
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A field of the printed word.
fn field<'w>(word: &'w str, name: &str) -> &'w str {
    let mut fields = word.trim_end().split(['=', ',']).skip_while(|field| *field != name);
    fields.nth(1).unwrap_or_else(|| panic!("no {name} in {word}"))
}

/// A partition as sfdisk reads it.
struct Partition {
    start: u64,
    size: u64,
    uuid: String,
}

/// The partitions of a disk, whose table sfdisk finds without fault.
fn partitions(folder: &Folder, disk: &str) -> Vec<Partition> {
    let verified = tool(folder, &["sfdisk", "--verify", disk]);
    assert!(verified.contains("No errors detected"), "{verified}");
    let table: serde_json::Value = serde_json::from_str(&tool(folder, &["sfdisk", "--json", disk])).unwrap();
    assert_eq!(table["partitiontable"]["label"], "gpt");
    let partition = |entry: &serde_json::Value| Partition {
        start: entry["start"].as_u64().unwrap() * SECTOR,
        size: entry["size"].as_u64().unwrap() * SECTOR,
        uuid: entry["uuid"].as_str().unwrap().replace('-', "").to_lowercase(),
    };
    table["partitiontable"]["partitions"].as_array().unwrap().iter().map(partition).collect()
}

/// Writes the partitions of a disk to files, `data` and `hash`.
fn split(folder: &Folder, disk: &str) {
    let file = fs::File::open(folder.path(disk)).unwrap();
    for (name, partition) in ["data", "hash"].into_iter().zip(partitions(folder, disk)) {
        let mut bytes = vec![0; partition.size as usize];
        file.read_exact_at(&mut bytes, partition.start).unwrap();
        folder.file(name, bytes);
    }
}

/// Unpacks the file system of a disk. fsck.erofs checks it on the way.
fn unpack(folder: &Folder, disk: &str) -> std::path::PathBuf {
    split(folder, disk);
    let _ = fs::remove_dir_all(folder.path("unpacked"));
    tool(folder, &["fsck.erofs", "--extract=unpacked", "data"]);
    folder.path("unpacked")
}

/// The paths of all files below a folder, sorted.
fn files(folder: &Path) -> Vec<String> {
    fn add(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            match entry.file_type().unwrap().is_dir() {
                true => add(&entry.path(), &format!("{path}/"), paths),
                false => paths.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    add(folder, "", &mut paths);
    paths.sort();
    paths
}

#[test]
fn the_hash_tree_is_that_of_veritysetup_to_the_byte() {
    let long_salt = "5a".repeat(256);
    // One block of data has no tree. Then come trees of one, two and three levels.
    for (size, salt) in [(0, None), (100, Some("-")), (300, Some(&long_salt[..])), (128 * 128, None)] {
        let folder = Folder::new();
        fs::create_dir(folder.path("tree")).unwrap();
        if size > 0 {
            let file = fs::File::create(folder.path("tree/file")).unwrap();
            file.set_len(size * BLOCK).unwrap();
            file.write_all_at(b"not only zeros", (size - 1) * BLOCK).unwrap();
        }
        let salted = salt.map_or(vec![], |salt| vec!["--salt", salt]);
        let (word, _) = make(&folder, &[&["--tree", "tree", "--serial", "s"], &salted[..]].concat());
        split(&folder, "extension.img");
        let (root, salt, blocks) = (field(&word, "root_hash"), field(&word, "salt"), field(&word, "data_blocks"));
        let data = fs::metadata(folder.path("data")).unwrap().len();
        assert_eq!(blocks.parse::<u64>().unwrap() * BLOCK, data, "{word}");
        assert_eq!((field(&word, "data_block_size"), field(&word, "hash_block_size")), ("4096", "4096"));
        assert_eq!(data == BLOCK, size == 0);

        let salt = format!("--salt={salt}");
        let formatted = tool(&folder, &["veritysetup", "format", "--no-superblock", &salt, "data", "theirs"]);
        assert!(formatted.contains(root), "{word}{formatted}");
        let theirs = fs::read(folder.path("theirs")).unwrap();
        let ours = fs::read(folder.path("hash")).unwrap();
        assert!(ours.starts_with(&theirs) && ours.len() == theirs.len().max(BLOCK as usize), "{word}");
        let blocks = format!("--data-blocks={blocks}");
        tool(&folder, &["veritysetup", "verify", "--no-superblock", &salt, &blocks, "data", "hash", root]);
    }
}

#[test]
fn the_partitions_are_aligned_and_have_the_halves_of_the_root_hash_as_uuids() {
    let folder = Folder::new();
    folder.file("tree/a", "a");
    let (word, _) = make(&folder, &["--tree", "tree", "--name", "gpu", "--output", "gpu.img"]);
    let value = word.strip_prefix("kata.extension.gpu.verity_params=root_hash=").expect(&word);
    let found = partitions(&folder, "gpu.img");
    assert!(found.iter().all(|partition| partition.start % (1 << 20) == 0));
    let uuids: Vec<_> = found.iter().map(|partition| &partition.uuid[..]).collect();
    assert_eq!(uuids, [&value[..32], &value[32..64]]);
    let listing = tool(&folder, &["partx", "--raw", "--noheadings", "-o", "NR,NAME", "gpu.img"]);
    assert_eq!(listing, "1 data\n2 hash\\x20tree\n");
}

#[test]
fn an_extension_has_the_files_of_its_tree() {
    for compression in ["none", "lz4hc"] {
        let folder = Folder::new();
        folder.file("tree/bin/tool", "#!/bin/sh\n".repeat(10_000));
        fs::set_permissions(folder.path("tree/bin/tool"), fs::Permissions::from_mode(0o751)).unwrap();
        symlink("/bin/tool", folder.path("tree/link")).unwrap();
        make(&folder, &["--tree", "tree", "--serial", "s", "--compress", compression]);
        let unpacked = unpack(&folder, "extension.img");
        assert_eq!(files(&unpacked), ["bin/tool", "link"]);
        assert_eq!(fs::read_link(unpacked.join("link")).unwrap(), Path::new("/bin/tool"));
        let mode = fs::metadata(unpacked.join("bin/tool")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o751);
        assert_eq!(fs::metadata(unpacked.join("bin/tool")).unwrap().len(), 100_000);
    }
}

#[test]
fn an_extension_has_what_the_modules_of_a_list_need() {
    let folder = with_tree();
    folder.file("lib/modules/1.0/kernel/b/soft.ko", crate::support::module::module(&["firmware=soft/a.bin"], b""));
    folder.file("lib/firmware/soft/a.bin", "firmware");
    folder.file("list", "other\n");
    folder.file("tree/etc/file", "of the tree");
    let modules = ["--modules", "top-mod", "--modules", "base a=1", "--file", "list", "--root", "."];
    let (_, report) = make(&folder, &[&["--tree", "tree", "--name", "gpu"], &modules[..]].concat());
    assert_eq!(report, "extension.img: 5 modules, 3.00 MiB, for the disk extension-gpu\n");
    let unpacked = unpack(&folder, "extension.img");
    let names = files(&unpacked);
    let (indexes, others): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.contains("/modules."));
    let expected = [
        "etc/file",
        "lib/firmware/soft/a.bin",
        "lib/modules/1.0/kernel/a/base.ko",
        "lib/modules/1.0/kernel/a/mid.ko",
        "lib/modules/1.0/kernel/a/top-mod.ko",
        "lib/modules/1.0/kernel/b/other.ko",
        "lib/modules/1.0/kernel/b/soft.ko",
    ];
    assert_eq!(others, expected.each_ref());
    assert!(indexes.iter().any(|name| *name == "lib/modules/1.0/modules.dep.bin"), "{indexes:?}");
    // The guest's own code plans from it.
    let plan = crate::image::work::plan(&unpacked.join("lib/modules"), "1.0", "mid").unwrap();
    assert_eq!(plan, "insmod kernel/a/base.ko \ninsmod kernel/a/mid.ko \n");
}

#[test]
fn the_same_input_makes_the_same_disk() {
    let disk = |mtime: &str, epoch: &str, arguments: &[&str]| {
        let folder = with_tree();
        folder.file("tree/a", "a");
        folder.file("tree/b/c", "c");
        tool(&folder, &["touch", "-d", mtime, "tree/a", "tree/b", "lib/modules/1.0/kernel/a/base.ko"]);
        let arguments = [&["--tree", "tree", "--serial", "s"], arguments].concat();
        let output = command(&folder, &arguments).env("SOURCE_DATE_EPOCH", epoch).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (fs::read(folder.path("extension.img")).unwrap(), output.stdout)
    };
    for arguments in [&[][..], &["--modules", "base", "--module-dir", "lib/modules"]] {
        let first = disk("2020-01-01", "0", arguments);
        assert!(first == disk("2024-02-02", "0", arguments));
        assert!(first != disk("2020-01-01", "1700000000", arguments));
    }
}

#[test]
fn a_serial_number_that_the_guest_does_not_see_whole_is_a_warning() {
    let folder = Folder::new();
    folder.file("tree/a", "a");
    let warning = "a guest sees only the first 20 bytes of a virtio-blk disk's serial number";
    for (option, warned) in [
        (["--serial", "twenty-bytes-exactly"], false),
        (["--serial", "twenty-bytes-exactly1"], true),
        (["--name", "ten-bytes1"], false),
        (["--name", "ten-bytes12"], true),
    ] {
        let (word, report) = make(&folder, &[&["--tree", "tree"], &option[..]].concat());
        assert_eq!(report.contains(warning), warned, "{report}");
        assert!(word.contains(option[1]), "{word}");
    }
}

#[test]
fn a_failure_is_named_and_leaves_no_disk() {
    let folder = with_tree();
    folder.file("tree/lib/modules/1.0/kernel/a/base.ko", "another");
    let serial = ["--serial", "s", "--module-dir", "lib/modules"];
    let fails_with = |arguments: &[&str]| fails(&folder, command(&folder, &[&serial, arguments].concat()), 1);
    assert_eq!(fails_with(&["--tree", "init"]), "guest-image: init: not a folder\n");
    let absent = "guest-image: plan absent: ENOENT: no module, alias or built-in of 1.0\n";
    assert_eq!(fails_with(&["--modules", "absent"]), absent);
    let taken = "guest-image: /lib/modules/1.0/kernel/a/base.ko is already in the image\n";
    assert_eq!(fails_with(&["--tree", "tree", "--modules", "base"]), taken);
    let no_folder = "guest-image: no-folder/x: No such file or directory (os error 2)\n";
    assert_eq!(fails_with(&["--tree", "tree", "--output", "no-folder/x"]), no_folder);

    // Debian has mkfs.erofs in /usr/bin.
    let with_path = |path: &str| {
        let mut command = command(&folder, &[&serial[..], &["--tree", "tree"]].concat());
        command.env("PATH", path);
        fails(&folder, command, 1)
    };
    let absent = "guest-image: mkfs.erofs is not installed; install the package erofs-utils\n";
    assert_eq!(with_path("/nowhere"), absent);
    folder.file("bin/mkfs.erofs", "#!/bin/sh\necho no space >&2\nexit 3\n");
    fs::set_permissions(folder.path("bin/mkfs.erofs"), fs::Permissions::from_mode(0o755)).unwrap();
    let failed = "guest-image: mkfs.erofs: exit status: 3: no space\n";
    assert_eq!(with_path(&format!("{}:/bin", folder.path("bin").display())), failed);
}

#[test]
fn wrong_arguments_are_status_2() {
    let folder = Folder::new();
    folder.file("tree/a", "a");
    for (arguments, expected) in [
        (&["--tree", "tree"][..], "<--name <NAME>|--serial <SERIAL>>"),
        (&["--serial", "s"], "--tree <DIR>"),
        (&["--tree", "tree", "--serial", "s", "--name", "n"], "cannot be used with"),
        (&["--tree", "tree", "--name", "a.b"], "letters, digits, - and _"),
        (&["--tree", "tree", "--name", ""], "value"),
        (&["--tree", "tree", "--serial", "a b"], "letters, digits, - and _"),
        (&["--tree", "tree", "--serial", "s", "--salt", "abc"], "two hexadecimal digits"),
        (&["--tree", "tree", "--serial", "s", "--salt", "+1"], "two hexadecimal digits"),
        (&["--tree", "tree", "--serial", "s", "--salt", &"00".repeat(257)], "at most 256 bytes"),
    ] {
        let text = fails(&folder, command(&folder, arguments), 2);
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
}
