//! Disks: file systems, partition tables and the superblock of a hash tree, and the words that name and verify a disk.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

use guest_init::guest::places::disk::file_system::FileSystem;
use guest_init::guest::places::disk::partition::Partition;
use guest_init::request::extension::Extension;
use guest_init::request::kernel::disk_name::{By, DiskName};
use guest_init::request::kernel::words::words;
use guest_init::request::location::Location;
use guest_init::request::verity::discovery::uuids;
use guest_init::request::verity::superblock::Superblock;
use guest_init::request::verity::table::{Device, Table};
use guest_init::request::verity::{Algorithm, Verity};

use super::{check_printable, check_within, first_line, parts, request};

/// The longest offset on a disk, in bytes. All that is read at a fixed offset is before it.
const LONGEST: u64 = 1 << 20;

thread_local! {
    /// The disk, which all inputs share, because a file takes longer to be made than to be read.
    static DISK: RefCell<File> = RefCell::new(tempfile::tempfile().expect("a temporary file"));
}

/// Input: up to eight pieces of a disk. The first line of each is its offset on the disk. The first one's has the
/// number and the start of a partition as well, and the size of a block.
pub fn disk(input: &[u8]) {
    let pieces: [_; 8] = parts(input);
    let (partition, block) = asked_for(first_line(pieces[0]).0);
    DISK.with_borrow_mut(|disk| {
        disk.set_len(0).expect("a file can be cut");
        for piece in pieces {
            let (line, bytes) = first_line(piece);
            let offset = numbers(line).next().unwrap_or_default().min(LONGEST);
            disk.write_all_at(bytes, offset).expect("a file can be written");
        }
        check_file_system(disk);
        if let Some(uuid) = partition.uuid(&*disk, block) {
            // In an MBR the number of the partition follows the signature of the disk.
            let groups = groups(&uuid);
            assert!(groups == GUID || matches!(groups[..], [8, 2..=8]), "{uuid}");
        }
        let mut bytes = [0; Superblock::SIZE];
        if disk.read_exact_at(&mut bytes, 0).is_ok() {
            check_superblock(&bytes);
        }
    });
}

/// The numbers of a line, between blanks.
fn numbers(line: &[u8]) -> impl Iterator<Item = u64> {
    line.split(|&b| b == b' ').filter_map(|word| str::from_utf8(word).ok()?.parse().ok())
}

/// The partition, and the size of a block, that the numbers behind an offset mean.
fn asked_for(line: &[u8]) -> (Partition, u64) {
    let mut numbers = numbers(line).skip(1);
    let mut next = |default| numbers.next().unwrap_or(default);
    let (number, start, block) = (next(1), next(2048), next(512));
    (Partition { number: number.try_into().unwrap_or(u32::MAX), start }, block)
}

fn check_file_system(disk: &File) {
    let Some(file_system) = FileSystem::on(disk).expect("a file can be read") else { return };
    if let Some(uuid) = file_system.uuid(disk) {
        assert!([GUID, SERIAL].contains(&&groups(&uuid)[..]), "{uuid}");
        let value = uuid.to_uppercase();
        assert!(file_system.is(disk, &DiskName { by: By::Uuid, value: value.as_bytes() }));
    }
    if let Some(label) = file_system.label(disk) {
        assert!(!label.is_empty() && label.len() <= 3 * 512);
        assert!(file_system.is(disk, &DiskName { by: By::Label, value: &label }));
    }
}

/// The lengths of the groups of digits of a GUID, and of the serial number of a FAT volume.
const GUID: &[usize] = &[8, 4, 4, 4, 12];
const SERIAL: &[usize] = &[4, 4];

