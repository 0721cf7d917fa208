//! A disk that is to be mounted, for the root or for files on it: the wait for it, and its mount.

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;
use core::fmt::{Display, Write};
use core::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io;
use rustix::mount::MountAttrFlags;

use super::file_system::FileSystem;
use super::{Disks, Fitting, open_disk};
use crate::failure::{Code, Failure};
use crate::guest::places::detached::mount_detached;
use crate::guest::places::drivers::Drivers;
use crate::guest::system::clock::{now, sleep};
use crate::guest::watch::deadline::set_activity;
use crate::request::kernel::disk_name::{By, DiskName};
use crate::text::Shown;

/// The time between two looks for a disk.
pub const PAUSE: Duration = Duration::from_millis(10);

/// The words and codes of failures about a disk.
#[derive(Debug)]
pub struct Words {
    /// There is no such disk.
    pub missing: Code,
    /// Several disks fit.
    pub ambiguous: Code,
    /// The file system is not recognised, or nobody has it.
    pub unknown_type: Code,
    /// The disk can't be read or mounted.
    pub failed: Code,
    /// The advice if there is no such disk.
    pub if_missing: &'static str,
    /// The advice if several disks fit.
    pub if_ambiguous: &'static str,
    /// The advice if the file system is not recognised.
    pub if_unknown_type: &'static str,
}

/// A disk that is to be mounted.
pub struct WantedDisk<'w> {
    /// The name of the disk in failures: the word that asks for it.
    pub subject: &'w dyn Display,
    /// The words and codes of its failures.
    pub words: &'static Words,
    /// The time to wait before the disk is looked for.
    pub delay: Duration,
    /// The time that the disk may take to appear, from the last driver on. `None`: any time.
    pub patience: Option<Duration>,
    /// The file systems to try, separated by commas. `None`: the contents of the disk decide.
    pub fs_types: Option<&'w [u8]>,
    /// Whether the kernel may replay a journal, even for a read-only mount.
    pub replays: bool,
    /// Options of mount(8), separated by commas.
    pub options: &'w [u8],
    /// The attributes of the mount.
    pub attributes: MountAttrFlags,
}

/// The words for a disk with files, such as lists and modules.
const FILES: Words = Words {
    missing: Code::DiskMissing,
    ambiguous: Code::DiskAmbiguous,
    unknown_type: Code::DiskUnknownType,
    failed: Code::DiskFailed,
    if_missing: "a disk is named by its serial number, or by its name below /dev",
    if_ambiguous: "give each a serial number of its own, at most 20 bytes long",
    if_unknown_type: "guest-init does not recognise its file system",
};
/// The time that a disk with files may take to appear.
const PATIENCE: Duration = Duration::from_secs(10);

impl<'w> WantedDisk<'w> {
    /// A disk with files, mounted read-only.
    pub const fn for_files(subject: &'w dyn Display, attributes: MountAttrFlags) -> Self {
        let (words, patience) = (&FILES, Some(PATIENCE));
        Self {
            subject,
            words,
            delay: Duration::ZERO,
            patience,
            fs_types: None,
            replays: false,
            options: b"ro",
            attributes,
        }
    }

    /// A failure about the disk.
    pub fn failure(&self, code: Code, error: io::Errno, reason: impl Display) -> Failure {
        Failure::from_errno(code, self.subject, error, reason)
    }

    /// Waits for the disk with a name, and meanwhile loads the drivers of the disks, and of the buses they are on, as
    /// they appear. Returns the disk's path.
    ///
    /// Failures: the codes `missing` and `ambiguous`, and those of [`Drivers::load_for_disks`].
    pub fn wait(&self, name: &DiskName<'_>, drivers: &mut Drivers<'_>) -> Result<Vec<u8>, Failure> {
        set_activity(format_args!("waiting for {}", self.subject));
        sleep(self.delay);
        let mut start = now();
        let mut disks = Disks::default();
        loop {
            // Taken before the look, so that the drivers that took the last of the time have one more look.
            let waited = now().saturating_sub(start);
            // Only a disk that was not there before can make a difference.
            let present = Disks::list();
            if present != disks || name.by == By::Path {
                disks = present;
                match disks.fitting(name) {
                    Fitting::None => {}
                    Fitting::One(disk) => return Ok(disk),
                    Fitting::Several(fitting) => {
                        let reason = format!("several disks fit: {fitting}; {}", self.words.if_ambiguous);
                        return Err(self.failure(self.words.ambiguous, io::Errno::NOTUNIQ, reason));
                    }
                }
            }
            if let Some(patience) = self.patience
                && waited > patience
            {
                let (seconds, advice) = (patience.as_secs(), self.words.if_missing);
                let reason = format!("no such disk within {seconds} s; disks here: {disks}; {advice}");
                return Err(self.failure(self.words.missing, io::Errno::NODEV, reason));
            }
            if drivers.load_for_disks()? {
                // On a slow machine, drivers take longer to load than a disk may take to appear.
                start = now();
                set_activity(format_args!("waiting for {}", self.subject));
            }
            sleep(PAUSE);
        }
    }

    /// Makes a detached mount of the device at a path, and tries each of its file systems.
    ///
    /// Failures: the codes `unknown_type` and `failed`, and those of [`Drivers::load_file_system`].
    pub fn mount(&self, path: &[u8], drivers: &mut Drivers<'_>) -> Result<OwnedFd, Failure> {
        self.try_each(path, drivers).map_err(|mut failure| {
            let partitions = Disks::list().partitions_of(path);
            if !partitions.is_empty() {
                let _ = write!(failure.reason, "; {} has partitions: {partitions}", Shown(path));
            }
            failure
        })
    }

    fn try_each(&self, path: &[u8], drivers: &mut Drivers<'_>) -> Result<OwnedFd, Failure> {
        let (fs_types, no_replay) = match self.fs_types {
            Some(fs_types) => (fs_types, &b""[..]),
            None => {
                let file_system = open_disk(path).and_then(FileSystem::on);
                let file_system =
                    file_system.map_err(|error| self.failure(self.words.failed, error, "it can't be read"))?;
                let known = file_system.ok_or_else(|| self.unknown_type(self.words.if_unknown_type))?;
                (known.fs_type, if self.replays { b"" } else { known.no_replay })
            }
        };
        let options = [self.options, b",", no_replay].concat();
        let mut last = None;
        for fs_type in fs_types.split(|&b| b == b',').filter(|fs_type| !fs_type.is_empty()) {
            if !drivers.load_file_system(fs_type)? {
                continue;
            }
            set_activity(format_args!("mounting {}", self.subject));
            match mount_detached(fs_type, path, &options, self.attributes) {
                Ok(mount) => return Ok(mount),
                Err(refusal) => last = Some(refusal),
            }
        }
        let fs_types = Shown(fs_types);
        Err(match last {
            Some(refusal) => {
                let reason = format!("it can't be mounted as {fs_types}: {refusal}");
                self.failure(self.words.failed, refusal.error, reason)
            }
            None => self.unknown_type(&format!("neither the kernel nor the module tree has {fs_types}")),
        })
    }

    fn unknown_type(&self, reason: &str) -> Failure {
        self.failure(self.words.unknown_type, io::Errno::NODEV, reason)
    }
}
