//! The demonstration agent: it shows what an agent finds when guest-init has started it.
//!
//! It prints `agent: ready`, performs the actions of its arguments in their order, prints a report (its process,
//! mounts, descriptors, modules with their parameters, network devices, memory, time) and `agent: done`, and ends the
//! VM. The result of each action is one line, from `agent: ` to `ok` or the name of an errno. The boot tests read all
//! these lines.
//!
//! ```text
//! --exec PROGRAM ARG… [;]      run PROGRAM with the arguments up to a lone `;` or the end; each line of its
//!                              output as `agent: PROGRAM: LINE`, then `agent: exec PROGRAM: exit N` or `signal N`
//! --finit PATH                 finit_module(2) without parameters
//! --mount TYPE SOURCE TARGET   make the directory TARGET, and mount(2) there
//! --socket FAMILY TYPE PROTO   socket(2) by numbers
//! --vsock CID PORT LINE        connect a stream to a port of CID and send LINE; the first line of the answer as
//!                              `agent: vsock CID PORT: ANSWER`, then `agent: vsock CID PORT: ok`
//! --cat PATH                   the first 64 KiB as `agent: PATH: LINE`, then `agent: cat PATH: ok`
//! --reap                       from now on a thread collects every child that ends, as kata-agent's handler of
//!                              SIGCHLD does, and --exec waits 3 ms after the end of the output
//! --quiet                      print no report
//! --reboot                     end with a restart; QEMU ends then if it was started with -no-reboot
//! --exit N                     end with the exit status N, 0 to 255 in decimal; if PID 1 does, the kernel panics
//!                              with exitcode=0x0000NN00, where NN is N in hexadecimal
//! ```
//!
//! Other arguments appear in the report and have no effect. Of several ends the last one counts, and without one the
//! agent powers off. A machine without ACPI (`-M microvm,acpi=off`, Firecracker) cannot power off: the kernel logs
//! `System halted`, and QEMU goes on for ever. Use `--reboot` there, with `reboot=t` on the kernel command line, which
//! is a triple fault: it needs no device, while the default tries the keyboard controller for some seconds first. As
//! another process than PID 1 the agent never ends the machine, and exits with N or 0.
//!
//! If the environment has `agent_report=DEVICE`, the agent prints to that device instead of the console.
//!
//! `arguments` parses, `actions` performs, and `report` prints, with a file for each larger section. This file owns the
//! order of all that, and the end.

#![deny(unsafe_code)]

mod actions;
mod arguments;
mod channel;
mod clock;
mod modules;
mod network;
mod reaper;
mod report;
mod text;
mod vsock;

use arguments::{End, Request};
use nix::sys::reboot::RebootMode;
use std::process::ExitCode;

fn main() -> ExitCode {
    let started = clock::now();
    let arguments: Vec<_> = std::env::args_os().collect();
    let request = Request::parse(&arguments);
    // The report's times end here. The rest is this program's own work.
    let marked = !request.quiet && clock::mark();
    let descriptors = report::open_descriptors();
    channel::open();

    text::print_line("agent: ready");
    // An action can end the VM.
    text::drain();
    for action in &request.actions {
        actions::perform(action);
    }
    if !request.quiet {
        report::print(&arguments, &descriptors, started, marked);
    }
    text::print_line("agent: done");
    end(request.end)
}

/// Ends the VM as requested. If this process is not PID 1, it ends alone.
fn end(end: End) -> ExitCode {
    text::drain();
    let mode = match end {
        End::Exit(status) => return ExitCode::from(status),
        _ if std::process::id() != 1 => return ExitCode::SUCCESS,
        End::Restart => RebootMode::RB_AUTOBOOT,
        End::PowerOff => RebootMode::RB_POWER_OFF,
    };
    rustix::fs::sync();
    // On success reboot(2) does not return. If it is not allowed (EPERM), the exit makes the kernel panic.
    let Err(errno) = nix::sys::reboot::reboot(mode);
    text::print_line(&format!("agent: {mode:?}: {errno:?}"));
    ExitCode::FAILURE
}
