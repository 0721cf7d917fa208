//! modprobe: the program that the kernel starts to load a module on demand, and an agent to load a module by its name.
//!
//! Owns the lines that modprobe prints, and its exit status (tools/modprobe.c of kmod). The arguments are parsed by
//! [`crate::request::modprobe`], names are resolved by [`crate::resolve`], and files are loaded by
//! [`actions`](crate::guest::modules::actions).

extern crate alloc;

mod load;
pub mod output;
mod problem;
mod reaping_parent;
mod reported_trees;
mod usage;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ffi::c_int;

use rustix::fs::stat;
use rustix::process::getcwd;
use syscalls::Errno;

use crate::guest::boot::command_line;
use crate::guest::modprobe::load::{Modprobe, report};
use crate::guest::modprobe::output::Output;
use crate::guest::modprobe::reported_trees::ReportedTrees;
use crate::guest::modprobe::usage::HELP;
use crate::guest::modules::config_files::{CONFIG, ConfigPath};
use crate::guest::modules::tree::{MODULES, ModuleTree, running_release};
use crate::guest::modules::trees::ModuleTrees;
use crate::guest::places::lasting::module_dir_of;
use crate::guest::system::files::Directory;
use crate::guest::system::invocation::Strings;
use crate::request::kernel::ModuleWords;
use crate::request::modprobe::call::{Asked, Call, ERROR, environment_words, quoted};
use crate::request::{MOST_TREES, Request};
use crate::resolve::plan::Plan;
use crate::resolve::tree::Sources;
use crate::text::Shown;
use crate::version::Version;

/// Runs guest-init as an ordinary program: as modprobe if its name is modprobe. By any other name it prints what it is,
/// or with --version that alone. Returns the exit status.
pub fn answer(arguments: Strings, environment: Strings, version: Version) -> c_int {
    match arguments.program() {
        b"modprobe" => {
            let status = serve(arguments, environment, version);
            reaping_parent::wait_for();
            status as c_int
        }
        _ => {
            let only_version = arguments.strings().nth(1).is_some_and(|argument| argument == c"--version");
            let about = if only_version { "" } else { crate::ABOUT };
            Output::of_this_process().print(format!("guest-init {version}\n{about}").as_bytes());
            Status::Success as c_int
        }
    }
}

/// Prints why guest-init does not run as PID 1 of a container, and changes nothing. Returns the exit status.
pub fn refuse_container() -> c_int {
    let text = "guest-init: this is PID 1 of a container, whose kernel belongs to the host: start it as PID 1 of a VM";
    Output::of_this_process().print_error(text.into());
    Status::Failure as c_int
}

/// The exit status of modprobe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success = 0,
    Failure = 1,
}

/// Runs modprobe with these arguments, and with those of the environment variable MODPROBE_OPTIONS before them.
fn serve(arguments: Strings, environment: Strings, version: Version) -> Status {
    let mut words = Vec::new();
    let options = environment.strings().find_map(|variable| variable.to_bytes().strip_prefix(b"MODPROBE_OPTIONS="));
    let mut options = options.map(Vec::from).unwrap_or_default();
    environment_words(&mut options, &mut |word| words.push(word));
    arguments.strings().skip(1).for_each(|argument| words.push(argument.to_bytes()));
    let mut output = Output::of_this_process();
    match Call::parse(&words) {
        Ok(Asked::Modules(call)) => {
            output.verbosity = call.verbosity;
            output.log |= call.syslog;
            return run(&call, &output, environment);
        }
        Ok(Asked::Help) => output.print(HELP.as_bytes()),
        Ok(Asked::Version) => output.print(format!("guest-init {version}\n").as_bytes()),
        Err(error) if error.is_getopts() => {
            let mut text = arguments.strings().next().map_or_else(Vec::new, |path| path.to_bytes().into());
            text.extend_from_slice(b": ");
            error.each_piece(&mut |piece| text.extend_from_slice(piece));
            output.print_error(text);
            return Status::Failure;
        }
        Err(error) => {
            output.log |= Call::asks_for_log(&words);
            output.report(ERROR, |push| error.each_piece(push));
            return Status::Failure;
        }
    }
    Status::Success
}

