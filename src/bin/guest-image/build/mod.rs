//! `guest-image build`: makes an initramfs from a layout, a module tree and module lists.

mod additions;
mod append_to;
mod archive;
mod image_file;
mod index_writer;
mod init;
mod layout;
mod module_tree;
mod report;
mod selection;

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use guest_init::failure::Code;
use guest_init::guest::modules::config_files::CONFIG;
use guest_init::guest::modules::tree::{MODULES, ModuleTree};
use guest_init::request::kernel::ModuleWords;
use guest_init::request::list;

use crate::cli::exit::{self, Exit};
use crate::cli::progress::Progress;
use crate::cli::stderr::{Failures, warn};
use crate::shared::decompress;
use crate::shared::firmware::{Firmware, NOT_LOOKED_FOR};
use crate::shared::folder::Folder;
use crate::shared::kernel_config::KernelConfig;
use crate::shared::lists::{List, Lists};
use crate::shared::program;
use crate::shared::tree_options::TreeOptions;
use crate::shared::version_magic::VersionMagic;

use additions::Addition;
use append_to::ExistingImage;
use archive::{Archive, Node};
use image_file::Compression;
use layout::Layout;
use module_tree::ModuleFiles;
use report::{AddedModules, ReportFormat};
use selection::Selection;

const EXAMPLES: &str = "\
Examples:
  guest-image build --init guest-init --agent agent --release 6.1.0-56-amd64 'e1000e; i915'
  guest-image build --init guest-init --agent agent --root rootfs --file pod.list -o initramfs.img
  guest-image build --init guest-init --append /boot/initrd.img-6.1.0-56-amd64 -o both.img";

/// Makes an initramfs with guest-init, the agent, and the modules of module lists.
///
/// The image contains each listed module, its dependencies, and the firmware files that they name, if --root or
/// --firmware-dir has them. Only the names in a list count. To set parameters, give the list to the VM on its kernel
/// command line.
///
/// You need not be root. The same input makes the same bytes on every machine: all times in the image are
/// SOURCE_DATE_EPOCH, or 0. The output file is written completely or not at all.
///
/// The files of the image are listed on standard output: size, reason (the entry that first needs the file), and path.
/// --json prints one object instead: "image", "release" (or null), "modules" (their number), "size", "unpacked", and
/// "files", each with "path", "size" and "for" (the reason). Later versions may add keys. They remove none.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::STATUS))]
pub struct Arguments {
    /// The guest-init that scripts/build makes. It becomes /sbin/guest-init
    #[arg(long, value_name = "FILE")]
    init: PathBuf,
    /// The agent. It becomes /sbin/agent
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Make an image without an agent: the disk or the share of root= has it
    #[arg(long, conflicts_with = "agent")]
    no_agent: bool,
    #[command(flatten)]
    modules: Modules,
    /// Put the *.conf files of this folder into /etc/modprobe.d, and heed them when modules are resolved. Of two files
    /// with one name the first counts
    #[arg(long, value_name = "DIR")]
    config: Vec<PathBuf>,
    /// Put the file or folder SRC into the image at the absolute path DEST, with its mode, and replace files that are
    /// there. Links in a folder stay links; SRC is followed if it is one
    #[arg(long, value_name = "SRC:DEST")]
    add: Vec<Addition>,
    /// Use this layout instead of guest-image's own, initramfs/layout.toml
    #[arg(long, value_name = "FILE")]
    layout: Option<PathBuf>,
    #[arg(long, value_name = "IMAGE", help = append_help())]
    append: Option<PathBuf>,
    /// The compression of the image
    #[arg(long, value_enum, default_value = "zstd")]
    compress: Compression,
    /// The file for the image; `-` is standard output. The report then goes to standard error
    #[arg(long, short, value_name = "FILE", default_value = "initramfs.img")]
    output: PathBuf,
    /// Print nothing about the image
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The help text of `--append`, which names all formats.
fn append_help() -> String {
    format!(
        "Append to this initramfs. It stays unchanged, so its /init still runs; to start guest-init, boot with \
         rdinit=/sbin/guest-init. The modules of both parts are known. IMAGE may be compressed with {}, and may begin \
         with microcode",
        decompress::names()
    )
}

#[derive(Debug, Args)]
struct Modules {
    #[command(flatten)]
    lists: Lists,
    /// Take every module of the tree
    #[arg(long = "all-modules")]
    all: bool,
    /// The form of the modules in the image. If none is given, `plain`; with --all-modules `unchanged`, because most
    /// modules of such an image are never loaded, and would take the VM's memory
    #[arg(long, value_enum, value_name = "FORM")]
    module_files: Option<ModuleFiles>,
    /// Only warn if the tree lacks a listed module, modprobe.d refuses one, or the image lacks the agent's interpreter;
    /// a VM that is given the same list, or this agent, fails
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten)]
    tree: TreeOptions,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let init = arguments.modules.tree.on_host(&arguments.init);
    let machine = init::check(&init)?;
    let existing = arguments.append.as_deref().map(ExistingImage::read).transpose()?;
    let mut archive = Archive::append_to(existing.unwrap_or_default());
    let layout = Layout::read(arguments.layout.as_deref())?;
    let agent = arguments.agent.as_deref().map(|agent| arguments.modules.tree.on_host(agent));
    layout.add_to(&mut archive, &init, agent.as_deref(), arguments.no_agent)?;
    let added = add_modules(&mut archive, &arguments.modules, &arguments.config)?;
    add_config(&mut archive, &arguments.config, &arguments.modules.tree)?;
    arguments.add.iter().try_for_each(|addition| addition.add_to(&mut archive, &arguments.modules.tree))?;
    if let (Some(_), Some(path)) = (agent, layout.agent()) {
        check_agent(&archive, path, machine, arguments.modules.allow_missing)?;
    }

    let mtime = source_date_epoch()?;
    let progress = Progress::new(archive.to_copy());
    let sizes = image_file::write(&arguments.output, &archive.existing.bytes, arguments.compress, |output| {
        archive.write(output, mtime, &mut |bytes| progress.advance(bytes))
    })?;
    drop(progress);
    report::print(arguments.report_format(), &arguments.output, &archive, &added, sizes)?;
    Ok(Exit::Done)
}

