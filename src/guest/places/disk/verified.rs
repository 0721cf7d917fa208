//! The disks that are only read through dm-verity, and the devices that verify them.

extern crate alloc;

use alloc::vec::Vec;

use rustix::io::Errno;

use super::layout::Layout;
use super::verity::{HashTree, VerityDevice};
use super::wanted::WantedDisk;
use super::{has_name, whole_path};
use crate::failure::{Code, Failure};
use crate::guest::places::drivers::Drivers;
use crate::request::Request;
use crate::request::extension::{Extension, SERIAL};
use crate::request::kernel::disk_name::{By, DiskName};
use crate::request::verity::Verity;

/// The disks that the command line has verity parameters for, and all devices that verify a disk of this VM.
#[derive(Debug)]
pub struct VerifiedDisks<'a> {
    /// Names, each a serial number or a name below /dev.
    named: Vec<(Vec<u8>, Verity<'a>)>,
    devices: Vec<VerityDevice>,
}

impl<'a> VerifiedDisks<'a> {
    /// The disks of a request. No device is made yet.
    pub fn new(request: &Request<'a>) -> Self {
        let mut named = Vec::new();
        request.verity.iter().for_each(|verified| named.push((verified.disk.to_vec(), verified.verity)));
        for extension in &request.extensions {
            named.extend(extension.verity.map(|verity| ([SERIAL, extension.name].concat(), verity)));
        }
        Self { named, devices: Vec::new() }
    }

    /// The path by which the data of a disk are read: that of a device that verifies them, if the command line has
    /// parameters for the disk. `None`: it has none.
    ///
    /// `name` is the name that the disk at the path `disk` was found by. If the command line has parameters for this
    /// name, they count whatever the disk says: the host answers each question for a serial number anew.
    ///
    /// Failures: those of [`VerityDevice::make`], and [`Code::HashTreeMissing`].
    pub fn path_of(
        &mut self,
        wanted: &WantedDisk<'_>,
        name: &DiskName<'_>,
        disk: &[u8],
        drivers: &mut Drivers<'_>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        if self.named.is_empty() {
            return Ok(None);
        }
        let whole = whole_path(disk);
        let layout = Layout::of(&whole);
        let is_named = |device: &[u8], named: &[u8]| has_name(device, &DiskName { by: By::Serial, value: named });
        let is_itself = |named: &[u8]| name.by == By::Serial && name.value == named || is_named(disk, named);
        let is_it = |(named, _): &&(Vec<u8>, Verity<'_>)| {
            is_itself(named) || is_named(&whole, named) || disk == whole && is_named(&layout.data, named)
        };
        let Some((named, verity)) = self.named.iter().find(is_it) else { return Ok(None) };
        let (verity, layout) = match () {
            () if disk == whole || disk == layout.data => (*verity, layout),
            // Another partition that is named itself has the hash tree behind its data.
            () if is_itself(named) => (*verity, Layout { data: disk.to_vec(), hash_partition: None }),
            () => {
                let reason =
                    "it is on a disk that is verified, but only the first partition of such a disk has a hash tree";
                return Err(wanted.failure(Code::HashTreeMissing, Errno::NOENT, reason));
            }
        };
        let tree = layout.hash_tree(&verity, wanted)?;
        self.make(wanted, verity, &layout.data, tree, drivers).map(Some)
    }

    /// The path by which an extension's data are read.
    ///
    /// Failures: as [`Self::path_of`], and [`Code::ParametersMissing`].
    pub fn path_of_extension(
        &mut self,
        wanted: &WantedDisk<'_>,
        extension: &Extension<'_>,
        disk: &[u8],
        drivers: &mut Drivers<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let layout = Layout::of(disk);
        let verity = extension.parameters_for(layout.hash_partition.is_some());
        let verity = verity.map_err(|(code, reason)| Failure::new(code, wanted.subject, reason))?;
        let Some(verity) = verity else { return Ok(layout.data) };
        let tree = layout.hash_tree(&verity, wanted)?;
        self.make(wanted, verity, &layout.data, tree, drivers)
    }

    /// Makes a device that verifies data, and returns its path.
    ///
    /// Failures: those of [`VerityDevice::make`].
    pub fn make(
        &mut self,
        wanted: &WantedDisk<'_>,
        verity: Verity<'_>,
        data: &[u8],
        tree: HashTree<'_>,
        drivers: &mut Drivers<'_>,
    ) -> Result<Vec<u8>, Failure> {
        if let Some(device) = self.devices.iter().find(|device| device.data() == data) {
            return Ok(device.path());
        }
        let device = VerityDevice::make(wanted, verity, data, tree, drivers)?;
        let path = device.path();
        self.devices.push(device);
        Ok(path)
    }

    /// Whether there is a device.
    pub const fn has_devices(&self) -> bool {
        !self.devices.is_empty()
    }

    /// Leaves the devices to the agent.
    ///
    /// Failure: that of [`VerityDevice::hand_over`].
    pub fn hand_over(&mut self) -> Result<(), Failure> {
        self.devices.drain(..).try_for_each(VerityDevice::hand_over)
    }
}
