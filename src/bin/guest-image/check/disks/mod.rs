//! The disks of the VM, which are files on this host: each that the kernel command line names is verified as PID 1 and
//! the kernel would, and unpacked if lists or modules are on it. Nothing is mounted.

mod contents;
mod named;
mod parts;
mod table;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use guest_init::failure::{Failure, Report};
use guest_init::guest::places::disk::wanted::WantedDisk;
use guest_init::request::Request;
use guest_init::request::disks::{CUT, is_serial};
use guest_init::request::location::Location;
use guest_init::text::Shown;
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::findings::{Findings, Remark, Topic};
use crate::shared::folder::Folder;

use contents::Unpacked;
use named::{NamedDisk, name_of};
use parts::DiskParts;

/// `DISK=FILE`
#[derive(Clone, Debug)]
pub struct DiskFile {
    /// The serial number, or the name below /dev.
    name: String,
    /// The file.
    path: PathBuf,
}

impl FromStr for DiskFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected DISK=FILE")?;
        Ok(Self { name: name.into(), path: path.into() })
    }
}

impl DiskFile {
    /// Whether the guest takes this disk for the one that a word names.
    fn is(&self, named: &[u8]) -> bool {
        let name = self.name.as_bytes();
        is_serial(name.get(..CUT).unwrap_or(name), named)
    }
}

/// The disks of a VM that lists and modules are on.
#[derive(Debug, Default)]
pub struct Disks {
    /// The unpacked disks by their names, or why they are not unpacked.
    unpacked: Vec<(Vec<u8>, Result<Unpacked>)>,
}

impl Disks {
    /// Looks at all disks that a request names. Reports the failures that PID 1 would end with.
    ///
    /// Error: a file can't be read.
    pub fn look_at(
        files: &[DiskFile],
        request: &Request<'_>,
        report: &mut Report<'_>,
        findings: &mut Findings,
    ) -> Result<Self> {
        let mut disks = Self::default();
        let named = NamedDisk::all(request);
        for disk in &named {
            let fitting: Vec<_> = files.iter().filter(|file| file.is(&disk.name)).collect();
            match &fitting[..] {
                [] => disks.unpacked.push((disk.name.clone(), Err(not_given(disk, findings)))),
                [file] => {
                    let looked_at = look_at(disk, file, findings).with_context(|| file.path.display().to_string())?;
                    match looked_at {
                        Ok(unpacked) => {
                            disks.unpacked.extend(unpacked.map(|unpacked| (disk.name.clone(), Ok(unpacked))))
                        }
                        Err(failure) => report.add(failure),
                    }
                }
                several => report.add(several_fit(disk, several)),
            }
        }
        for file in files.iter().filter(|file| !named.iter().any(|disk| file.is(&disk.name))) {
            let text = format!("--disk {}: no word of the command line names this disk", file.name);
            findings.warnings.push(Remark::new(Topic::Disk, None, text));
        }
        Ok(disks)
    }

    /// The folder that stands for the root of a location's disk.
    ///
    /// Error: no option names the disk.
    pub fn folder(&self, location: &Location<'_>) -> Result<Folder> {
        let name = name_of(location);
        match self.unpacked.iter().find(|(known, _)| Some(known) == name.as_ref()) {
            Some((_, Ok(unpacked))) => Ok(Folder::of_share(&unpacked.path())),
            Some((_, Err(error))) => Err(anyhow!("{error:#}")),
            // No word makes PID 1 mount the extension, which is reported.
            None => Ok(Folder { directory: Err(Errno::NOENT), path: location.to_string().into() }),
        }
    }
}

/// Verifies a disk, and unpacks it if lists or modules are on it. The inner error is the failure of PID 1.
fn look_at(
    disk: &NamedDisk<'_>,
    file: &DiskFile,
    findings: &mut Findings,
) -> Result<Result<Option<Unpacked>, Failure>> {
    let parts = DiskParts::of(&file.path)?;
    let subject = disk.subject();
    let wanted = WantedDisk::for_files(&subject, MountAttrFlags::empty());
    let verity = match disk.parameters_for(parts.hash_partition.is_some()) {
        Ok(verity) => verity,
        Err((code, reason)) => return Ok(Err(Failure::new(code, &subject, reason))),
    };
    let text = match verity {
        Some(verity) => match parts.verify(&verity, &wanted)? {
            Ok(()) => format!("all {} blocks of data fit the root hash", verity.data_blocks()),
            Err(failure) => return Ok(Err(failure)),
        },
        None if parts.hash_partition.is_some() => {
            let text = format!("{subject}: read without verification, and partition 2 may be a hash tree");
            findings.warnings.push(Remark::new(
                Topic::Disk,
                None,
                format!("{text}; guest_init.verity= verifies a disk"),
            ));
            "not verified".into()
        }
        None => "read without verification".into(),
    };
    let Some(file_system) = contents::file_system(&parts.data)? else {
        return Ok(Err(wanted.failure(wanted.words.unknown_type, Errno::NODEV, wanted.words.if_unknown_type)));
    };
    findings.notes.push(Remark::new(Topic::Disk, None, format!("{subject}: {}: {text}", file.path.display())));
    disk.is_read.then(|| contents::unpack(&parts.data, file_system)).transpose().map(Ok)
}

/// Notes that nothing is known of a disk, and returns the error for those who read it.
fn not_given(disk: &NamedDisk<'_>, findings: &mut Findings) -> anyhow::Error {
    let text = format!("name the disk's file with --disk {}=FILE", Shown(&disk.name));
    if !disk.is_read {
        let text = format!("{}: not verified here; {text}", disk.subject());
        findings.notes.push(Remark::new(Topic::Disk, None, text));
    }
    anyhow!(text)
}

/// The failure of a disk whose name several options fit.
fn several_fit(disk: &NamedDisk<'_>, files: &[&DiskFile]) -> Failure {
    let subject = disk.subject();
    let wanted = WantedDisk::for_files(&subject, MountAttrFlags::empty());
    let names: Vec<_> = files.iter().map(|file| &file.name[..]).collect();
    let reason = format!("several disks fit: {}; {}", names.join(", "), wanted.words.if_ambiguous);
    wanted.failure(wanted.words.ambiguous, Errno::NOTUNIQ, reason)
}
