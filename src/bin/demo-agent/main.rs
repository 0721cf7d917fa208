//! The demonstration agent: what a user's own agent would find, were it started by guest-init.
//!
//! It prints `agent: ready`, does what its arguments ask for in order, reports what it finds (who
//! it is, mounts, descriptors, modules and their parameters, network devices, memory, time), prints
//! `agent: done` and ends the VM. The tests of the boot read the same lines, so each action's
//! result is one line that begins with `agent: ` and ends in `ok` or the errno's name.
//!
//! ```text
//! --exec PROGRAM ARG… [;]      run it, up to a lone `;` or the end; its output as `agent: PROGRAM:
//!                              LINE`, then `agent: exec PROGRAM: exit N`, or `signal N`
//! --finit PATH                 finit_module(2) without parameters
//! --mount TYPE SOURCE TARGET   make the directory TARGET, mount(2) there
//! --socket FAMILY TYPE PROTO   socket(2) by number
//! --cat PATH                   its first 64 KiB as `agent: PATH: LINE`, then `agent: cat PATH: ok`
//! --quiet                      no report
//! --reboot                     end by a restart; QEMU ends there when given -no-reboot
//! --exit N                     end by exiting with N, 0-255, decimal; the kernel makes a panic of
//!                              it if PID 1 does, exitcode=0x0000NN00 with N in hex
//! ```
//!
//! Any other argument is shown in the report and means nothing. The end that was named last counts;
//! with none named it is a power-off. Without ACPI (`-M microvm,acpi=off`, Firecracker) a machine
//! has no power-off: the kernel says `System halted` and QEMU goes on for ever. Use `--reboot`
//! there, with `reboot=t` on the kernel's command line: a triple fault, which needs no device and
//! ends at once, where the default tries the keyboard controller first, for some seconds. Run as
//! another process than PID 1 it never ends the machine: it exits with N, or 0.
//!
//! `actions` does, `report` and the files beside it tell; `arguments` is pure. This file owns the
//! order and the end.

#![deny(unsafe_code)]

mod actions;
mod arguments;
mod channel;
mod clock;
mod modules;
mod network;
mod report;
mod text;

use arguments::{End, Request};
use nix::sys::reboot::RebootMode;
use std::process::ExitCode;

fn main() -> ExitCode {
    let started = clock::now();
    let arguments: Vec<_> = std::env::args_os().collect();
    let request = Request::parse(&arguments);
    // A report's times end here: what follows is this program's own work.
    let marked = !request.quiet && clock::mark();
    let descriptors = report::open_descriptors();
    channel::open();

    text::say("agent: ready");
    for action in &request.actions {
        actions::perform(action);
    }
    if !request.quiet {
        report::print(&arguments, &descriptors, started, marked);
    }
    text::say("agent: done");
    end(request.end)
}

/// Ends the VM as asked, or only this process where that is not PID 1.
fn end(end: End) -> ExitCode {
    text::drain();
    let mode = match end {
        End::Exit(status) => return ExitCode::from(status),
        _ if std::process::id() != 1 => return ExitCode::SUCCESS,
        End::Restart => RebootMode::RB_AUTOBOOT,
        End::PowerOff => RebootMode::RB_POWER_OFF,
    };
    rustix::fs::sync();
    // Success does not return. Where it is not allowed (EPERM) the exit makes the kernel panic.
    let Err(errno) = nix::sys::reboot::reboot(mode);
    text::say(&format!("agent: {mode:?}: {errno:?}"));
    ExitCode::FAILURE
}
