//! The host is told why the VM ends. [`Console::failed`] and its like compare the notification with the last word.
//!
//! [`Console::failed`]: crate::support::Console::failed

use std::fs;

use guest_init::failure::Code;

use super::{image, told};
use crate::support::listener::{Channel, Listener};
use crate::support::machine::Arch;
use crate::support::scene::{after, spinning, with_channels, with_module};
use crate::support::{Machine, Vm, built, message};

/// The offset of the number of program headers in the header of a 64-bit ELF file.
const E_PHNUM: usize = 0x38;

#[test]
fn a_failure_to_mount_is_told() {
    told(Channel::Vsock, image().modules("virtiofs"), "guest_init.modules_file=virtiofs:nowhere:/list")
        .failed(Code::ShareUnknown, "mount virtiofs:nowhere: EINVAL: ");
}

#[test]
fn a_typo_in_the_command_line_is_told() {
    told(Channel::Vsock, image(), "guest_init.modulez=dummy")
        .failed(Code::UnknownKey, "read guest_init.modulez=dummy: EINVAL: there is no such key");
}

#[test]
fn a_failure_to_plan_is_told() {
    told(Channel::Vsock, image(), "guest_init.modules=\"dummy; nosuch; virtio_nte\"")
        .failed(Code::UnknownModule, "plan nosuch, virtio_nte: ENOENT: ");
}

#[test]
fn a_failure_to_load_is_told() {
    told(Channel::Vsock, image(), "guest_init.modules=\"dummy numdummies=many\"")
        .failed(Code::BadParameter, "load dummy: EINVAL: the kernel says: dummy: `many' invalid for parameter");
}

#[test]
fn a_failure_to_start_the_agent_is_told() {
    told(Channel::Vsock, image(), "guest_init.agent=/none")
        .failed(Code::AgentMissing, "start /none: ENOENT: there is no such file");
}

#[test]
fn a_deadline_that_passes_while_a_cpu_spins_is_told_by_a_port() {
    // Vsock needs the kernel's threads of that CPU, so the test of vsock has a PID 1 that sleeps (share/daemon.rs).
    let image = with_module(image(), "dummy", spinning());
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    Vm::new(&image.build())
        .tells(Listener::new(Channel::Port))
        .options(["--smp", &(1 + spare).to_string()])
        .append(&format!("{preempt} guest_init.deadline=8 guest_init.modules=\"loop; dummy\""))
        .run()
        .timed_out(Code::DeadlinePassed, "deadline of 8 s: ETIMEDOUT: passed while loading dummy");
}

#[test]
fn a_crash_of_guest_init_is_told() {
    // The signal comes while a thread is in a module whose start never ends, which is after the channel was opened.
    let script = "mount -t proc proc /proc; mount -t devtmpfs dev /dev
        (until grep -q '^dummy .* Loading' /proc/modules; do sleep 1; done
        n=SEGV; for t in /proc/1/task/*; do kill -$n ${t##*/}; n=BUS; done) &";
    let image = after(script).file("/etc/modprobe.d/order.conf", "softdep ifb pre: dummy\n", 0o644);
    let image = with_module(with_channels(image), "dummy", spinning());
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    Vm::new(&image.build())
        .tells(Listener::new(Channel::Port))
        .options(["--smp", &(2 + spare).to_string()])
        .append(&format!("{preempt} guest_init.deadline=0 guest_init.jobs=2 guest_init.modules=ifb"))
        .run()
        .ended(Code::Bug, "bug in guest-init: EFAULT: SIG");
}

#[test]
fn a_failure_can_follow_a_start() {
    // The kernel does not execute an ELF file without program headers (load_elf_phdrs in fs/binfmt_elf.c).
    let mut agent = fs::read(built().join("demo-agent")).expect("the agent can be read");
    agent[E_PHNUM..][..2].fill(0);
    let listener = Listener::new(Channel::Vsock);
    let console = Vm::new(&image().file("/opt/agent", agent, 0o755).build())
        .channel(&listener)
        .append(&format!("{} guest_init.agent=/opt/agent", listener.word()))
        .run();
    let line = "start /opt/agent: ENOEXEC: no program for this machine";
    let console = console.failed(Code::AgentRefused, line);
    let messages = listener.finish();
    let [started, failed] = &messages[..] else { panic!("not two messages: {messages:?}\n{console}") };
    assert!(started.starts_with("STATUS=agent started\n"), "{started}");
    message::is_last_word(failed, Code::AgentRefused, console.last_word(line));
}
