//! A root that `roothash=` verifies, in systemd's dialect: the disks with the data and with the hash tree are found,
//! and the superblock in front of the tree has the parameters (systemd-veritysetup-generator(8)).

extern crate alloc;

use alloc::vec::Vec;

use rustix::io;

use super::root::disk_name;
use crate::failure::{Code, Failure};
use crate::guest::places::disk::layout::first_bytes;
use crate::guest::places::disk::verified::VerifiedDisks;
use crate::guest::places::disk::verity::HashTree;
use crate::guest::places::disk::wanted::WantedDisk;
use crate::guest::places::drivers::Drivers;
use crate::request::kernel::disk_name::{By, DiskName};
use crate::request::kernel::root::Root;
use crate::request::verity::discovery::uuids;
use crate::request::verity::superblock::Superblock;
use crate::text::Shown;

/// The path of a verified root, by which `root=` names it beside `roothash=`.
const MAPPED: &[u8] = b"/dev/mapper/root";

/// Finds the two disks, and returns the path of the device that verifies the data.
///
/// Failures: [`Code::RootUnclear`], [`Code::RootMissing`], [`Code::RootAmbiguous`], [`Code::HashTreeMissing`], and
/// those of [`VerifiedDisks::make`].
pub fn find(
    root: &Root<'_>,
    wanted: &WantedDisk<'_>,
    drivers: &mut Drivers<'_>,
    verified: &mut VerifiedDisks<'_>,
) -> Result<Vec<u8>, Failure> {
    let unclear = |reason: &str| wanted.failure(Code::RootUnclear, io::Errno::INVAL, reason);
    if !root.verity.options.is_empty() {
        return Err(unclear("systemd.verity_root_options= is not supported"));
    }
    let data = match (root.verity.data, root.source) {
        (data, b"" | MAPPED) => data,
        (b"", source) => source,
        (data, source) if data == source => data,
        _ => return Err(unclear("root= and systemd.verity_root_data= name different disks")),
    };
    let uuids = uuids(root.verity.root_hash);
    let [data_uuid, hash_uuid] = uuids.as_ref().map_err(|reason| unclear(reason))?;
    let mut wait = |named: &[u8], uuid: &str| {
        let name = match named {
            b"" => DiskName { by: By::PartUuid, value: uuid.as_bytes() },
            named => disk_name(named, wanted)?,
        };
        wanted.wait(&name, drivers)
    };
    let data = wait(data, data_uuid)?;
    let hash = wait(root.verity.hash, hash_uuid)?;
    let no_tree =
        |error, reason: &str| wanted.failure(Code::HashTreeMissing, error, format_args!("{}: {reason}", Shown(&hash)));
    let bytes = first_bytes(&hash).map_err(|error| no_tree(error, "its superblock can't be read"))?;
    let superblock = Superblock::parse(&bytes).map_err(|reason| no_tree(io::Errno::NOENT, reason))?;
    let verity = superblock.verity(root.verity.root_hash).map_err(unclear)?;
    verified.make(wanted, verity, &data, HashTree { path: &hash, start: 1 }, drivers)
}
