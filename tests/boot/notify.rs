//! The host is told: `guest_init.notify=`, by vsock and by a virtio-serial port, to a listener on the host.
//!
//! Each kernel here has vsock as modules, so guest-init loads them. No kernel of Debian's has vsock built in.

mod failures;
mod listeners;
mod port;
mod receivers;
mod started;

use crate::support::listener::{Channel, Listener};
use crate::support::scene::{small, with_channels};
use crate::support::{Console, Image, Vm};

/// An image with some small modules and the drivers of both channels.
fn image() -> Image {
    with_channels(small())
}

/// Boots with a listener at the other end of the channel, which must hear what the console says.
fn told(channel: Channel, image: Image, words: &str) -> Console {
    Vm::new(&image.build()).tells(Listener::new(channel)).append(words).run()
}
