//! modprobe: what the kernel calls to load a module on demand, and an agent to load one by its name.
//!
//! Owns what modprobe prints and how it exits (tools/modprobe.c of kmod 30). Leaves to `request::modprobe::call` how the arguments
//! are cut, to `resolve` what a name takes, and to `load` the loading.

extern crate alloc;

pub mod output;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_int;

use rustix::process::getcwd;
use syscalls::Errno;

use crate::failure::{Code, Failure};
use crate::guest::boot::command_line;
use crate::guest::modprobe::output::Output;
use crate::guest::modules::file::{ModuleFile, is_live, kernel_format};
use crate::guest::modules::ready::{dangling, insert, install};
use crate::guest::modules::tree::{CONFIG, MODULES, ModuleTree, running_release};
use crate::guest::system::errno::strerror;
use crate::guest::system::files::Directory;
use crate::guest::system::invocation::Strings;
use crate::guest::watch::kernel_messages::KernelMessages;
use crate::request::kernel::words::before_end;
use crate::request::modprobe::call::{Asked, Call, ERROR, WARNING, environment_words, quoted};
use crate::resolve::lookup::{Module, lookup};
use crate::resolve::plan::consequence::Consequence;
use crate::resolve::plan::{Action, Options, Plan, Step};
use crate::resolve::tree::Sources;

const HELP: &str = "Usage:
\tmodprobe [options] [--] NAME [PARAMETER...]
\tmodprobe [options] -a [--] NAME...
Options:
\t-a, --all              every operand is a name
\t-R, --resolve-alias    only look names up and print what they mean
\t-D, --show-depends     only print what would be done, loaded or not
\t-n, --dry-run, --show  do nothing; with -v, print what would be done
\t-b, --use-blacklist    the blacklist counts for names as well
\t-i, --ignore-install   pass over the module's own install command
\t    --first-time       fail if the module is there already
\t-C, --config=PATH      configuration in place of modprobe.d
\t-d, --dirname=DIR      where /lib/modules begins
\t-S, --set-version=REL  the kernel's release
\t-q, --quiet            say nothing
\t-v, --verbose          print what is done
\t-s, --syslog           messages go to the kernel log
\t-V, --version  -h, --help
";

/// What is not PID 1 is modprobe if it is called so, and otherwise says what it is. Returns the exit status.
pub fn answer(arguments: Strings, environment: Strings) -> c_int {
    match arguments.program() {
        b"modprobe" => c_int::from(!serve(arguments, environment)),
        _ => {
            Output::of_this_process().print(format!("{}\n", crate::ABOUT).as_bytes());
            0
        }
    }
}

/// Does what modprobe would do; whether all went well.
fn serve(arguments: Strings, environment: Strings) -> bool {
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
            run(&call, &output)
        }
        Ok(Asked::Help) => output.print(HELP.as_bytes()),
        Ok(Asked::Version) => output.print(concat!("guest-init ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        Err(wrong) if wrong.is_getopts() => {
            let path = arguments.strings().next().map_or_else(String::new, |path| path.to_string_lossy().into());
            output.message(format_args!("{path}: {wrong}"))
        }
        Err(wrong) => output.say(ERROR, wrong),
    }
}

/// Opens the tree and the configuration; whether all went well.
fn run(call: &Call<'_>, output: &Output) -> bool {
    let release = call.release.map_or_else(running_release, text);
    let root = call.root.map_or_else(String::new, |root| absolute(text(root)));
    let directory = format!("{root}{MODULES}/{release}");
    let own: Vec<_> = call.config().map(|path| absolute(text(path))).collect();
    let config: Vec<_> = if own.is_empty() { CONFIG.into() } else { own.iter().map(String::as_str).collect() };
    // Without a directory, no name means anything.
    let files = Directory::open(directory.as_str()).map(|opened| ModuleTree::of(opened, &release, &config)).ok();
    go_through(call, output, &directory, files.as_ref())
}

