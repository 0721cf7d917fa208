//! A folder in which guest-image builds images, and a reader of images.

use std::fs;
use std::io::Read;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use cpio::NewcReader;
use guest_init::failure::{Failure, Report};
use guest_init::guest::modules::trees::ModuleTrees;
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list;
use guest_init::resolve::plan::{Options, Plan};

use crate::support::folder::Folder;
use crate::support::program::init;

/// An entry of an archive.
pub struct Entry {
    pub path: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: u32,
    pub inode: u32,
    pub device: (u32, u32),
    pub content: Vec<u8>,
}

/// The agent: a script, whose interpreter is in every image.
pub const AGENT: &str = "#!/sbin/guest-init\n";

/// A folder with an init and an agent, in which guest-image runs.
pub struct Work(Folder);

impl Deref for Work {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl Work {
    pub fn new() -> Self {
        let work = Self(Folder::new());
        work.file("init", init());
        work.file("agent", AGENT);
        work
    }

    /// `guest-image build --init init ARGUMENT…` in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_guest-image"));
        command.current_dir(self.path("")).args(["build", "--init", "init"]).args(arguments);
        command
    }

    /// Builds an image, and returns the output up to the sizes.
    pub fn build(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{printed}");
        let compressions = [", of which ", ", not compressed", ", unpacked "];
        let end = compressions.iter().find_map(|text| printed.rfind(text)).unwrap_or_else(|| panic!("{printed}"));
        printed[..printed[..end].rfind(", ").unwrap()].into()
    }

    /// Asserts that building fails without an image, and returns the output.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(self.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let before = names();
        let modules = ["--module-dir", "lib/modules"];
        let modules = if arguments.contains(&modules[0]) { &[][..] } else { &modules };
        let output = self.command(&[modules, arguments].concat()).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert_eq!(before, names());
        printed
    }

    pub fn remove_image(&self) {
        fs::remove_file(self.path("initramfs.img")).unwrap();
    }

    /// The entries of the image, in its order.
    pub fn image(&self) -> Vec<Entry> {
        read(&self.path("initramfs.img"))
    }
}

/// Reads an image, compressed or not.
pub fn read(path: &Path) -> Vec<Entry> {
    let bytes = fs::read(path).unwrap();
    read_entries(&if bytes.starts_with(b"070701") { bytes } else { zstd::decode_all(&bytes[..]).unwrap() })
}

/// The entries of an archive.
pub fn read_entries(archive: &[u8]) -> Vec<Entry> {
    let mut rest = archive;
    let mut entries = Vec::new();
    loop {
        let mut reader = NewcReader::new(rest).unwrap();
        let mut content = Vec::new();
        reader.read_to_end(&mut content).unwrap();
        let entry = reader.entry().clone();
        rest = reader.finish().unwrap();
        if entry.is_trailer() {
            assert!(rest.is_empty());
            return entries;
        }
        entries.push(Entry {
            path: entry.name().into(),
            mode: entry.mode(),
            owner: (entry.uid(), entry.gid()),
            mtime: entry.mtime(),
            inode: entry.ino(),
            device: (entry.rdev_major(), entry.rdev_minor()),
            content,
        });
    }
}

/// A line for each entry: type, mode, path, and the link's target or the device's numbers.
pub fn listing(entries: &[Entry]) -> String {
    let line = |entry: &Entry| {
        let (kind, more) = match entry.mode & 0o170_000 {
            0o040_000 => ('d', String::new()),
            0o100_000 => ('f', String::new()),
            0o120_000 => ('l', format!(" -> {}", String::from_utf8_lossy(&entry.content))),
            0o020_000 => ('c', format!(" {}:{}", entry.device.0, entry.device.1)),
            _ => ('?', String::new()),
        };
        format!("{kind} {:04o} {}{more}\n", entry.mode & 0o7777, entry.path)
    };
    entries.iter().map(line).collect()
}

/// The content of a file.
pub fn text_of(entries: &[Entry], path: &str) -> String {
    let entry = entries.iter().find(|entry| entry.path == path).unwrap_or_else(|| panic!("no {path}"));
    String::from_utf8(entry.content.clone()).unwrap()
}

/// Writes the regular files below `root`. Other entries would need root's rights.
pub fn unpack(entries: &[Entry], root: &Path) {
    for entry in entries.iter().filter(|entry| entry.mode & 0o170_000 == 0o100_000) {
        let path = root.join(&entry.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &entry.content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode & 0o777)).unwrap();
    }
}

/// The guest's plan for a list, or its failure.
pub fn plan(modules: &Path, release: &str, text: &str) -> Result<String, String> {
    let files = ModuleTrees::open(modules.to_str().unwrap(), release, &[]).map_err(|failure| failure.to_string())?;
    let config = files.config(ModuleWords::NONE);
    let mut plan = Plan::new(files.sources(&config));
    let mut entries = Vec::new();
    list::read(text.as_bytes(), "test", &mut |entry| entries.push(entry.unwrap()));
    let mut log = |_: &Failure| {};
    let mut report = Report::new(&mut log);
    plan.add_all(&entries, &[b""; 0], Options::default(), &mut |entry, failure| {
        if !entry.is_optional() {
            report.add(failure)
        }
    });
    report.verdict().map(|()| plan.to_string()).map_err(|failure| failure.to_string())
}
