//! `guest-image kata`: turns Kata Containers' configuration and pods into the list that guest-init reads.
//!
//! [`configuration`] and [`pods`] read Kata's files, whose [`syntax`] is TOML, YAML or JSON. [`runtime`] joins their
//! lists as Kata's runtimes do. [`target`] writes the result for guest-init, and [`annotation`] for a pod's annotation.

mod annotation;
mod configuration;
mod pods;
mod runtime;
mod syntax;
mod target;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Arg, Args};
use serde::Serialize;

use crate::check::vm_options::VmOptions;
use crate::check::{self, CheckOutput};
use crate::cli::exit::{self, Exit};
use crate::cli::progress::Progress;
use crate::cli::stderr;
use crate::cli::stdout::{self, print_json};
use crate::shared::lists::List;

use configuration::Configuration;
use pods::Pod;
use runtime::Runtime;
use syntax::Source;
use target::Target;

/// The bound on a file's size, in bytes.
const LONGEST: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  guest-image kata /etc/kata-containers/configuration.toml pods.yaml
  guest-image kata configuration.toml pods.yaml --pod NAME --annotation
  guest-image kata configuration.toml pods.yaml --check --root rootfs --kernel vmlinuz
  kubectl get pod NAME -o json | guest-image kata configuration.toml - --list NAME.list

In Kata's configuration:
  kernel_params = 'guest_init.modules=\"e1000e EEE=1; i915\"'";

/// Turns Kata Containers' `kernel_modules` into guest-init's module list.
///
/// Prints the word `guest_init.modules=…` for Kata's `kernel_params`, quoted for the kernel, or writes the list into a
/// file that `guest_init.modules_file=` can name. A pod's annotation `io.katacontainers.config.agent.kernel_modules`
/// replaces the configuration's list if the runtime is Kata's Go runtime. Kata's Rust runtime adds the annotation to
/// the list.
///
/// The words for a single pod belong in its annotation `io.katacontainers.config.hypervisor.kernel_params`. Kata cuts
/// that at blanks, so --annotation prints words without blanks: `guest_init.modules=a;b a.debug=1`. A parameter that
/// stands so also counts if its module is loaded as a dependency. If no such words say the same as the list,
/// --annotation fails.
///
/// --json prints one object: "runtime", and "lists", each with "file", "kind", "namespace" and "name" (of the pod, or
/// null), "origin", "modules" (an array of entries), "parameter" (null if no command line can hold the list),
/// "annotation" (the words for a pod's annotation, or null) and "warnings". With --check, --json prints the object of
/// `guest-image check` for each list.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true, mut_args(vm_options_need_check))]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::STATUS))]
pub struct Arguments {
    /// Kata's configuration.toml, with the config.d beside it; or YAML or JSON with pods, Deployments and the like, or
    /// with a sandbox of crictl; or an OCI bundle's config.json. At most one configuration. `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Kata's runtime [default: the one that the configuration is for]
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    /// Take only the pod of this name; NAME may be NAMESPACE/NAME
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Write the list into a file, one entry a line, and print no parameter; `-` is standard output
    #[arg(long, short = 'o', visible_alias = "output", value_name = "FILE", conflicts_with = "json")]
    list: Option<PathBuf>,
    /// Print the words for a pod's annotation io.katacontainers.config.hypervisor.kernel_params, which hold no blanks
    #[arg(long, conflicts_with_all = ["list", "json"])]
    annotation: bool,
    /// Also check each list, as `guest-image check` does with the same options
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    vm: VmOptions,
}

/// Makes the options of `guest-image check`, except `--json`, require `--check`.
fn vm_options_need_check(argument: Arg) -> Arg {
    match argument.get_id().as_str() {
        "files" | "runtime" | "pod" | "list" | "annotation" | "check" | "json" => argument,
        _ => argument.requires("check"),
    }
}

