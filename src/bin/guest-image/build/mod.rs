//! `guest-image build`: makes an initramfs from a layout, a module tree and module lists.

pub mod additions;
mod append_to;
pub mod archive;
mod image_file;
mod index_writer;
mod init;
mod layout;
mod module_tree;
pub mod modules;
mod newc;
mod report;
mod selection;
mod whole_root;

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use guest_init::failure::Code;
use guest_init::guest::modules::config_files::CONFIG;
use guest_init::machine::Machine;

use crate::cli::exit::{self, Exit};
use crate::cli::progress::Progress;
use crate::cli::stderr::{self, Failures, warn};
use crate::shared::decompress;
use crate::shared::folder::require_proc;
use crate::shared::lists::Lists;
use crate::shared::program;
use crate::shared::source_date_epoch;
use crate::shared::tree_options::TreeOptions;

use additions::Addition;
use append_to::ExistingImage;
use archive::{Archive, Node};
use image_file::{Compression, CompressionChoice};
use layout::Layout;
use modules::ModuleOptions;
use report::{ReportFormat, Written};

const EXAMPLES: &str = "\
Examples:
  guest-image build --agent agent --release 6.1.0-56-amd64 'e1000e; i915'
  guest-image build --agent agent --root rootfs --file pod.list -o initramfs.img
  guest-image build --agent agent --root rootfs --modalias devices @devices
  guest-image build --init aarch64/guest-init --agent aarch64/agent --root aarch64/rootfs --file pod.list
  docker export app | guest-image build --root - --whole-root --module-dir /lib/modules virtio_net
  guest-image build --append /boot/initrd.img-6.1.0-56-amd64 -o both.img";

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
/// --json prints one object instead: "image", "release" (or null), "modules" (their number), "size", "unpacked",
/// "compression" ("none" or "zstd"), and "files", each with "path", "size" and "for" (the reason). Later versions may
/// add keys. They remove none.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::STATUS))]
pub struct Arguments {
    /// The guest-init of the image; it becomes /sbin/guest-init. Without this option it is the one that was installed
    /// with guest-image: ../sbin/guest-init beside the folder of this program, /usr/sbin/guest-init, or
    /// /usr/local/sbin/guest-init. For an image of another architecture, name its guest-init
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// The agent. It becomes /sbin/agent
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Make an image without an agent: the disk or the share of root= has it
    #[arg(long, conflicts_with = "agent")]
    no_agent: bool,
    #[command(flatten)]
    lists: Lists,
    #[command(flatten)]
    modules: ModuleOptions,
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
    /// Copy all files of --root into the image, with their modes, links and devices, and the owners that a tar file
    /// has. guest-init's own files replace those of the same paths. The modules of the lists replace its lib/modules.
    /// The image needs no --agent: name the root's own program with guest_init.agent= at boot
    #[arg(long, requires = "root", conflicts_with = "append")]
    whole_root: bool,
    #[arg(long, value_name = "IMAGE", help = append_help())]
    append: Option<PathBuf>,
    /// The compression of the image
    #[arg(long, value_enum, default_value = "auto")]
    compress: CompressionChoice,
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

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    require_proc()?;
    let init = match &arguments.init {
        Some(init) => arguments.modules.tree.on_host(init),
        None => init::installed()?,
    };
    let machine = init::check(&init)?;
    let tree = &arguments.modules.tree;
    tree.unpack_root(machine)?;
    let existing = arguments.append.as_deref().map(ExistingImage::read).transpose()?;
    let mut archive = Archive::append_to(existing.unwrap_or_default());
    let layout = Layout::read(arguments.layout.as_deref())?;
    let agent = arguments.agent.as_deref().map(|agent| tree.on_host(agent));
    let mut config = arguments.config.clone();
    if arguments.whole_root {
        whole_root::add_to(&mut archive, tree, &arguments.output)?;
        config.extend(whole_root::config(tree));
    }
    layout.add_to(&mut archive, &init, agent.as_deref(), arguments.no_agent || arguments.whole_root)?;
    let added = arguments.modules.add_to(&mut archive, &arguments.lists.read()?, &config, Some(machine))?;
    add_config(&mut archive, &arguments.config, tree)?;
    arguments.add.iter().try_for_each(|addition| addition.add_to(&mut archive, tree))?;
    if let (Some(_), Some(path)) = (agent, layout.agent()) {
        check_agent(&archive, path, machine, arguments.modules.allow_missing)?;
    }

    let (compression, reason) = arguments.compress.for_archive(archive.content_size(), added.kernel_has_zstd);
    if compression == Compression::Zstd && !added.kernel_has_zstd {
        warn("the kernel can't read this image: its configuration has no CONFIG_RD_ZSTD; use --compress none");
    }
    let mtime = source_date_epoch::read()?;
    let progress = Progress::of_bytes(archive.content_size());
    let sizes = image_file::write(&arguments.output, &archive.existing.bytes, compression, |output| {
        newc::write(&archive, output, mtime, &mut |bytes| progress.advance(bytes))
    })?;
    drop(progress);
    let written = Written { path: &arguments.output, sizes, compression, reason };
    report::print(arguments.report_format(), &written, &archive, &added)?;
    if arguments.whole_root
        && arguments.report_format() == ReportFormat::Text
        && let Some(words) = whole_root::agent_words(&archive, tree, layout.agent())
    {
        stderr::print(format_args!("{}: boot with {words}", arguments.output.display()));
    }
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
fn check_agent(archive: &Archive, path: &str, machine: &Machine, allow_missing: bool) -> Result<()> {
    let Err(failure) = program::check(path, Some(machine), &|path| archive.find(path)) else { return Ok(()) };
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
