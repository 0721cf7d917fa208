//! A virtio-serial port as the channel. The host's end of it is a socket of QEMU's.

use std::path::Path;

use guest_init::failure::Code;

use super::{image, told};
use crate::support::Vm;
use crate::support::listener::{Channel, Listener};
use crate::support::scene::busybox;

#[test]
fn a_start_and_a_failure_are_told() {
    let console = told(Channel::Port, image(), "guest_init.modules=dummy").agent_ran();
    let [message] = console.told() else { panic!("not one message: {:?}\n{console}", console.told()) };
    assert!(message.starts_with("STATUS=agent started\n"), "{message}");
    told(Channel::Port, image(), "guest_init.modules=\"dummy; nosuch\"")
        .failed(Code::UnknownModule, "plan nosuch: ENOENT: no module, alias or built-in of ");
}

#[test]
fn the_agent_can_use_the_port_afterwards() {
    let talk =
        "#!/bin/busybox sh\nset /dev/vport*p1; exec 3<>$1; echo hello >&3; read -r answer <&3; echo \"$answer\"\n";
    let busybox = busybox();
    let image = image().add(Path::new(&busybox), "/bin/busybox").file("/talk", talk, 0o755);
    let console = told(Channel::Port, image, "-- --exec /talk").agent_ran().has("agent: /talk: the host heard hello");
    assert_eq!(console.told().len(), 1, "{console}");
}

#[test]
fn a_port_that_nobody_has_connected_to_is_a_line_of_the_log() {
    let listener = Listener::absent(Channel::Port);
    let console = Vm::new(&image().build()).channel(&listener).append(&listener.word()).run().agent_ran();
    let line = format!("guest-init: notify {}: ETIMEDOUT: nobody is connected there", listener.address());
    console.has(&line).has("Open descriptors: 3");
}

#[test]
fn a_port_of_another_name_is_a_line_of_the_log() {
    let listener = Listener::new(Channel::Port);
    let words = "guest_init.notify=virtio-port:other guest_init.agent=/none";
    let line = "start /none: ENOENT: there is no such file";
    let warning = "guest-init: notify virtio-port:other: ENOENT: no virtio-serial port of this VM has this name";
    let console = Vm::new(&image().build()).channel(&listener).append(words).run().failed(Code::AgentMissing, line);
    console.has(warning);
    assert!(listener.finish().is_empty());
}
