//! guest-init(8): command lines.

/// Command lines, each behind its meaning.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "Two modules, one with parameters, and the agent at another path, with an argument:",
        "rdinit=/sbin/guest-init guest_init.modules=\"e1000e copybreak=256; i915\" guest_init.agent=/usr/bin/agent -- \
         --verbose",
    ),
    (
        "The drivers for this VM's devices, and a module that may be missing, two at a time:",
        "rdinit=/sbin/guest-init guest_init.modules=\"@devices; ?nvidia\" guest_init.jobs=2",
    ),
    (
        "The agent is on a disk, which the initramfs leads to:",
        "rdinit=/sbin/guest-init root=LABEL=system rootfstype=ext4 ro rootwait \
         guest_init.agent=/usr/lib/systemd/systemd",
    ),
    ("The kernel itself mounts the root, and guest-init is on it:", "init=/sbin/guest-init root=/dev/vda1 rw"),
    (
        "The list is a file on a share of the host, and the root is another share:",
        "rdinit=/sbin/guest-init guest_init.modules_file=virtiofs:config:/modules.list root=rootfs \
         rootfstype=virtiofs rw",
    ),
    (
        "The host hears on a vsock port whether the agent was started, and a wrong parameter ends the VM:",
        "rdinit=/sbin/guest-init guest_init.modules=e1000e guest_init.notify=vsock-stream:2:9999 guest_init.strict=1",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use guest_init::failure::{Failure, Report};
    use guest_init::request::Request;

    #[test]
    fn every_example_is_a_command_line_that_guest_init_takes() {
        for (meaning, line) in EXAMPLES {
            let mut ignore = |_: &Failure| {};
            let mut report = Report::new(&mut ignore);
            Request::parse(line.as_bytes(), &mut report);
            let verdict = report.verdict();
            assert!(verdict.is_ok(), "{meaning} {line}: {verdict:?}");
        }
    }
}