/// The lengths of the groups of hexadecimal digits in lower case that a text must have.
fn groups(text: &str) -> Vec<usize> {
    assert!(text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{text}");
    text.split('-').map(str::len).collect()
}

fn check_superblock(bytes: &[u8; Superblock::SIZE]) {
    match Superblock::parse(bytes) {
        Err(reason) => check_printable(reason),
        Ok(superblock) => {
            assert!(Superblock::is_one(bytes));
            for digits in [64, 128] {
                let root_hash = "0f".repeat(digits / 2);
                match superblock.verity(root_hash.as_bytes()) {
                    Ok(verity) => check_verity(&verity),
                    Err(reason) => check_printable(reason),
                }
            }
        }
    }
}

/// Input: the fields of verity parameters, a root hash, a location, then a kernel command line.
pub fn verity(input: &[u8]) {
    let [fields, root_hash, location, line] = parts(input).map(<[u8]>::trim_ascii_end);
    match Verity::parse(fields) {
        Ok(verity) => {
            assert_eq!(verity.algorithm(), Algorithm::Sha256);
            check_verity(&verity);
        }
        Err(reason) => check_printable(reason),
    }
    match uuids(root_hash) {
        Ok(uuids) => check_uuids(&uuids, root_hash),
        Err(reason) => check_printable(reason),
    }
    match Location::parse(location) {
        Ok(location) => request::check_location(&location),
        Err(reason) => check_printable(reason),
    }
    for word in words(line) {
        match Extension::parse(&word) {
            Some(Ok(extension)) => check_extension(&extension, line),
            Some(Err(reason)) => check_printable(reason),
            None => {}
        }
    }
}

fn check_extension(extension: &Extension<'_>, line: &[u8]) {
    check_within(extension.name, line);
    // The name becomes a part of a path.
    assert!(!extension.name.is_empty() && !extension.name.iter().any(|b| b"/.".contains(b)));
    check_printable(&extension.to_string());
    // Only where both or neither are there is a disk mounted.
    assert_eq!(extension.parameters_for(true).is_ok(), extension.verity.is_some());
    assert_eq!(extension.parameters_for(false).is_ok(), extension.verity.is_none());
    if let Some(verity) = extension.verity {
        check_verity(&verity);
    }
}

fn check_uuids(uuids: &[impl AsRef<str>], root_hash: &[u8]) {
    let hash = String::from_utf8(root_hash.to_ascii_lowercase()).expect("hexadecimal digits");
    let digits: Vec<_> = uuids.iter().map(|uuid| uuid.as_ref().replace('-', "")).collect();
    assert!(digits.len() == 2 && hash.starts_with(&digits[0]) && hash.ends_with(&digits[1]), "{digits:?}");
    assert!(uuids.iter().all(|uuid| groups(uuid.as_ref()) == GUID), "{digits:?}");
}

/// Asserts that sizes agree with each other, and that the table has the parameters and fits into the device mapper's.
fn check_verity(verity: &Verity<'_>) {
    let table = Table {
        verity: *verity,
        data: Device { major: u32::MAX, minor: u32::MAX },
        hash: Device { major: u32::MAX, minor: u32::MAX },
        start: u64::MAX,
    };
    let text = table.to_string();
    check_printable(&text);
    assert!(text.len() + Table::PANIC_ON_CORRUPTION.len() < 1024, "{text}");
    let words: Vec<_> = text.split(' ').collect();
    let &["1", _, _, data_block_size, hash_block_size, data_blocks, _, algorithm, root_hash, salt] = &words[..] else {
        panic!("{text}")
    };
    let [data_block_size, hash_block_size, data_blocks] =
        [data_block_size, hash_block_size, data_blocks].map(|number| number.parse::<u64>().expect("a number"));
    assert_eq!(verity.data_size(), data_blocks * data_block_size);
    assert_eq!(verity.sectors() * 512, verity.data_size());
    assert_eq!(verity.hash_block_size(), hash_block_size);
    assert!(verity.behind_the_data() * hash_block_size - verity.data_size() < hash_block_size);
    // A block of the tree has eight hashes at least.
    assert!(verity.hash_blocks() < data_blocks && verity.hash_blocks() <= data_blocks / 7 + 22);
    assert_eq!(verity.end_of_tree(0), Some(verity.hash_blocks() * hash_block_size));
    assert!(verity.end_of_tree(u64::MAX).is_none());
    if algorithm == "sha256" {
        let fields = format!(
            "salt={salt},root_hash={root_hash},hash_block_size={hash_block_size},data_block_size={data_block_size},\
             data_blocks={data_blocks}"
        );
        let again = Verity::parse(fields.as_bytes()).expect("the parameters are as good in lower case");
        assert_eq!(Table { verity: again, ..table }.to_string(), text);
    }
}