/// Runs a call: opens the module tree and the configuration, and loads the names.
fn run(call: &Call<'_>, output: &Output, environment: Strings) -> Status {
    let running = running_release();
    let release = call.release.unwrap_or(running.as_bytes());
    let root = call.root.map_or_else(Vec::new, |root| absolute(root, environment));
    let own: Vec<_> = call.config().map(ConfigPath::from).collect();
    let config = if own.is_empty() { CONFIG.map(ConfigPath::from).into() } else { own };
    let directory = [&root, MODULES.as_bytes(), b"/", release].concat();
    let release = Shown(release).to_string();
    // To modprobe a file of the configuration that can't be read is empty.
    let passed_over = &mut |_| {};
    let line = command_line(output);
    if call.root.is_none()
        && let Some(mut trees) = named_trees(line, &release)
    {
        let directory = trees.tree(0).path().to_string();
        trees.read_config(&config, passed_over);
        return load_names(call, output, line, directory.as_bytes(), &trees, environment);
    }
    let tree = match Directory::open(directory.as_slice()) {
        Ok(opened) => Ok(ModuleTree::in_directory(opened, &release)),
        // Without a tree, modprobe.d still has names, and modprobe may be called with the path of a file.
        Err(_) => Directory::open("/").map(|top| ModuleTree::without_modules(top, &release)),
    };
    let Ok(tree) = tree else { return Status::Failure };
    let mut trees = ModuleTrees::of(tree);
    trees.read_config(&config, passed_over);
    load_names(call, output, line, &directory, &trees, environment)
}

/// The trees of a release in the module directories that the kernel command line names, as far as they are still there.
/// `None`: none is.
fn named_trees(line: &'static [u8], release: &str) -> Option<ModuleTrees> {
    let locations: heapless::Vec<_, MOST_TREES> = Request::named_module_dirs(line).collect();
    let mut trees = None;
    for (number, location) in locations.iter().enumerate() {
        let path = module_dir_of(location, number, locations.len());
        let Ok(mut tree) = ModuleTree::open(Directory::open(&*path), &path, release) else { continue };
        tree.has_own_config = path != MODULES;
        match &mut trees {
            None => trees = Some(ModuleTrees::of(tree)),
            Some(trees) => trees.add(tree),
        }
    }
    trees
}

/// Loads the names of a call. A problem with a name is reported, and the other names are still loaded.
fn load_names(
    call: &Call<'_>,
    output: &Output,
    line: &[u8],
    directory: &[u8],
    trees: &ModuleTrees,
    environment: Strings,
) -> Status {
    let words = ModuleWords::of(line);
    let lines = trees.config(words);
    let parameters = if call.all { Vec::new() } else { join_parameters(call.operands().skip(1)) };
    let reported = ReportedTrees::new(trees, output);
    let sources = Sources { trees: &reported, ..trees.sources(&lines) };
    let plan = Box::write(Box::new_uninit(), Plan::new(sources));
    let mut modprobe = Modprobe { call, output, trees, sources, words, directory, plan, messages: None, environment };
    let mut status = Status::Success;
    for name in call.operands().take(if call.all { usize::MAX } else { 1 }) {
        if let Err(problem) = modprobe.load_name(name, &parameters) {
            report(output, call, &problem);
            status = Status::Failure;
        }
    }
    status
}

/// The kernel command line. To modprobe it is empty if there is no /proc.
fn command_line(output: &Output) -> &'static [u8] {
    command_line::read().unwrap_or_else(|failure| {
        if failure.errno != Errno::ENOENT {
            output.report(ERROR, |push| push(failure.to_string().as_bytes()));
        }
        &[]
    })
}

/// Makes a path absolute (path_make_absolute_cwd of kmod's shared/util.c). The current directory has the name that
/// `$PWD` gives it, if that is right (get_current_dir_name(3)).
fn absolute(path: &[u8], environment: Strings) -> Vec<u8> {
    if path.is_empty() || path.starts_with(b"/") {
        return path.into();
    }
    let place = |path: &[u8]| stat(path).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    let named = environment.strings().find_map(|variable| variable.to_bytes().strip_prefix(b"PWD="));
    let named = named.filter(|named| place(named).is_some_and(|there| place(b".") == Some(there)));
    let here = named.map(Vec::from).or_else(|| Some(getcwd(Vec::new()).ok()?.into_bytes()));
    [&here.unwrap_or_default(), &b"/"[..], path].concat()
}

/// Joins the words of parameters to one text, and quotes them as modprobe does.
fn join_parameters<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend(quoted(word).concat());
    }
    text
}
