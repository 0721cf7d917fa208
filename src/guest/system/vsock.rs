//! Addresses of vsock(7), which rustix does not have.

use rustix::net::AddressFamily;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};

/// The address of a vsock (struct sockaddr_vm in include/uapi/linux/vm_sockets.h).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct VsockAddress {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: u8,
    zero: [u8; 3],
}

const _: () = assert!(size_of::<VsockAddress>() == 16);

impl VsockAddress {
    /// The address of a port of a context. Context 2 is the host.
    pub const fn new(cid: u32, port: u32) -> Self {
        Self { family: AddressFamily::VSOCK.as_raw(), reserved: 0, port, cid, flags: 0, zero: [0; 3] }
    }
}

// SAFETY: the pointer is to an address of vsock, all of which is readable during the call.
#[expect(unsafe_code, reason = "an address is passed as raw memory")]
unsafe impl SocketAddrArg for VsockAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        f((&raw const *self).cast(), size_of::<Self>() as SocketAddrLen)
    }
}
