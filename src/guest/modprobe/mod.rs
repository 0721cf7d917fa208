//! modprobe: the program that the kernel starts to load a module on demand, and an agent to load a module by its name.
//!
//! Owns the lines that modprobe prints, and its exit status (tools/modprobe.c of kmod 30). The arguments are parsed by
//! [`crate::request::modprobe`], names are resolved by [`crate::resolve`], and files are loaded by
//! [`actions`](crate::guest::modules::actions).

extern crate alloc;

pub mod output;
mod problem;
mod usage;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_int;

use rustix::process::getcwd;

use crate::failure::Failure;
use crate::guest::boot::command_line;
use crate::guest::modprobe::output::Output;
use crate::guest::modprobe::problem::Problem;
use crate::guest::modprobe::usage::HELP;
use crate::guest::modules::actions::{insert, missing_module, run_install_command};
use crate::guest::modules::file::ModuleFile;
use crate::guest::modules::sysfs::{is_live, kernel_format};
use crate::guest::modules::tree::{CONFIG, MODULES, ModuleTree, running_release};
use crate::guest::system::files::Directory;
use crate::guest::system::invocation::Strings;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::kernel::ModuleWords;
use crate::request::modprobe::call::{Asked, Call, ERROR, FATAL, WARNING, environment_words, quoted};
use crate::resolve::lookup::lookup;
use crate::resolve::plan::calls::PassedOver;
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Options, Plan, Step};
use crate::resolve::tree::Sources;
use crate::resolve::tree::module::Module;

/// Runs guest-init as an ordinary program: as modprobe if its name is modprobe. By any other name it prints what it is.
/// Returns the exit status.
pub fn answer(arguments: Strings, environment: Strings) -> c_int {
    match arguments.program() {
        b"modprobe" => serve(arguments, environment) as c_int,
        _ => {
            Output::of_this_process().print(format!("{}\n", crate::ABOUT).as_bytes());
            Status::Success as c_int
        }
    }
}

/// Prints why guest-init does not run as PID 1 of a container, and changes nothing. Returns the exit status.
pub fn refuse_container() -> c_int {
    let text = "guest-init: this is PID 1 of a container, whose kernel belongs to the host: start it as PID 1 of a VM";
    Output::of_this_process().message(format_args!("{text}"));
    Status::Failure as c_int
}

/// The exit status of modprobe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success = 0,
    Failure = 1,
}

/// Runs modprobe with these arguments, and with those of the environment variable MODPROBE_OPTIONS before them.
fn serve(arguments: Strings, environment: Strings) -> Status {
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
            return run(&call, &output);
        }
        Ok(Asked::Help) => output.print(HELP.as_bytes()),
        Ok(Asked::Version) => output.print(concat!("guest-init ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        Err(error) if error.is_getopts() => {
            let path = arguments.strings().next().map_or_else(String::new, |path| path.to_string_lossy().into());
            output.message(format_args!("{path}: {error}"));
            return Status::Failure;
        }
        Err(error) => {
            output.report(ERROR, &error);
            return Status::Failure;
        }
    }
    Status::Success
}

/// Runs a call: opens the module tree and the configuration, and loads the names.
fn run(call: &Call<'_>, output: &Output) -> Status {
    let release = call.release.map_or_else(running_release, text);
    let root = call.root.map_or_else(String::new, |root| absolute(text(root)));
    let directory = format!("{root}{MODULES}/{release}");
    let own: Vec<_> = call.config().map(|path| absolute(text(path))).collect();
    let config: Vec<_> = if own.is_empty() { CONFIG.into() } else { own.iter().map(String::as_str).collect() };
    // If the tree's directory does not exist, every name is unknown.
    let tree =
        Directory::open(directory.as_str()).map(|opened| ModuleTree::in_directory(opened, &release, &config)).ok();
    run_in_tree(call, output, &directory, tree.as_ref())
}

/// Loads the names of a call. A problem with a name is reported, and the other names are still loaded.
fn run_in_tree(call: &Call<'_>, output: &Output, directory: &str, tree: Option<&ModuleTree>) -> Status {
    let line = command_line::read().unwrap_or_else(|failure| {
        output.report(ERROR, &failure);
        &[]
    });
    let words = ModuleWords::of(line);
    let lines = tree.map(|tree| tree.config(words)).unwrap_or_default();
    let parameters = if call.all { Vec::new() } else { join_parameters(call.operands().skip(1)) };
    let mut modprobe = tree.map(|tree| {
        let sources = tree.sources(&lines);
        let plan = Box::write(Box::new_uninit(), Plan::new(sources));
        Modprobe { call, output, tree, sources, words, directory, plan, messages: None }
    });
    let mut status = Status::Success;
    for name in call.operands().take(if call.all { usize::MAX } else { 1 }) {
        let done = match &mut modprobe {
            Some(modprobe) => modprobe.load_name(name, &parameters),
            None => Err(Problem::NotFound { name, directory }),
        };
        if let Err(problem) = done {
            report(output, call, &problem);
            status = Status::Failure;
        }
    }
    status
}

/// Reports a problem as modprobe does (MODPROBE.md 9.3). If a module can't be loaded, a line of guest-init's own
/// follows, with the reason.
fn report(output: &Output, call: &Call<'_>, problem: &Problem<'_>) {
    // With -a, an unknown name is a warning to modprobe.
    let priority = match problem {
        Problem::NotFound { .. } if call.all => WARNING,
        Problem::NotFound { .. } => FATAL,
        _ => ERROR,
    };
    output.report(priority, problem);
    if let Problem::NotInserted(_, failure) = problem {
        output.report(ERROR, failure);
    }
}

