//! The host is told that the agent was started, by each form of the key, and the agent finds the channel unused.

use std::time::Duration;

use guest_init::notification::Notification;

use super::{image, told};
use crate::support::listener::{Channel, Listener, PORT};
use crate::support::{Console, Image, Kernel, Machine, Vm};

/// Boots with a vsock device and these words, and returns the console and the messages that arrived.
fn with_vsock(words: &str) -> (Console, Vec<String>) {
    let listener = Listener::new(Channel::Vsock);
    let console = Vm::new(&image().build()).channel(&listener).append(words).run().agent_ran();
    (console, listener.finish())
}

#[test]
fn the_notification_has_the_agent_the_modules_and_the_times() {
    let console = told(Channel::Vsock, image(), "guest_init.modules=\"loop; dummy\"");
    let console = console.agent_ran().has("guest-init: modules loaded: 2, for the list");
    let [message] = console.told() else { panic!("not one message: {:?}\n{console}", console.told()) };
    let read = Notification::read(message.as_bytes());
    let Some(Notification::Started { agent, modules, total, loading, since_boot }) = read else {
        panic!("not of a start: {message}");
    };
    assert_eq!((agent, modules), (&b"/sbin/agent"[..], 2), "{message}");
    assert!(Duration::ZERO < loading && loading < total && total < since_boot, "{message}");
    // The agent's clocks: the second one starts before the command line is read.
    assert!(since_boot < milliseconds(&console, "kernel's start to now"), "{message}\n{console}");
    assert!(total < milliseconds(&console, "PID 1's start to now"), "{message}\n{console}");
    assert_eq!(read.map(|read| read.to_string()).as_ref(), Some(message));
}

/// A time of the agent's report.
fn milliseconds(console: &Console, name: &str) -> Duration {
    let line = console.report().find_map(|line| line.trim_start().strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()).expect("the report has the time");
    Duration::from_secs_f64(number.parse::<f64>().expect("a number") / 1000.0)
}

#[test]
fn no_descriptor_is_left_open() {
    let console = told(Channel::Vsock, image(), "guest_init.modules=dummy").agent_ran();
    assert_eq!(console.told().len(), 1, "{console}");
    console.has("Open descriptors: 3");
    let console = told(Channel::Port, image(), "guest_init.modules=dummy").agent_ran();
    assert_eq!(console.told().len(), 1, "{console}");
    console.has("Open descriptors: 3");
}

#[test]
fn a_stream_and_a_credential_reach_the_same_port() {
    let words = [
        format!("guest_init.notify=vsock-stream:2:{PORT}"),
        format!("systemd.set_credential=vmm.notify_socket:vsock-stream:2:{PORT}"),
        // The key counts, and nobody listens on the credential's port.
        format!("systemd.set_credential=vmm.notify_socket:vsock:2:1 guest_init.notify=vsock:2:{PORT}"),
    ];
    for words in words {
        let (console, messages) = with_vsock(&words);
        assert!(messages.len() == 1 && messages[0].starts_with("STATUS=agent started\n"), "{messages:?}\n{console}");
    }
}

#[test]
fn a_type_that_the_device_does_not_have_is_a_line_of_the_log() {
    for kind in ["vsock-seqpacket", "vsock-dgram"] {
        let (console, messages) = with_vsock(&format!("guest_init.notify={kind}:2:{PORT}"));
        assert!(messages.is_empty(), "{messages:?}");
        let mut lines = console.log().filter(|line| line.contains(&format!("guest-init: notify {kind}:2:{PORT}: E")));
        assert!(lines.next().is_some_and(|line| line.ends_with(": the host is not notified")), "{console}");
    }
}

#[test]
fn several_jobs_and_a_list_that_names_the_channels_drivers_change_nothing() {
    let virtio = Machine::under_test().virtio;
    let listener = Listener::new(Channel::Vsock);
    let list = format!("{virtio}; dummy; vmw_vsock_virtio_transport nosuch=1; ifb");
    let console = Vm::new(&image().build())
        .tells(listener)
        .options(["--smp", "2"])
        .append(&format!("guest_init.jobs=2 guest_init.modules=\"{list}\""))
        .run()
        .agent_ran();
    assert_eq!(console.told().len(), 1, "{console}");
    let console = console.has("vmw_vsock_virtio_transport nosuch=1: ENOENT: the module is there already");
    assert!(["dummy", "ifb"].iter().all(|name| console.modules().contains(name)), "{console}");
}

#[test]
fn the_agent_can_use_vsock_afterwards() {
    let console = told(Channel::Vsock, image(), &format!("-- --vsock 2 {PORT} hello")).agent_ran();
    let console = console.has(&format!("agent: vsock 2 {PORT}: the host heard hello"));
    assert_eq!(console.told().len(), 1, "{console}");
}

#[test]
fn a_driver_that_the_list_loads_from_a_share_opens_the_channel() {
    let modules = Kernel::under_test().directory.join("lib/modules");
    let listener = Listener::new(Channel::Vsock);
    let image = Image::new().modules(&format!("virtiofs; {}", Machine::under_test().virtio)).build();
    let words = "guest_init.module_dir=virtiofs:kataShared:/ guest_init.modules=vmw_vsock_virtio_transport";
    Vm::new(&image)
        .options(["--share", &format!("kataShared={}", modules.display())])
        .tells(listener)
        .append(words)
        .run()
        .agent_ran()
        .has_not("guest-init: notify");
}
