//! Whatever a listener does, or the channel lacks, the boot goes on within bounds, and the log has a line.

use guest_init::failure::Code;

use super::image;
use crate::support::image::Built;
use crate::support::listener::{Channel, Listener, Manner};
use crate::support::machine::Arch;
use crate::support::message;
use crate::support::scene::{small, spinning, with_module};
use crate::support::{Console, Machine, Vm};

/// Seconds that a VM may lose on a busy host, beside those that guest-init waits.
const SLACK: f64 = 4.0;
const NOBODY: &str = "guest-init: notify vsock:2:9999: ETIMEDOUT: nobody is connected there: the host is not notified";
const UNCONFIRMED: &str = "guest-init: notify vsock:2:9999: sent, and not confirmed by the host";
const FAILING: &str = "guest_init.modules=dummy guest_init.agent=/none";
const LINE: &str = "start /none: ENOENT: there is no such file";

/// A VM with the device of a listener's channel, and with a list.
fn vm(image: &Built, listener: &Listener) -> Vm {
    let words = format!("guest_init.log=debug guest_init.modules=dummy {}", listener.word());
    Vm::new(image).channel(listener).append(&words)
}

/// Asserts that the agent ran, and that the notification before it took this time, in seconds, by the guest's clock.
fn started_after(console: Console, least: f64) -> Console {
    let console = console.agent_ran();
    let time = console.between("guest-init: activity: on the way to the agent", "guest-init: executing ");
    assert!(least <= time && time < least + SLACK, "{time}\n{console}");
    console
}

#[test]
fn nobody_listens() {
    let listener = Listener::absent(Channel::Vsock);
    let image = image().build();
    started_after(vm(&image, &listener).run(), 0.25).has(NOBODY);
    let console = Vm::new(&image).channel(&listener).append(&format!("{} {FAILING}", listener.word())).run();
    console.failed(Code::AgentMissing, LINE).has(NOBODY);
}

#[test]
fn a_listener_that_closes_a_whole_message_lets_the_vm_go_on_at_once() {
    let listener = Listener::new(Channel::Vsock);
    started_after(vm(&image().build(), &listener).run(), 0.0).has_not("guest-init: notify");
    assert_eq!(listener.finish().len(), 1);
}

#[test]
fn a_listener_that_never_reads() {
    let listener = Listener::with_manner(Channel::Vsock, Manner::NeverReads);
    started_after(vm(&image().build(), &listener).run(), 0.5).has(UNCONFIRMED);
}

#[test]
fn a_listener_that_never_closes() {
    let listener = Listener::with_manner(Channel::Vsock, Manner::NeverCloses);
    let image = image().build();
    started_after(vm(&image, &listener).run(), 0.5).has(UNCONFIRMED);
    let console = Vm::new(&image).channel(&listener).append(&format!("{} {FAILING}", listener.word())).run();
    let console = console.failed(Code::AgentMissing, LINE).has(UNCONFIRMED);
    let messages = listener.finish();
    assert_eq!(messages.len(), 2, "{messages:?}");
    message::is_last_word(&messages[1], Code::AgentMissing, console.last_word(LINE));
}

#[test]
fn a_listener_that_closes_at_once() {
    // Whether the guest hears of that before it has sent the message is chance.
    let listener = Listener::with_manner(Channel::Vsock, Manner::ClosesAtOnce);
    started_after(vm(&image().build(), &listener).run(), 0.0);
}

/// Boots, and lets the listener come when the list is about to be loaded, which is after the channel was opened. The
/// modules behind the first give the listener time.
fn come_late(listener: &Listener, words: &str) -> Console {
    let words = format!("guest_init.modules=ext4;virtio_net;ifb;loop {words}");
    vm(&image().build(), listener).append(&words).watched(|line| {
        if line.contains("/dummy.ko") {
            listener.arrive(Manner::Reads);
        }
    })
}

#[test]
fn a_listener_that_comes_late_hears_of_what_follows() {
    for channel in [Channel::Vsock, Channel::Port] {
        let listener = Listener::absent(channel);
        let console = come_late(&listener, "guest_init.agent=/none").failed(Code::AgentMissing, LINE);
        let messages = listener.finish();
        assert_eq!(messages.len(), 1, "{messages:?}\n{console}");
        message::is_last_word(&messages[0], Code::AgentMissing, console.last_word(LINE));
    }
}

#[test]
fn a_back_end_that_stops_answering() {
    let listener = Listener::new(Channel::Vsock);
    let back_end = listener.back_end();
    let socket = back_end.socket.to_str().expect("a path in UTF-8");
    let words = format!("guest_init.log=debug guest_init.modules=dummy {}", listener.word());
    let vm = Vm::new(&image().build()).options(["--vsock-socket", socket]).append(&words).watched(|line| {
        if line.contains("/dummy.ko") {
            back_end.stop();
        }
        // On its way out QEMU waits for its back end, even for one that is stopped.
        if line.contains("guest-init: executing ") {
            back_end.kill();
        }
    });
    started_after(vm, 0.25).has(NOBODY);
}

#[test]
fn a_vm_without_the_device_or_its_driver() {
    let listener = Listener::new(Channel::Vsock);
    let image = image().build();
    let not_notified = |vm: Vm, reason: &str| {
        let line = format!("guest-init: notify vsock:2:9999: {reason}: the host is not notified");
        vm.append(&listener.word()).run().agent_ran().has(&line);
    };
    let missing = "EAFNOSUPPORT: this VM has no vsock device, or neither the kernel nor the image has its driver";
    not_notified(Vm::new(&image), missing);
    not_notified(Vm::new(&image).channel(&listener).append("modprobe.blacklist=vmw_vsock_virtio_transport"), missing);
    // The kernel asks modprobe for a protocol that it does not have. With vsock_loopback the VM is its own host.
    let without_driver = small().modules(&format!("{}; vsock_loopback", Machine::under_test().virtio)).build();
    not_notified(Vm::new(&without_driver).channel(&listener), "ECONNRESET: nobody listens there");
    assert!(listener.finish().is_empty());
}

#[test]
fn a_driver_that_hangs_lets_the_deadline_pass() {
    let listener = Listener::new(Channel::Vsock);
    let image = with_module(image(), "vmw_vsock_virtio_transport", spinning());
    let Arch { preempt, spare, .. } = Machine::under_test().arch;
    Vm::new(&image.build())
        .channel(&listener)
        .options(["--smp", &(1 + spare).to_string()])
        .append(&format!("{preempt} guest_init.deadline=8 {}", listener.word()))
        .run()
        .timed_out(Code::DeadlinePassed, "deadline of 8 s: ETIMEDOUT: passed while loading vmw_vsock_virtio_transport");
}