/// Bytes as text.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Makes a path absolute.
fn absolute(path: String) -> String {
    match getcwd(Vec::new()) {
        Ok(here) if !path.is_empty() && !path.starts_with('/') => format!("{}/{path}", here.to_string_lossy()),
        _ => path,
    }
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

/// A call whose tree is open.
struct Modprobe<'m, 'a> {
    call: &'m Call<'m>,
    output: &'m Output,
    tree: &'a ModuleTree,
    sources: Sources<'a>,
    words: ModuleWords<'m>,
    /// The path of the tree.
    directory: &'m str,
    /// The plan for the module that is being loaded.
    plan: Box<Plan<'a>>,
    /// Opened at the first load.
    messages: Option<KernelMessages>,
}

impl<'a> Modprobe<'_, 'a> {
    /// Loads the modules that a name means. A problem with any but the last is reported, and has no effect on the exit
    /// status (MODPROBE.md 4.4).
    fn load_name<'p>(&mut self, name: &'a [u8], parameters: &'a [u8]) -> Result<(), Problem<'p>>
    where
        'a: 'p,
        Self: 'p,
    {
        let found = lookup(&self.sources, name).map_err(Problem::NotLookedUp)?;
        let Some((last, others)) = found.split_last() else {
            return Err(Problem::NotFound { name, directory: self.directory });
        };
        for module in others {
            if let Err(problem) = self.load_module(module, parameters) {
                report(self.output, self.call, &problem);
            }
        }
        self.load_module(last, parameters)
    }

    /// Loads a module, or with `-R` prints its name.
    fn load_module<'p>(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<(), Problem<'p>>
    where
        'a: 'p,
    {
        if self.call.resolve {
            self.output.print(format!("{module}\n").as_bytes());
            return Ok(());
        }
        match self.insert(module, parameters) {
            Ok(false) if self.call.first_time => Err(Problem::AlreadyLoaded(*module)),
            Ok(_) => Ok(()),
            Err(failure) => Err(Problem::NotInserted(*module, failure)),
        }
    }

    /// Inserts a module and its dependencies. `false`: the module was loaded already.
    fn insert(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<bool, Failure> {
        if self.is_loaded(module)? {
            return Ok(false);
        }
        let Call { ignore_install, use_blacklist, .. } = *self.call;
        self.plan.only(*module, parameters, Options { ignore_install, use_blacklist, ..Options::default() })?;
        let mut passed_over = PassedOver::default();
        for number in 0..self.plan.steps().len() {
            let Some(&step) = self.plan.steps().get(number) else { break };
            // A dry run does not run install commands.
            if self.call.dry_run && step.is_called() || !self.plan.is_reached(&step, &passed_over) {
                continue;
            }
            match self.do_step(&step) {
                // Another process loaded the module meanwhile.
                Ok(false) if self.call.first_time && step.module.is(module) => return Ok(false),
                Err(failure) if self.plan.fail(&step, &mut passed_over) == Consequence::EndsTheVm => {
                    return Err(failure);
                }
                _ => {}
            }
        }
        Ok(true)
    }

    /// Does a step of the plan. `false`: nothing was done, because the module is loaded.
    fn do_step(&mut self, step: &Step<'a>) -> Result<bool, Failure> {
        if self.is_loaded(&step.module)? {
            return Ok(false);
        }
        if self.call.shows() {
            self.print_step(step);
        }
        match step.action {
            _ if self.call.dry_run => Ok(true),
            Action::Load(path) => {
                let file = ModuleFile::open(self.tree.directory(), path)?;
                // A module that is not compressed does not need the kernel's format.
                let format = if path.ends_with(b".ko") { None } else { kernel_format() };
                let options = self.parameters(step);
                let messages = self.messages.get_or_insert_with(KernelMessages::shared);
                insert(step, &file, &options, format, &self.words, messages)
            }
            Action::Install(command) => run_install_command(step, command).map(|_| true),
            Action::Missing => Err(missing_module(step)),
            Action::Blacklisted | Action::BuiltIn | Action::Adjust => Ok(true),
        }
    }

    /// Whether the kernel has a module, loaded or built in. With `--show-depends`, no module counts as loaded.
    fn is_loaded(&self, module: &Module<'_>) -> Result<bool, Failure> {
        if self.call.ignore_loaded {
            return Ok(false);
        }
        Ok(is_live(module) || self.sources.has_built_in(module)?)
    }

    /// The parameters of a step as one text.
    fn parameters(&self, step: &Step<'a>) -> Vec<u8> {
        let mut text = Vec::new();
        self.plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
        text
    }

    /// Prints a step as modprobe does. A blank follows options of the configuration even if no parameters follow
    /// (MODPROBE.md 9.5).
    fn print_step(&self, step: &Step<'a>) {
        let options = self.parameters(step);
        let end = if !options.is_empty() && step.entry_parameters.is_empty() { &b" \n"[..] } else { b"\n" };
        let path = |path: &'a [u8]| match path {
            [b'/', ..] => [b"", &b""[..], path],
            path => [self.directory.as_bytes(), b"/", path],
        };
        let line = match step.action {
            Action::Load(file) => [b"insmod ", &path(file).concat()[..], b" ", &options, end].concat(),
            Action::Install(command) => [b"install ", command, b" ", &options, end].concat(),
            Action::BuiltIn => format!("builtin {}\n", step.module).into_bytes(),
            Action::Blacklisted | Action::Missing | Action::Adjust => return,
        };
        self.output.print(&line);
    }
}
