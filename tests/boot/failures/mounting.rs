//! Mounting fails: codes 0x1_.

use guest_init::failure::Code;

use super::boot;
use crate::support::scene::{self, BARE, after, small};

#[test]
fn a_mount_point_that_is_a_file_is_a_failure() {
    let image = small().layout(BARE).file("/proc", "", 0o644);
    scene::boot(image, "guest_init.modules=dummy")
        .failed(Code::MountFailed, "mount /proc: ENOTDIR: can't mount proc there");
}

#[test]
fn no_console_and_no_dev_null_is_a_failure() {
    let image = after("mount -t devtmpfs dev /dev; rm /dev/console /dev/null");
    let line = "mount /dev/console: ENOENT: neither it nor /dev/null can be opened";
    boot(image, "").failed(Code::NoConsole, line);
}
