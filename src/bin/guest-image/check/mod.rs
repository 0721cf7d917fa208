//! `guest-image check`: predicts what PID 1 does with module lists, before any VM starts.

mod agent;
mod disks;
mod dry_run;
mod findings;
mod inspection;
mod kernel_image;
mod kernel_verdict;
mod signature;
pub mod vm_options;

use anyhow::Result;
use clap::Args;
use guest_init::bare::start::MACHINE;
use guest_init::machine::Machine;

use crate::cli::exit::{self, Exit};
use crate::cli::stderr;
use crate::cli::stdout::{json, print};
use crate::shared::lists::{List, Lists};

use dry_run::Answer;
use vm_options::VmOptions;

const EXAMPLES: &str = "\
Examples:
  guest-image check --root rootfs --kernel vmlinuz 'e1000e InterruptThrottleRate=3000,3000,3000; i915'
  guest-image check --module-dir /lib/modules --release 6.1.0-56-amd64 --file pod.list
  guest-image check --root rootfs --modalias devices @devices
  guest-image check --root rootfs --cmdline \"$(cat cmdline)\" --share kataShared=/srv/vm7 --json";

/// Predicts what a VM does with module lists, before it starts: its plan, or every failure.
///
/// The guest's own code reads the lists, resolves the names in the module tree, and opens the module files. Each line
/// of the plan is a step of PID 1, with the parameters from modprobe.d, the kernel command line and the list. Warnings
/// and notes follow: parameters that a module does not have, with those that it has; modules that the kernel would
/// refuse; firmware files that are missing. Nothing is loaded, and nothing is changed.
///
/// With --kernel the signature of each module is verified with the certificates in the kernel's image. A module whose
/// signature is malformed or wrong is a failure. So is one that is unsigned, or signed by another key, if the kernel
/// requires signatures: because of its configuration (CONFIG_MODULE_SIG_FORCE), of module.sig_enforce or of lockdown=
/// in --cmdline. Else it is a note. Keys that are enrolled at run time, in MOK or in UEFI's db, can't be seen.
///
/// Failures are printed as the guest would log them. To learn more about a code, run `guest-image explain CODE`.
///
/// --json prints one object: "release", "modules" (the folder of the tree), "reaches_agent", "code" (of the failure
/// that ends the VM, or null), "steps" (each with "action", "module", "file", "parameters", "entry", "required",
/// "optional", "passed_over"), "failures" (each with "code", "stage", "subject", "errno", "reason"), "warnings" and
/// "notes" (each with "kind", "module", "text", and for unknown parameters "parameters", each with "name", "type",
/// "description"). Later versions may add keys. They remove none.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::STATUS))]
pub struct Arguments {
    #[command(flatten)]
    lists: Lists,
    #[command(flatten)]
    vm: VmOptions,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let root = arguments.vm.tree.unpack_root(machine(&arguments.vm));
    let report = lists(root.and_then(|()| arguments.lists.read()), &arguments.vm)?;
    print(&report.text).map(|()| report.exit)
}

/// The machine of a VM: this computer's, unless an option says more. A kernel image that can't be read says nothing.
pub fn machine(vm: &VmOptions) -> &'static Machine {
    dry_run::machine_of(vm, vm.kernel_image().ok().flatten()).unwrap_or(MACHINE)
}

/// The output of a check.
#[derive(Clone, Debug)]
pub struct CheckOutput {
    /// The findings, as they are printed. Empty if nothing is known about the VM.
    pub text: String,
    /// The exit status.
    pub exit: Exit,
}

/// Checks lists. Reports the reason if nothing is known about the VM.
pub fn lists(lists: Result<Vec<List>>, vm: &VmOptions) -> Result<CheckOutput> {
    let answer = match lists {
        Ok(lists) => dry_run::run(&lists, vm),
        Err(error) => Answer::Unknown(error),
    };
    let (findings, exit) = match answer {
        Answer::Starts(findings) if vm.deny_warnings && !findings.warnings.is_empty() => (findings, Exit::Failed),
        Answer::Starts(findings) => (findings, Exit::Done),
        Answer::Fails(findings) => (findings, Exit::Failed),
        Answer::Unknown(error) => {
            stderr::report(&error);
            return Ok(CheckOutput { text: String::new(), exit: Exit::Usage });
        }
    };
    Ok(CheckOutput { text: if vm.json { json(&findings)? } else { findings.to_string() }, exit })
}
