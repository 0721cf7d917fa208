//! `guest-image extension`: makes a disk image that the guest reads through dm-verity, with the files of a folder and
//! the modules of module lists.

mod disk;
mod erofs;
mod staging;
mod word;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use guest_init::bare::start::MACHINE;
use indicatif::HumanBytes;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::build::additions;
use crate::build::archive::Archive;
use crate::build::modules::ModuleOptions;
use crate::cli::exit::{self, Exit};
use crate::cli::{stderr, stdout};
use crate::shared::draft::Draft;
use crate::shared::lists::{self, List};
use crate::shared::source_date_epoch;

use erofs::Compression;
use staging::Staging;
use word::{ExtensionName, Salt, Serial, Word};

const EXAMPLES: &str = "\
Examples:
  guest-image extension --modules 'nvidia; ?nvidia-uvm' --root rootfs --serial modules --output modules.img
  guest-image extension --tree coco --name coco --output kata-containers-coco-extension.img
  guest-image extension --modules gpu --module-dir addon/lib/modules --base rootfs/lib/modules --name gpu";

/// Makes a disk image with a folder's files, with modules, or with both, and a hash tree for dm-verity, and prints the
/// word for the kernel command line that verifies it.
///
/// The image has the layout of Kata Containers' extensions: a GPT, an EROFS file system on partition 1, and on
/// partition 2 dm-verity's hash tree with SHA-256, blocks of 4,096 bytes and no superblock. mkfs.erofs of erofs-utils
/// makes the file system.
///
/// The word has the root hash. Whoever knows that the kernel command line is right knows that each file of the image
/// is. Give the word to the VM as it is printed. With --name it is Kata's, and its value is Kata's verity_params.
///
/// Modules, depmod's files for them, and their firmware get the places that they have in an initramfs, below /lib.
/// Give the VM guest_init.module_dir=disk:SERIAL:/lib/modules, or with --name
/// guest_init.module_dir=/run/kata-extensions/NAME/lib/modules. The kernel looks for firmware in /lib/firmware of the
/// disk, unless firmware_class.path= says otherwise.
///
/// For drivers beside the image's own, name the image's modules with --base, and give the VM guest_init.module_dir= of
/// both.
///
/// You need not be root. The same input makes the same bytes with the same mkfs.erofs: all times are SOURCE_DATE_EPOCH,
/// or 0, everything belongs to root, and there are no extended attributes. The output file is written completely or not
/// at all.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::STATUS))]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The folder whose files the image gets. It may be left out if modules are asked for
    #[arg(long, value_name = "DIR", required_unless_present_any = ["module_lists", "list_files", "all"])]
    tree: Option<PathBuf>,
    /// A module list, written as for guest_init.modules=. The image gets what its modules need; may repeat
    #[arg(id = "module_lists", long = "modules", value_name = "LIST")]
    modules: Vec<String>,
    /// A file with a module list, as for guest_init.modules_file=; `-` is standard input
    #[arg(id = "list_files", long = "file", short = 'f', value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    options: ModuleOptions,
    /// The compression of the files in EROFS
    #[arg(long, value_enum, default_value = "none")]
    compress: Compression,
    /// The salt of the hash tree in hexadecimal digits, at most 256 bytes; `-` is none [default: SHA-256 of the file
    /// system]
    #[arg(long, value_name = "HEX")]
    salt: Option<Salt>,
    /// The file for the image
    #[arg(long, short, value_name = "FILE", default_value = "extension.img")]
    output: PathBuf,
}

/// How the guest finds the disk. One is required.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// Print Kata's word for an extension of this name, kata.extension.NAME.verity_params=…. The disk's serial number
    /// is extension-NAME, and the guest mounts it at /run/kata-extensions/NAME
    #[arg(long, value_name = "NAME")]
    name: Option<ExtensionName>,
    /// Print guest_init.verity=SERIAL,… for a disk with this serial number. Locations are disk:SERIAL:/path. With a VMM
    /// whose serial numbers nobody chooses, such as Firecracker, name the disk as the guest does: vda, vdb
    #[arg(long, value_name = "SERIAL")]
    serial: Option<Serial>,
}

impl Target {
    /// The disk's serial number.
    fn disk(&self) -> String {
        match (&self.name, &self.serial) {
            (Some(name), _) => name.serial(),
            (None, serial) => serial.as_ref().map(ToString::to_string).unwrap_or_default(),
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let target = &arguments.target;
    word::warning_about_serial(&target.disk()).iter().for_each(stderr::warn);
    arguments.options.tree.unpack_root(MACHINE)?;
    let draft = Draft::beside(&arguments.output)?;
    let work = tempfile::Builder::new().prefix(".extension").tempdir_in(folder_of(&arguments.output));
    let work = work.with_context(|| arguments.output.display().to_string())?;

    let file_system = work.path().join("erofs");
    let modules = arguments.write_file_system(&work, &file_system)?;
    let salt = match &arguments.salt {
        Some(salt) => salt.clone(),
        None => Salt(digest_of(&file_system)?.to_vec()),
    };
    let verity = disk::write(draft.file(), &file_system, salt)?;
    drop(work);
    draft.publish(&arguments.output)?;

    let size = HumanBytes(fs::metadata(&arguments.output)?.len());
    let (image, disk) = (arguments.output.display(), target.disk());
    let modules =
        modules.map_or(String::new(), |count| format!("{count} {}, ", if count == 1 { "module" } else { "modules" }));
    stderr::print(format_args!("{image}: {modules}{size}, for the disk {disk}"));
    stdout::print(&format!("{}\n", Word { target: target.name.as_ref(), disk: &disk, verity: &verity }))?;
    Ok(Exit::Done)
}

impl Arguments {
    /// Makes the file system as a file. Returns the number of modules, if any were asked for.
    fn write_file_system(&self, work: &TempDir, target: &Path) -> Result<Option<usize>> {
        let epoch = source_date_epoch::read()?;
        let make = |tree: &Path| erofs::make(tree, target, self.compress, epoch, &self.target.disk());
        let lists = lists::read(&self.modules, &self.files)?;
        if let (Some(tree), false) = (&self.tree, self.asks_for_modules(&lists)) {
            ensure!(tree.is_dir(), "{}: not a folder", tree.display());
            make(tree)?;
            return Ok(None);
        }
        let mut archive = Archive::default();
        if let Some(tree) = &self.tree {
            ensure!(tree.is_dir(), "{}: not a folder", tree.display());
            additions::add_folder(&mut archive, tree, "/", "--tree")?;
        }
        let added = self.options.add_to(&mut archive, &lists, &[], None)?;
        let staging = Staging::fill(&work.path().join("tree"), &archive)?;
        make(staging.path())?;
        Ok(Some(added.modules))
    }

    fn asks_for_modules(&self, lists: &[List]) -> bool {
        !lists.is_empty() || self.options.all
    }
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// SHA-256 of a file.
fn digest_of(path: &Path) -> Result<[u8; 32]> {
    let mut file = fs::File::open(path)?;
    let mut bytes = vec![0; 1 << 20];
    let mut digest = Sha256::new();
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(digest.finalize().into()),
            length => digest.update(&bytes[..length]),
        }
    }
}
