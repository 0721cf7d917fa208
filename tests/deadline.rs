//! It never hangs: what ends a VM in which time passes, guest-init itself is at fault, or a panic alone would not end it.

mod support;

use guest_init::failure::Code;
use support::machine::Arch;
use support::scene::{after, boot, small, spinning, with_module};
use support::{Image, Machine, Vm};

/// Makes a plan take seconds: a text index of 14 MB, which is looked through for each name. A shell's background job wants
/// a /dev/null.
const SLOW: &str = "mount -t devtmpfs dev /dev; cd /lib/modules/*; rm -f modules.dep.bin; yes kernel/b.ko: | head -n 1000000 > modules.dep";

/// Has PID 1 start no more threads.
const NO_MORE_THREADS: &str = "mkdir /g; mount -t cgroup2 g /g; echo +pids > /g/cgroup.subtree_control; mkdir /g/a
    echo 1 > /g/a/pids.max; echo 1 > /g/a/cgroup.procs";

#[test]
fn a_module_whose_start_never_ends() {
    let image = with_module(small(), "dummy", spinning());
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    Vm::new(&image.build())
        .options(["--smp", &(1 + spare).to_string()])
        .append(&format!("{preempt} guest_init.deadline=3 guest_init.modules=\"loop; dummy\""))
        .run()
        .timed_out(Code::DeadlinePassed, "deadline of 3 s: ETIMEDOUT: passed while loading dummy")
        .has("Kernel panic - not syncing: sysrq triggered crash");
}

#[test]
fn without_a_sysrq_trigger_the_deadline_restarts_the_vm() {
    // Not while the kernel itself is busy: with more than one CPU, a restart waits for the first.
    let image = after(&format!("mount -t proc proc /proc; mount -o bind /proc/version /proc/sysrq-trigger; {SLOW}"));
    boot(image, &format!("guest_init.deadline=2 guest_init.modules=\"{}\"", "a;".repeat(400)))
        .timed_out(Code::DeadlinePassed, "deadline of 2 s: ETIMEDOUT: passed while planning")
        .has("reboot: Restarting system");
}

#[test]
fn a_watch_that_cannot_be_started() {
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
fn a_fault_of_guest_init_itself() {
    let image = after(&format!("{SLOW}\n(sleep 1; kill -SEGV 1) &"));
    boot(image, &format!("guest_init.modules=\"{}\"", "a;".repeat(400)))
        .failed(Code::Bug, "bug in guest-init: EFAULT: SIGSEGV");
}

#[test]
fn a_fault_beside_a_module_whose_start_never_ends() {
    // One thread is in the module's start, the other waits for its end. Each is sent a signal of its own, and the one that
    // can takes it. Nobody watches.
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
fn an_index_that_is_cut_short_while_it_is_read() {
    let image = after(&format!("{SLOW}\n(sleep 1; : > modules.dep) &"));
    let line = "bug in guest-init: EFAULT: SIGBUS: perhaps a mapped file was truncated";
    boot(image, &format!("guest_init.modules=\"{}\"", "a;".repeat(400))).failed(Code::Bug, line);
}

#[test]
fn a_kernel_that_would_wait_for_ever_after_a_panic() {
    let image = Image::new().build();
    let boot = |words: &str| {
        Vm::new(&image).bare().append(&format!("console={} {words}", Machine::under_test().arch.serial)).run()
    };
    boot("guest_init.agent=/none")
        .has("guest-init: kernel.panic was 0, with which a VM waits for ever after a panic: set to -1")
        .failed(Code::AgentMissing, "start /none: ENOENT: there is no such file");
    boot("guest_init.nosuch=1").failed(Code::UnknownKey, "read guest_init.nosuch=1: EINVAL: there is no such key");
}
