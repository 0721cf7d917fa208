//! It never hangs: the VM ends although a module's start never returns, guest-init itself is at fault, or a panic alone
//! would not end it.

use guest_init::failure::Code;

use crate::support::machine::Arch;
use crate::support::scene::{after, boot, small, spinning, with_module};
use crate::support::{Image, Machine, Vm};

/// Makes planning [`many`] names take longer than any deadline here: for each name a text index of 14 MB is read to its
/// end. A shell needs /dev/null for a background job.
const SLOW: &str = "mount -t proc proc /proc; mount -t devtmpfs dev /dev; cd /lib/modules/*; rm -f modules.dep.bin
    yes kernel/b.ko: | head -n 1000000 > modules.dep";

/// A list of 400 names that no index has.
fn many() -> String {
    format!("guest_init.modules=\"{}\"", "a;".repeat(400))
}

/// Lets PID 1 start no more threads.
const NO_MORE_THREADS: &str = "mkdir /g; mount -t cgroup2 g /g; echo +pids > /g/cgroup.subtree_control; mkdir /g/a
    echo 1 > /g/a/pids.max; echo 1 > /g/a/cgroup.procs";

#[test]
fn a_module_whose_start_never_ends_is_named_when_the_deadline_passes() {
    let image = with_module(small(), "dummy", spinning());
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    Vm::new(&image.build())
        .options(["--smp", &(1 + spare).to_string()])
        .append(&format!("{preempt} guest_init.deadline=8 guest_init.modules=\"loop; dummy\""))
        .run()
        .timed_out(Code::DeadlinePassed, "deadline of 8 s: ETIMEDOUT: passed while loading dummy")
        .has("Kernel panic - not syncing: sysrq triggered crash");
}

#[test]
fn without_a_sysrq_trigger_the_deadline_restarts_the_vm() {
    // Not while the kernel itself is busy: with more than one CPU, a restart waits for the first.
    let image = after(&format!("{SLOW}; mount -o bind /proc/version /proc/sysrq-trigger"));
    boot(image, &format!("guest_init.deadline=2 {}", many()))
        .timed_out(Code::DeadlinePassed, "deadline of 2 s: ETIMEDOUT: passed while planning")
        .has("reboot: Restarting system");
}

#[test]
fn a_deadline_whose_thread_cannot_be_started_is_a_failure() {
    let line = "deadline guest_init.deadline: EAGAIN: its thread can't be started";
    boot(after(NO_MORE_THREADS), "").failed(Code::NoWatch, line);
}

#[test]
fn without_a_watch_no_driver_is_loaded_for_the_last_word() {
    // The console's driver would spin for ever, and nothing would end it.
    let Machine { virtio, bus, .. } = Machine::under_test();
    let image = after(NO_MORE_THREADS).modules(&format!("{virtio}; virtio_console"));
    let image = with_module(image, "virtio_console", spinning());
    Vm::new(&image.build())
        .devices(["-device", &format!("virtio-serial-{bus}")])
        .append("console=hvc0")
        .run()
        .failed(Code::NoWatch, "deadline guest_init.deadline: EAGAIN: its thread can't be started");
}

#[test]
fn a_fault_before_the_command_line_is_read_ends_the_vm() {
    // A signal that has its default action is ignored by PID 1, so the first one after guest-init's first lines counts.
    let script = "mount -t proc proc /proc; mount -t devtmpfs dev /dev; (while :; do kill -SEGV 1; done) &";
    Vm::new(&after(script).build())
        .bare()
        .options(["--smp", "2"])
        .append(&format!("console={}", Machine::under_test().arch.serial))
        .run()
        .failed(Code::Bug, "bug in guest-init: EFAULT: SIGSEGV");
}

#[test]
fn pid_1_of_a_container_changes_nothing_of_the_kernel() {
    let script = "mount -t proc proc /proc; mount -t devtmpfs dev /dev
        unshare -p -f -m /sbin/guest-init 2>/said; echo \"<6>status $?, kernel.panic $(cat /proc/sys/kernel/panic)\" >/kmsg
        while read -r line; do echo \"<6>said $line\" >/kmsg; done </said";
    let words = format!("console={} guest_init.agent=/none", Machine::under_test().arch.serial);
    Vm::new(&after(script).build())
        .bare()
        .append(&words)
        .run()
        .has("said guest-init: this is PID 1 of a container")
        .has("status 1, kernel.panic 0")
        .failed(Code::AgentMissing, "start /none: ENOENT: there is no such file");
}

#[test]
fn a_fault_of_guest_init_itself_ends_the_vm() {
    // PID 1 never sees a signal that it does not handle, so the first ones may come too early.
    let image = after(&format!("{SLOW}\n(while sleep 1; do kill -SEGV 1; done) &"));
    boot(image, &many()).failed(Code::Bug, "bug in guest-init: EFAULT: SIGSEGV");
}

#[test]
fn a_fault_ends_the_vm_while_another_thread_is_in_a_module_that_never_ends() {
    // One thread is in the module's start, and the other waits for its end. Each is sent a signal of its own, and the
    // thread that can take one takes it. There is no deadline that could end the VM instead.
    let script = "mount -t proc proc /proc; mount -t devtmpfs dev /dev
        (until grep -q '^dummy .* Loading' /proc/modules; do sleep 1; done
        n=SEGV; for t in /proc/1/task/*; do kill -$n ${t##*/}; n=BUS; done) &";
    let image = after(script).file("/etc/modprobe.d/order.conf", "softdep ifb pre: dummy\n", 0o644);
    let image = with_module(image, "dummy", spinning());
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    Vm::new(&image.build())
        .options(["--smp", &(2 + spare).to_string()])
        .append(&format!("{preempt} guest_init.deadline=0 guest_init.jobs=2 guest_init.modules=ifb"))
        .run()
        .ended(Code::Bug, "bug in guest-init: EFAULT: SIG")
        .has("Kernel panic - not syncing: sysrq triggered crash");
}

#[test]
fn an_index_that_is_cut_short_while_it_is_read_ends_the_vm() {
    let cut = "(until grep -q /modules.dep /proc/1/maps; do sleep 1; done; : > modules.dep) &";
    let line = "bug in guest-init: EFAULT: SIGBUS: perhaps a mapped file was truncated";
    boot(after(&format!("{SLOW}\n{cut}")), &many()).failed(Code::Bug, line);
}

#[test]
fn a_kernel_that_would_wait_for_ever_after_a_panic_is_told_to_restart() {
    let image = Image::new().build();
    let boot = |words: &str| {
        Vm::new(&image).bare().append(&format!("console={} {words}", Machine::under_test().arch.serial)).run()
    };
    boot("guest_init.agent=/none")
        .has("guest-init: kernel.panic was 0, with which a VM waits for ever after a panic: set to -1")
        .failed(Code::AgentMissing, "start /none: ENOENT: there is no such file");
    boot("guest_init.nosuch=1").failed(Code::UnknownKey, "read guest_init.nosuch=1: EINVAL: there is no such key");
}
