//! modprobe: what the kernel calls to load a module on demand, and an agent to load one by its name.
//!
//! Owns what modprobe prints and how it exits (tools/modprobe.c of kmod 30). Leaves to `request::modprobe::call` how the arguments
//! are cut, to `resolve` what a name takes, and to `load` the loading.

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
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Options, Plan, Step};
use crate::resolve::tree::Sources;
use crate::resolve::tree::module::Module;

/// Answers in any process but PID 1: as modprobe if it is called so, or else with what it is. Returns the exit status.
pub fn answer(arguments: Strings, environment: Strings) -> c_int {
    match arguments.program() {
        b"modprobe" => serve(arguments, environment) as c_int,
        _ => {
            Output::of_this_process().print(format!("{}\n", crate::ABOUT).as_bytes());
            Status::Success as c_int
        }
    }
}

/// Says why PID 1 of a container is refused, and changes nothing. Returns the exit status.
pub fn refuse_container() -> c_int {
    let text = "guest-init: this is PID 1 of a container, whose kernel belongs to the host: start it as PID 1 of a VM";
    Output::of_this_process().message(format_args!("{text}"));
    Status::Failure as c_int
}

/// modprobe's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Success = 0,
    Failure = 1,
}

/// Does what modprobe would do.
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

/// Opens the tree and the configuration, and goes through the names.
fn run(call: &Call<'_>, output: &Output) -> Status {
    let release = call.release.map_or_else(running_release, text);
    let root = call.root.map_or_else(String::new, |root| absolute(text(root)));
    let directory = format!("{root}{MODULES}/{release}");
    let own: Vec<_> = call.config().map(|path| absolute(text(path))).collect();
    let config: Vec<_> = if own.is_empty() { CONFIG.into() } else { own.iter().map(String::as_str).collect() };
    // Without the directory of the release, no name means anything.
    let tree =
        Directory::open(directory.as_str()).map(|opened| ModuleTree::in_directory(opened, &release, &config)).ok();
    go_through(call, output, &directory, tree.as_ref())
}

/// Goes through the names. A problem with one is reported, and the others go on.
fn go_through(call: &Call<'_>, output: &Output, directory: &str, tree: Option<&ModuleTree>) -> Status {
    let line = command_line::read().unwrap_or_else(|failure| {
        output.report(ERROR, &failure);
        &[]
    });
    let words = ModuleWords::of(line);
    let lines = tree.map(|tree| tree.config(words)).unwrap_or_default();
    let parameters = if call.all { Vec::new() } else { parameters(call.operands().skip(1)) };
    let mut modprobe = tree.map(|tree| {
        let sources = tree.sources(&lines);
        let plan = Box::write(Box::new_uninit(), Plan::new(sources));
        Modprobe { call, output, tree, sources, words, directory, plan, messages: None }
    });
    let mut status = Status::Success;
    for name in call.operands().take(if call.all { usize::MAX } else { 1 }) {
        let done = match &mut modprobe {
            Some(modprobe) => modprobe.name(name, &parameters),
            None => Err(Problem::NotFound { name, directory }),
        };
        if let Err(problem) = done {
            report(output, call, &problem);
            status = Status::Failure;
        }
    }
    status
}

/// Reports a problem as modprobe does. A line with the reason follows what modprobe says of a module.
fn report(output: &Output, call: &Call<'_>, problem: &Problem<'_>) {
    // With -a, modprobe goes on, and an unknown name is a warning.
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path that does not depend on where we are.
fn absolute(path: String) -> String {
    match getcwd(Vec::new()) {
        Ok(here) if !path.is_empty() && !path.starts_with('/') => format!("{}/{path}", here.to_string_lossy()),
        _ => path,
    }
}

/// The parameters as one text.
fn parameters<'a>(words: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend(quoted(word).concat());
    }
    text
}

/// One call on its way through its names.
struct Modprobe<'m, 'a> {
    call: &'m Call<'m>,
    output: &'m Output,
    tree: &'a ModuleTree,
    sources: Sources<'a>,
    words: ModuleWords<'m>,
    /// The tree's path, for what is shown.
    directory: &'m str,
    plan: Box<Plan<'a>>,
    messages: Option<KernelMessages>,
}

impl<'a> Modprobe<'_, 'a> {
    /// Goes through the modules that a name means. A problem with one is reported, and the last one decides.
    fn name<'p>(&mut self, name: &'a [u8], parameters: &'a [u8]) -> Result<(), Problem<'p>>
    where
        'a: 'p,
        Self: 'p,
    {
        let found = lookup(&self.sources, name).map_err(Problem::NotLookedUp)?;
        let Some((last, others)) = found.split_last() else {
            return Err(Problem::NotFound { name, directory: self.directory });
        };
        for module in others {
            if let Err(problem) = self.module(module, parameters) {
                report(self.output, self.call, &problem);
            }
        }
        self.module(last, parameters)
    }

    /// Does what is asked for one module.
    fn module<'p>(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<(), Problem<'p>>
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

    /// Inserts one module with what it needs. False: it was loaded already.
    fn insert(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<bool, Failure> {
        if self.is_there(module)? {
            return Ok(false);
        }
        let Call { ignore_install, use_blacklist, .. } = *self.call;
        self.plan.only(*module, parameters, Options { ignore_install, use_blacklist })?;
        for number in 0..self.plan.steps().len() {
            let Some(&step) = self.plan.steps().get(number) else { break };
            match self.step(&step) {
                // Another loader was faster.
                Ok(false) if self.call.first_time && step.module.is(module) => return Ok(false),
                Err(failure) if step.consequence != Consequence::Nothing => return Err(failure),
                _ => {}
            }
        }
        Ok(true)
    }

    /// Does one step. False: there is nothing to do, because the module is loaded.
    fn step(&mut self, step: &Step<'a>) -> Result<bool, Failure> {
        if self.is_there(&step.module)? {
            return Ok(false);
        }
        if self.call.shows() {
            self.show(step);
        }
        match step.action {
            _ if self.call.dry_run => Ok(true),
            Action::Load(path) => {
                let file = ModuleFile::open(self.tree.directory(), path)?;
                // A plain module is loaded as it is, so the format that the kernel knows does not matter.
                let format = if path.ends_with(b".ko") { None } else { kernel_format() };
                let options = self.options(step);
                let messages = self.messages.get_or_insert_with(KernelMessages::shared);
                insert(step, &file, &options, format, &self.words, messages)
            }
            Action::Install(command) => run_install_command(step, command).map(|()| true),
            Action::Missing => Err(missing_module(step)),
            Action::Blacklisted | Action::BuiltIn | Action::Adjust => Ok(true),
        }
    }

    /// Whether the kernel has a module, unless it is not to be asked.
    fn is_there(&self, module: &Module<'_>) -> Result<bool, Failure> {
        if self.call.ignore_loaded {
            return Ok(false);
        }
        Ok(is_live(module) || self.sources.has_built_in(module)?)
    }

    /// The parameters of a step in one piece.
    fn options(&self, step: &Step<'a>) -> Vec<u8> {
        let mut text = Vec::new();
        self.plan.parameters(step).each_piece(&mut |piece| text.extend_from_slice(piece));
        text
    }

    /// Prints a step as modprobe does, with a blank behind options of the configuration that no parameters follow.
    fn show(&self, step: &Step<'a>) {
        let options = self.options(step);
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
