//! The kernel's own records of the kernel log, which say why the kernel refused a module. guest-init's records are the
//! [`logger`]'s.

extern crate alloc;

use alloc::string::String;

use rustix::fd::OwnedFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io;

use crate::guest::watch::logger;
use crate::request::name::same;

/// The longest record that a read of /dev/kmsg returns, in bytes (CONSOLE_EXT_LOG_MAX in kernel/printk/printk.c).
const LONGEST_RECORD: usize = 8192;
/// The most records that are read after one load. More than the kernel's buffer holds, and a bound if the kernel logs
/// without end.
const MOST_RECORDS: usize = 10_000;

/// The kernel's messages since a load began.
///
/// An open /dev/kmsg returns each record once, so the last messages are kept until the next load.
pub struct KernelMessages {
    /// `None`: the kernel log can't be opened.
    file: Option<OwnedFd>,
    /// The last message that names the module.
    last_about: Option<String>,
    /// The last message of all.
    last: Option<String>,
}

impl KernelMessages {
    /// Opens the kernel log for a thread beside the main thread. If that fails, a failure has the text of its errno
    /// alone.
    pub fn open() -> Self {
        Self { file: logger::open_device(), last_about: None, last: None }
    }

    /// Reads from the open file that the [`logger`] writes to, which saves an open. Two threads must not do so: each
    /// record is read by one of them only.
    pub fn shared() -> Self {
        Self { file: logger::duplicate().or_else(logger::open_device), last_about: None, last: None }
    }

    /// Skips all messages so far, because a load begins.
    pub fn skip_to_end(&mut self) {
        (self.last_about, self.last) = (None, None);
        if let Some(file) = &self.file {
            let _ = seek(file, SeekFrom::End(0));
        }
    }

    /// The last message since the load began that names `module`.
    pub fn last_about(&mut self, module: &[u8]) -> Option<String> {
        self.read(module);
        self.last_about.clone()
    }

    /// The last message since the load began that names `module`. If none names it, the last message of all.
    pub fn last_about_or_any(&mut self, module: &[u8]) -> Option<String> {
        self.last_about(module).or_else(|| self.last.clone())
    }

    /// Reads the records that were not read yet.
    fn read(&mut self, module: &[u8]) {
        let Some(file) = &self.file else { return };
        let mut buffer = [0; LONGEST_RECORD];
        for _ in 0..MOST_RECORDS {
            match io::retry_on_intr(|| io::read(file, &mut buffer)) {
                Ok(length) => {
                    let Some(text) = kernel_text(buffer.get(..length).unwrap_or_default()) else { continue };
                    if names(text.as_bytes(), module) {
                        self.last_about = Some(text.clone());
                    }
                    self.last = Some(text);
                }
                // Records were overwritten before they were read. The next read returns the oldest that is left.
                Err(io::Errno::PIPE) => {}
                Err(_) => break,
            }
        }
    }
}

/// The text of a record `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT\n…` if the kernel itself wrote it (MODPROBE.md 10.5).
fn kernel_text(record: &[u8]) -> Option<String> {
    let record = str::from_utf8(record).ok()?;
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    (priority >> 3 == 0).then(|| text.lines().next().map(String::from))?
}

/// Whether a text names a module as a whole word. A message of e1000e does not name e1000.
fn names(text: &[u8], module: &[u8]) -> bool {
    let is_part =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    let length = module.len().max(1);
    text.windows(length).enumerate().any(|(start, window)| {
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        same(window, module) && !is_part(before) && !is_part(text.get(start + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_a_module_by_a_whole_word() {
        for text in ["e1000: x", "module e1000 is", "`e1000'", "e1000", "(e1000)"] {
            assert!(names(text.as_bytes(), b"e1000"), "{text}");
        }
        assert!(names(b"snd-hda-intel: x", b"snd_hda_intel"));
        for text in ["e1000e: x", "xe1000", "e1000_hw", "e1000-2", "", "e100"] {
            assert!(!names(text.as_bytes(), b"e1000"), "{text}");
        }
        assert!(names(b"e1000e and e1000 too", b"e1000"));
    }
}
