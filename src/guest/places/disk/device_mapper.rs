//! The device mapper: its structures, and the calls of its control device that a verified disk takes
//! (include/uapi/linux/dm-ioctl.h, drivers/md/dm-ioctl.c).

use core::mem::offset_of;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

use crate::request::verity::table::Device;

/// The control device. Its node is in /dev as soon as dm_mod is loaded.
const CONTROL: &str = "/dev/mapper/control";
/// The version of the interface that is asked for. Every kernel of the major version 4 accepts it.
const VERSION: [u32; 3] = [4, 0, 0];
/// The type of the only target that is made.
const VERITY: &[u8; 16] = b"verity\0\0\0\0\0\0\0\0\0\0";
/// The longest parameters of a target, in bytes. Those of a verity target have up to 512 digits of salt, 128 of hash.
const LONGEST: usize = 1024;

/// Flags of [`Header::flags`].
const READ_ONLY: u32 = 1 << 0;
const STATUS_TABLE: u32 = 1 << 4;
const SKIP_LOCKFS: u32 = 1 << 10;
const DEFERRED_REMOVE: u32 = 1 << 17;

/// `struct dm_ioctl`. The kernel fills it on return.
#[repr(C)]
struct Header {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// `struct dm_target_spec`.
#[repr(C)]
struct Target {
    start: u64,
    length: u64,
    status: i32,
    next: u32,
    kind: [u8; 16],
}

/// The argument of every call: a device, and its only target with its parameters as text that ends in a NUL.
#[repr(C)]
struct Call {
    header: Header,
    target: Target,
    parameters: [u8; LONGEST],
}

const _: () = {
    assert!(size_of::<Header>() == 312 && size_of::<Target>() == 40);
    assert!(offset_of!(Header, device) == 40 && offset_of!(Header, name) == 48 && offset_of!(Header, uuid) == 176);
    assert!(offset_of!(Call, target) == 312 && offset_of!(Call, parameters) == 352);
};

/// The number of a call. It has the size of the header, whatever follows that.
const fn number(command: u8) -> Opcode {
    opcode::read_write::<Header>(0xfd, command)
}

const CREATE: Opcode = number(3);
const REMOVE: Opcode = number(4);
const SUSPEND: Opcode = number(6);
const TABLE_LOAD: Opcode = number(9);
const TABLE_STATUS: Opcode = number(12);

/// The open control device.
#[derive(Debug)]
pub struct DeviceMapper(OwnedFd);

impl DeviceMapper {
    /// Opens the control device.
    pub fn open() -> io::Result<Self> {
        open(CONTROL, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map(Self)
    }

    /// Makes a device without a table, and returns its numbers. A name has at most 127 bytes and no `/`.
    pub fn create(&self, name: &str) -> io::Result<Device> {
        let mut call = Call::of(name, 0)?;
        self.call::<CREATE>(&mut call)?;
        let number = call.header.device;
        // huge_encode_dev in include/linux/kdev_t.h.
        let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
        Ok(Device { major: major as u32, minor: minor as u32 })
    }

    /// Loads a read-only table of one verity target of so many sectors of 512 bytes, which counts from the next
    /// [`Self::resume`] on.
    pub fn load(&self, name: &str, sectors: u64, parameters: &str) -> io::Result<()> {
        let mut call = Call::of(name, READ_ONLY)?;
        call.header.target_count = 1;
        call.target.length = sectors;
        call.target.kind = *VERITY;
        copy(parameters, &mut call.parameters)?;
        self.call::<TABLE_LOAD>(&mut call)
    }

    /// Puts the loaded table in the place of the present one, without waiting for a file system on the device.
    pub fn resume(&self, name: &str) -> io::Result<()> {
        self.call::<SUSPEND>(&mut Call::of(name, SKIP_LOCKFS)?)
    }

    /// Whether the present table of a device is one verity target with these parameters.
    pub fn has(&self, name: &str, sectors: u64, parameters: &str) -> io::Result<bool> {
        let mut call = Call::of(name, STATUS_TABLE)?;
        self.call::<TABLE_STATUS>(&mut call)?;
        let text = call.parameters.split(|&b| b == 0).next().unwrap_or_default();
        let is_alone = (call.header.target_count, call.target.start, call.target.length) == (1, 0, sectors);
        Ok(is_alone && call.target.kind == *VERITY && text == parameters.as_bytes())
    }

    /// Removes a device. The error of one that is in use is EBUSY.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.call::<REMOVE>(&mut Call::of(name, 0)?)
    }

    /// Has the kernel remove a device when nobody uses it any more.
    pub fn remove_after_use(&self, name: &str) -> io::Result<()> {
        self.call::<REMOVE>(&mut Call::of(name, DEFERRED_REMOVE)?)
    }

    /// Makes one call.
    #[expect(unsafe_code, reason = "the kernel reads and writes the argument as the call's number says")]
    fn call<const NUMBER: Opcode>(&self, call: &mut Call) -> io::Result<()> {
        // SAFETY: the calls of the device mapper take a `struct dm_ioctl`, which `Header` is. The kernel reads and
        // writes `data_size` bytes from its start, the size of `Call`, and every bit pattern is a valid `Call`.
        unsafe { ioctl(&self.0, Updater::<NUMBER, Call>::new(call)) }
    }
}

impl Call {
    /// A call about the device with a name.
    fn of(device: &str, flags: u32) -> io::Result<Self> {
        let mut name = [0; 128];
        copy(device, &mut name)?;
        let header = Header {
            version: VERSION,
            data_size: size_of::<Self>() as u32,
            data_start: size_of::<Header>() as u32,
            target_count: 0,
            open_count: 0,
            flags,
            event: 0,
            padding: 0,
            device: 0,
            name,
            uuid: [0; 129],
            data: [0; 7],
        };
        let target = Target { start: 0, length: 0, status: 0, next: 0, kind: [0; 16] };
        Ok(Self { header, target, parameters: [0; LONGEST] })
    }
}

/// Copies text into room for it and for the NUL at its end.
fn copy(text: &str, room: &mut [u8]) -> io::Result<()> {
    let room = room.get_mut(..=text.len()).and_then(|room| room.get_mut(..text.len()));
    room.ok_or(io::Errno::TOOBIG)?.copy_from_slice(text.as_bytes());
    Ok(())
}