/// The content of all files.
#[derive(Default)]
struct Input {
    configuration: Option<Configuration>,
    pods: Vec<Pod>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    arguments.vm.tree.unpack_root(check::machine(&arguments.vm))?;
    let input = Input::read(&arguments.files, arguments.pod.as_deref())?;
    let configuration = input.configuration.unwrap_or_default();
    configuration.warnings.iter().for_each(stderr::warn);
    let runtime = arguments.runtime.unwrap_or(configuration.runtime);
    let pods: Vec<_> = if input.pods.is_empty() { vec![None] } else { input.pods.into_iter().map(Some).collect() };
    let mut targets: Vec<_> =
        pods.into_iter().map(|pod| Target::new(runtime, &configuration, pod)).collect::<Result<_>>()?;
    if arguments.list.is_none() {
        let (for_annotation, machine) = (arguments.annotation, check::machine(&arguments.vm));
        targets.iter_mut().for_each(|target| target.write_parameter(runtime, &configuration, machine, for_annotation));
    }
    let Arguments { check, vm, list, .. } = arguments;
    if vm.json && !check {
        return print_json(&JsonLists { runtime, lists: &targets }).map(|()| Exit::Done);
    }
    for target in &targets {
        target.warnings.iter().for_each(|warning| stderr::warn(format_args!("{}: {warning}", target.title)));
    }
    let texts = match list {
        _ if vm.json => vec![String::new(); targets.len()],
        Some(file) => vec![write_list(file, &targets)?],
        None => targets.iter().map(|target| printed(target, arguments, targets.len() > 1)).collect::<Result<_>>()?,
    };
    let mut exit = Exit::Done;
    let mut reports = HashMap::new();
    let progress = Progress::of(if *check { targets.len() } else { 0 }, "lists");
    for (target, text) in targets.iter().zip(texts) {
        stdout::print(&text)?;
        if *check {
            let report = report(target, vm, &mut reports)?;
            stdout::print(&report.text)?;
            exit = if report.exit.status() > exit.status() { report.exit } else { exit };
            progress.advance(1);
        }
    }
    Ok(exit)
}

/// The report on a list. Pods with equal lists share it. It does not name the pod, because only a mistake in an entry
/// does, and those ended the command before.
fn report<'r>(
    target: &Target,
    vm: &VmOptions,
    reports: &'r mut HashMap<String, CheckOutput>,
) -> Result<&'r CheckOutput> {
    Ok(match reports.entry(target.file()) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => {
            let list = List { name: target.title.clone(), text: Ok(target.file().into()) };
            entry.insert(check::lists(Ok(vec![list]), vm)?)
        }
    })
}

/// The object that `--json` prints.
#[derive(Serialize)]
struct JsonLists<'a> {
    runtime: Runtime,
    lists: &'a [Target],
}

impl Input {
    fn read(files: &[PathBuf], pod: Option<&str>) -> Result<Self> {
        let mut input = Self::default();
        for path in files {
            let title = path.display().to_string();
            let text = read(path).with_context(|| match fs::read_link(path) {
                Ok(target) => format!("{title}, a link to {}", target.display()),
                Err(_) => title.clone(),
            })?;
            if is_toml(path, &text) {
                let configuration = Configuration::read(path, &text)?;
                ensure!(input.configuration.is_none(), "{title}: a second configuration; name only one");
                input.configuration = Some(configuration);
            } else {
                let pods = pods::read(Source { title: &title, text: &text })?;
                ensure!(
                    !pods.is_empty(),
                    "{title}: no pod, no template of pods, no sandbox of crictl, and not an OCI bundle's config.json"
                );
                input.pods.extend(pods);
            }
        }
        if let Some(name) = pod {
            let all: Vec<_> = input.pods.iter().map(Pod::full_name).collect();
            input.pods.retain(|pod| pod.is_called(name));
            ensure!(!input.pods.is_empty(), "--pod {name}: no such pod; the files have {}", all.join(", "));
        }
        Ok(input)
    }
}

fn read(path: &Path) -> io::Result<String> {
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut text = String::new();
    match source.take(LONGEST + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > LONGEST => Err(io::Error::other("more than 16 MiB")),
        // Editors on Windows begin a file with a byte order mark.
        Ok(_) => Ok(text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(io::Error::other("not a text in UTF-8")),
        Err(error) => Err(error),
    }
}

/// Whether a file is a configuration: by its suffix, or else by its first line that is neither empty nor a comment.
fn is_toml(path: &Path, text: &str) -> bool {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => true,
        Some("yaml" | "yml" | "json") => false,
        _ => {
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
            let line = lines.next().unwrap_or_default();
            line.starts_with('[') || line.find('=').is_some_and(|at| !line[..at].contains([':', '{']))
        }
    }
}

/// The words for a command line, or for an annotation. If there are several lists, the pod stands above each.
fn printed(target: &Target, arguments: &Arguments, several: bool) -> Result<String> {
    let heading = if several { format!("# {}: {}\n", target.title, target.origin) } else { String::new() };
    match target.modules.is_empty() {
        true => Ok(heading),
        false if arguments.annotation => Ok(heading + target.annotation_or_why()? + "\n"),
        false => Ok(heading + target.parameter_or_why()? + "\n"),
    }
}

/// Writes the list of the only target into a file, or returns it for standard output.
fn write_list(file: &Path, targets: &[Target]) -> Result<String> {
    let [target] = targets else {
        let names: Vec<_> = targets.iter().map(|target| target.title.as_str()).collect();
        bail!("--list takes one list, and there are several; choose with --pod among {}", names.join(", "));
    };
    if file == Path::new("-") {
        return Ok(target.file());
    }
    fs::write(file, target.file()).with_context(|| file.display().to_string()).map(|()| String::new())
}