/// Goes through the names; whether all went well.
fn go_through(call: &Call<'_>, output: &Output, directory: &str, files: Option<&ModuleTree>) -> bool {
    let line = command_line::read().unwrap_or_else(|failure| {
        output.say(ERROR, failure);
        Vec::new()
    });
    let lines = files.map(|files| files.config(before_end(&line))).unwrap_or_default();
    let parameters = if call.all { Vec::new() } else { parameters(call.operands().skip(1)) };
    let mut modprobe = files.map(|files| {
        let tree = files.sources(&lines);
        let plan = Box::write(Box::new_uninit(), Plan::new(tree));
        Modprobe { call, output, files, tree, directory, plan, messages: None }
    });
    let mut well = true;
    for name in call.operands().take(if call.all { usize::MAX } else { 1 }) {
        well &= match modprobe.as_mut().map_or(Ok(None), |modprobe| modprobe.insert(name, &parameters)) {
            Ok(Some(done)) => done,
            Ok(None) => {
                // modprobe -a goes on.
                let priority = if call.all { WARNING } else { ERROR - 1 };
                output.say(priority, format_args!("Module {} not found in directory {directory}", text(name)))
            }
            Err(failure) => output.say(ERROR, failure),
        };
    }
    well
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
    files: &'a ModuleTree,
    tree: Sources<'a>,
    /// The tree's path, for what is shown.
    directory: &'m str,
    plan: Box<Plan<'a>>,
    messages: Option<KernelMessages>,
}

impl<'a> Modprobe<'_, 'a> {
    /// Goes through all that a name means, each on its own; `None` if it means nothing. The last one decides.
    fn insert(&mut self, name: &'a [u8], parameters: &'a [u8]) -> Result<Option<bool>, Failure> {
        let mut done = None;
        for module in &lookup(&self.tree, name)? {
            if self.call.resolve {
                done = Some(self.output.print(format!("{module}\n").as_bytes()));
                continue;
            }
            done = Some(match self.request(module, parameters) {
                Ok(new) if self.call.first_time && !new => self.could_not(module, "Module already in kernel"),
                Ok(_) => true,
                Err(failure) => self.explain(module, &failure),
            });
        }
        Ok(done)
    }

    /// Inserts one module with what it needs; false if it was there already.
    fn request(&mut self, module: &Module<'a>, parameters: &'a [u8]) -> Result<bool, Failure> {
        if self.is_there(module)? {
            return Ok(false);
        }
        let Call { ignore_install, use_blacklist, .. } = *self.call;
        self.plan.only(*module, parameters, Options { ignore_install, use_blacklist })?;
        for number in 0..self.plan.steps().len() {
            let Some(&step) = self.plan.steps().get(number) else { break };
            match self.step(&step) {
                // Someone was faster.
                Ok(false) if self.call.first_time && step.module.is(module) => return Ok(false),
                Err(failure) if step.consequence != Consequence::Nothing => return Err(failure),
                // What only a soft dependency asks for may fail.
                _ => {}
            }
        }
        Ok(true)
    }

    /// Does one step; false if there is nothing to do, for the module is there.
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
                let file = ModuleFile::open(self.files.directory(), path)?;
                // Which format the kernel knows matters to no plain module.
                let format = if path.ends_with(b".ko") { None } else { kernel_format() };
                let options = self.options(step);
                insert(step, &file, &options, format, self.messages.get_or_insert_with(KernelMessages::shared))
            }
            Action::Install(command) => install(step, command).map(|()| true),
            Action::Missing => Err(dangling(step)),
            Action::Blacklisted | Action::BuiltIn | Action::Adjust => Ok(true),
        }
    }

    /// Whether the kernel has a module, or is not to be asked.
    fn is_there(&self, module: &Module<'_>) -> Result<bool, Failure> {
        if self.call.ignore_loaded {
            return Ok(false);
        }
        Ok(is_live(module) || self.tree.has_built_in(module)?)
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

    /// modprobe's line; false, since it failed.
    fn could_not(&self, module: &Module<'_>, why: &str) -> bool {
        self.output.say(ERROR, format_args!("could not insert '{module}': {why}"))
    }

    /// modprobe's line on a module that was not inserted, and one with the reason; false, as above.
    fn explain(&self, module: &Module<'_>, failure: &Failure) -> bool {
        match failure.errno {
            Errno::ENOENT => self.could_not(module, "Unknown symbol in module, or unknown parameter (see dmesg)"),
            // To modprobe, a command that fails is an invalid argument.
            _ if failure.code == Code::InstallCommand => self.could_not(module, strerror(Errno::EINVAL)),
            errno => self.could_not(module, strerror(errno)),
        };
        self.output.say(ERROR, failure)
    }
}
