//! Disks for a VM, as files: file systems that the real tools make, and partition tables by sfdisk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The size of a sector, and of all partitions, in bytes. The first partition begins after as much.
const SECTOR: u64 = 512;
const PARTITION: u64 = 32 << 20;

/// Where the tools are: not every user of Debian has /usr/sbin in PATH.
const PATH: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// A disk, whose file is removed with this value.
pub struct Disk {
    directory: TempDir,
    path: PathBuf,
}

impl Disk {
    /// A disk of so many bytes without contents.
    pub fn blank(size: u64) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let path = directory.path().join("disk");
        let file = fs::File::create(&path).expect("a file can be made");
        file.set_len(size).expect("it can have this size");
        Self { directory, path }
    }

    /// A disk of so many bytes with a file system that a tool makes. In the tool's command line `DISK` is the disk.
    pub fn made_by(tool: &[&str], size: u64) -> Self {
        let disk = Self::blank(size);
        disk.output_of(tool);
        disk
    }

    /// A disk with an ext4 file system that holds the files of a directory.
    pub fn ext4(files: &Path, options: &[&str]) -> Self {
        let files = files.to_str().expect("a path in UTF-8");
        Self::made_by(
            &[&["mke2fs", "-q", "-q", "-F", "-t", "ext4", "-d", files, "DISK"][..], options].concat(),
            PARTITION,
        )
    }

    /// A disk with these partitions, each with the contents of a disk of 32 MiB, in a table of this kind, `gpt` or
    /// `dos`. A partition is written as in an input line of sfdisk, without its size. `head`: more lines about the
    /// table.
    pub fn partitioned(kind: &str, head: &str, partitions: &[(&str, &Self)]) -> Self {
        let disk = Self::blank(PARTITION * (partitions.len() as u64 + 2));
        let starts: Vec<_> = (1..).map(|number| PARTITION * number).take(partitions.len()).collect();
        let mut script = format!("label: {kind}\n{head}\n");
        for (start, (line, _)) in starts.iter().zip(partitions) {
            script += &format!("start={} size={} {line}\n", start / SECTOR, PARTITION / SECTOR);
        }
        let mut sfdisk = Command::new("sfdisk");
        sfdisk.args(["--quiet", "--no-tell-kernel"]).arg(&disk.path).env("PATH", PATH).stdin(Stdio::piped());
        let mut sfdisk = sfdisk.spawn().expect("sfdisk");
        sfdisk.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("sfdisk reads");
        assert!(sfdisk.wait().expect("sfdisk ends").success(), "sfdisk: {script}");
        // Only now, because sfdisk prints a remark about each partition with contents.
        for (start, (_, contents)) in starts.iter().zip(partitions) {
            disk.write(*start, &fs::read(&contents.path).expect("the contents"));
        }
        disk
    }

    /// Writes bytes at an offset.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(&self.path).expect("the disk can be opened");
        file.write_all_at(bytes, offset).expect("the bytes can be written");
    }

    /// Flips the lowest bit of the byte at an offset.
    pub fn flip(&self, offset: u64) {
        let mut byte = [0];
        fs::File::open(&self.path).and_then(|file| file.read_exact_at(&mut byte, offset)).expect("a byte");
        self.write(offset, &[byte[0] ^ 1]);
    }

    /// The offset of the first occurrence of some bytes.
    pub fn find(&self, bytes: &[u8]) -> u64 {
        let disk = fs::read(&self.path).expect("the disk can be read");
        disk.windows(bytes.len()).position(|window| window == bytes).expect("the disk has the bytes") as u64
    }

    /// The disk's file.
    pub fn path(&self) -> &str {
        self.path.to_str().expect("a path in UTF-8")
    }

    /// The output of a tool. In its command line `DISK` is the disk.
    pub fn output_of(&self, tool: &[&str]) -> String {
        let (name, arguments) = tool.split_first().expect("a tool");
        let arguments = arguments.iter().map(|argument| if *argument == "DISK" { self.path() } else { argument });
        let output = Command::new(name).args(arguments).env("PATH", PATH).output();
        let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(output.status.success(), "{tool:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

/// The configuration of QEMU's blkdebug for a disk whose reads of the sector at an offset fail.
pub fn blkdebug(offset: u64) -> Disk {
    let sector = offset / SECTOR;
    let disk = Disk::blank(0);
    disk.write(0, format!("[inject-error]\nevent = \"none\"\nerrno = \"5\"\nsector = \"{sector}\"\n").as_bytes());
    disk
}
