//! A daemon that stops or dies while its share is used: the deadline ends the VM. More modules than memory: the kernel
//! does.

use std::path::Path;

use guest_init::failure::Code;

use super::{drivers_only, image};
use crate::support::daemon::Daemon;
use crate::support::listener::Channel;
use crate::support::machine::Arch;
use crate::support::scene::{after, directory, with_channels};
use crate::support::{Console, Kernel, Machine, Vm};

/// Boots with a share, and does something to its daemon as soon as a line of the console contains `when`.
fn with_daemon(vm: Vm, source: &Path, words: &str, when: &str, act: fn(&Daemon)) -> Console {
    let daemon = Daemon::virtiofsd(source);
    vm.options(["--share-socket", &daemon.share("kataShared")]).append(words).watched(|line| {
        if line.contains(when) {
            act(&daemon);
        }
        // On its way out QEMU waits for its daemon, even for one that is stopped.
        if line.contains("Kernel panic") {
            daemon.kill();
        }
    })
}

const LIST: &str = "guest_init.deadline=10 guest_init.modules_file=virtiofs:kataShared:/list";
const MOUNTING: &str = "deadline of 10 s: ETIMEDOUT: passed while mounting virtiofs:kataShared";

/// Boots with a daemon that is stopped before the mount, so that the deadline passes while PID 1 sleeps in the kernel.
fn with_stopped_daemon(channel: Channel) {
    // The drivers come first: QEMU itself waits for its daemon while a driver sets the device up, and the VM with it.
    let script = "modprobe virtio_pci; modprobe virtiofs; echo '<6>ready' >/kmsg; sleep 3";
    let image = with_channels(after(script).modules("virtiofs; virtio_pci"));
    let share = directory(&[("list", b"dummy")]);
    with_daemon(Vm::telling_by(channel, image), share.path(), LIST, "] ready", Daemon::stop)
        .timed_out(Code::DeadlinePassed, MOUNTING);
}

#[test]
fn a_daemon_that_is_stopped_before_the_mount_lets_the_deadline_pass() {
    with_stopped_daemon(Channel::Port);
}

#[test]
fn a_deadline_that_passes_while_pid_1_sleeps_in_the_kernel_is_told_by_vsock() {
    with_stopped_daemon(Channel::Vsock);
}

#[test]
fn a_daemon_that_is_killed_before_the_mount_lets_the_deadline_pass() {
    let share = directory(&[("list", b"dummy")]);
    let vm = Vm::telling(image());
    with_daemon(vm, share.path(), LIST, "Linux version", Daemon::kill).timed_out(Code::DeadlinePassed, MOUNTING);
}

/// Does something to the daemon when guest-init begins to load the third module. The modules behind it have some 20 MB,
/// so most of them are still to be read.
fn while_modules_are_read(act: fn(&Daemon)) {
    let words = format!(
        "guest_init.deadline=15 guest_init.log=debug guest_init.module_dir=virtiofs:kataShared:/ \
         guest_init.modules=\"dummy;{};xfs;btrfs;nouveau;amdgpu\"",
        Machine::under_test().arch.graphics
    );
    let modules = Kernel::under_test().directory.join("lib/modules");
    with_daemon(Vm::telling(drivers_only()), &modules, &words, "/i2c-algo-bit.ko", act)
        .timed_out(Code::DeadlinePassed, "deadline of 15 s: ETIMEDOUT: passed while loading ");
}

#[test]
fn a_daemon_that_is_stopped_while_modules_are_read_lets_the_deadline_pass() {
    while_modules_are_read(Daemon::stop);
}

#[test]
fn a_daemon_that_is_killed_while_modules_are_read_lets_the_deadline_pass() {
    while_modules_are_read(Daemon::kill);
}

#[test]
fn modules_that_do_not_fit_into_memory_panic_the_kernel() {
    let kernel = Kernel::under_test();
    let Arch { graphics, tight, .. } = Machine::under_test().arch;
    // Loading as much takes longer than the default deadline on a busy machine.
    let words = format!(
        "guest_init.deadline=200 guest_init.module_dir=virtiofs:kataShared:/ guest_init.modules=\"xfs;btrfs;ocfs2;\
         {graphics};nouveau;amdgpu;radeon;?vmwgfx;mlx5_core;qed;ath11k;iwlmvm\""
    );
    let share = format!("kataShared={}", kernel.directory.join("lib/modules").display());
    Vm::new(&drivers_only().build())
        .options(["--memory", tight, "--share", &share])
        .append(&words)
        .run()
        .has("Kernel panic - not syncing: System is deadlocked on memory")
        .has_not("agent: ready")
        .in_time();
}