impl Arguments {
    const fn report_format(&self) -> ReportFormat {
        match (self.quiet, self.json) {
            (true, _) => ReportFormat::None,
            (_, true) => ReportFormat::Json,
            _ => ReportFormat::Text,
        }
    }
}

/// Checks that the kernel can execute the agent of the image, with its interpreter.
fn check_agent(archive: &Archive, path: &str, machine: Option<&str>, allow_missing: bool) -> Result<()> {
    let Err(failure) = program::check(path, machine, &|path| archive.find(path)) else { return Ok(()) };
    match (failure.code, allow_missing) {
        (Code::InterpreterMissing, true) => {
            warn(failure);
            Ok(())
        }
        (Code::InterpreterMissing, false) => {
            bail!("{failure}; put it into the image with --add, or only warn of it with --allow-missing")
        }
        _ => Err(Failures::from(failure).into()),
    }
}

/// Adds the modules of the lists and their firmware. Does not look for a module tree if the arguments ask for no module
/// and name no release.
fn add_modules(archive: &mut Archive, modules: &Modules, config: &[PathBuf]) -> Result<AddedModules> {
    let lists = modules.lists.read()?;
    let entries = entries(&lists)?;
    if entries.is_empty() && !modules.all && modules.tree.named_release().is_none() {
        return Ok(AddedModules::default());
    }
    let folder = modules.tree.module_dir();
    let release = modules.tree.release_in(&folder)?;
    let Folder { directory, path } = folder;
    let root = modules.tree.root();
    let root = root.as_ref().and_then(|root| root.directory.as_ref().ok());
    let config: Vec<_> = config.iter().map(|path| modules.tree.config(root, path)).collect();
    let files = ModuleTree::open_in(directory, &path.display(), &release, &config).map_err(Failures::from)?;
    let config = files.config(ModuleWords::NONE);
    let tree = files.sources(&config);
    // With --all-modules the lists are resolved as well, so that a wrong name is found.
    let mut selection = Selection::of_entries(tree, &files, &entries, modules.allow_missing)?;
    if modules.all {
        selection = Selection::of_all(tree, files.directory(), modules.allow_missing)?;
    }
    match modules.tree.firmware_dir() {
        // To decompress a whole tree takes longer than the rest of the build.
        None if modules.all => warn(format_args!("firmware {NOT_LOOKED_FOR}")),
        folder => {
            let config = KernelConfig::find(&files, modules.tree.root(), &release);
            let magic = VersionMagic::of_release(&release, config.as_ref());
            let firmware = Firmware::new(folder, &release);
            module_tree::look_into(archive, files.directory(), &magic, firmware, &selection)?;
        }
    }
    let form = modules.module_files.unwrap_or(if modules.all { ModuleFiles::Unchanged } else { ModuleFiles::Plain });
    module_tree::add(archive, &format!("{MODULES}/{release}"), &tree, files.directory(), &mut selection, form)?;
    Ok(AddedModules { release: Some(release), modules: selection.len() })
}

/// The entries of all lists, or all failures in them.
fn entries(lists: &[List]) -> Result<Vec<list::Entry<'_>>, Failures> {
    let mut entries = Vec::new();
    let mut failures = Failures(Vec::new());
    for List { name, text } in lists {
        match text {
            Ok(text) => list::read(text, name, &mut |entry| match entry {
                Ok(entry) => entries.push(entry),
                Err(failure) => failures.0.push(failure),
            }),
            Err(failure) => failures.0.push(failure.clone()),
        }
    }
    failures.into_result().map(|()| entries)
}

/// Adds configuration. A link to /dev/null masks a file of the same name in a later folder. It becomes an empty file.
fn add_config(archive: &mut Archive, directories: &[PathBuf], tree: &TreeOptions) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    for directory in directories {
        let folder = tree.folder(directory);
        let all = folder.directory.clone().and_then(|folder| folder.names()).map_err(std::io::Error::from);
        for name in all.with_context(|| directory.display().to_string())? {
            if !name.ends_with(".conf") || name.starts_with('.') || !names.insert(name.clone()) {
                continue;
            }
            let node = match folder.file(&name) {
                Ok(path) => Node::of_host(&path)?,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(error).context(name),
                Err(_) => Node::Bytes(Vec::new()),
            };
            archive.add(&format!("{}/{name}", CONFIG[0]), 0o644, node, "--config")?;
        }
    }
    Ok(())
}

/// The time of all files (reproducible-builds.org/specs/source-date-epoch).
fn source_date_epoch() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().with_context(|| format!("SOURCE_DATE_EPOCH: {text:?}")),
        Err(std::env::VarError::NotPresent) => Ok(0),
        Err(error) => Err(anyhow!("SOURCE_DATE_EPOCH: {error}")),
    }
}
