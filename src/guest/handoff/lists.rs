//! Module lists in files. All are read before anything is planned. The grammar of a list is [`crate::request::list`]'s.

extern crate alloc;

use alloc::vec::Vec;
use core::fmt::Display;

use rustix::fd::AsFd;
use rustix::io::{self, Errno};

use crate::failure::{Code, Failure, Report};
use crate::guest::places::Places;
use crate::guest::system::files::{read, why_not_opened};
use crate::guest::watch::deadline::set_activity;
use crate::request::Request;
use crate::request::location::Location;

/// The longest list, in bytes.
const LONGEST: usize = 64 << 10;

/// Reads the request's files with lists, and inserts the entries into the request. Every mistake is added to `report`.
/// The texts of the lists live as long as the process.
///
/// Failures: [`Code::ListMissing`], [`Code::ListOutside`], [`Code::ListNotAFile`], [`Code::ListTooLong`],
/// [`Code::ListNotText`], [`Code::ListUnreadable`], those of mounting a share, and those of lists themselves.
pub fn read_into<'a>(
    request: &mut Request<'a>,
    places: &mut Places<'a>,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let mut texts = Vec::new();
    for file in &request.files {
        let text = read_list(&file.location, places);
        texts.push(text.unwrap_or_else(|failure| {
            report.add(failure);
            &[]
        }));
    }
    request.insert_lists(&texts, report);
    report.verdict()
}

/// Reads one file.
fn read_list<'a>(location: &Location<'a>, places: &mut Places<'a>) -> Result<&'static [u8], Failure> {
    set_activity(format_args!("reading {location}"));
    let file = places.file(location)?;
    // The list's share or disk may have been mounted, and its drivers loaded.
    set_activity(format_args!("reading {location}"));
    text(location, file)
}

/// Reads the text of a list from an open file. Failures call the file `name`. The text lives as long as the process.
///
/// Failures: [`Code::ListMissing`], [`Code::ListOutside`], [`Code::ListNotAFile`], [`Code::ListTooLong`],
/// [`Code::ListNotText`], [`Code::ListUnreadable`].
pub fn text(name: &dyn Display, file: io::Result<impl AsFd>) -> Result<&'static [u8], Failure> {
    let text = file.and_then(|file| read(&file, LONGEST)).map_err(|error| unreadable(name, error))?;
    match str::from_utf8(&text) {
        Ok(_) => Ok(text.leak()),
        Err(error) => {
            let reason = alloc::format!("not UTF-8, at offset {:#x}", error.valid_up_to());
            Err(Failure::new(Code::ListNotText, name, reason))
        }
    }
}

/// The failure of a file that can't be opened or read.
fn unreadable(name: &dyn Display, error: io::Errno) -> Failure {
    let (code, reason) = match error {
        Errno::NOENT | Errno::NOTDIR => (Code::ListMissing, "there is no such file"),
        Errno::LOOP => (Code::ListMissing, why_not_opened(error)),
        Errno::XDEV => (Code::ListOutside, why_not_opened(error)),
        Errno::ISDIR => (Code::ListNotAFile, "it is a directory"),
        Errno::INVAL => (Code::ListNotAFile, "it is a FIFO or a device"),
        Errno::NXIO => (Code::ListNotAFile, "it is a socket or a device"),
        Errno::FBIG => (Code::ListTooLong, "it has more than 64 KiB"),
        other => (Code::ListUnreadable, why_not_opened(other)),
    };
    Failure::from_errno(code, name, error, reason)
}
