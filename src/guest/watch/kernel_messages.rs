//! What the kernel says: its own records on /dev/kmsg, which tell why it refused a module. `logger` writes ours.

extern crate alloc;

use alloc::string::String;

use rustix::fd::OwnedFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io;

use crate::guest::watch::logger;
use crate::request::name::same;

/// The kernel log, read from the moment before a load.
///
/// What was read is kept until the next load, since it can be read but once.
pub struct KernelMessages {
    file: Option<OwnedFd>,
    about: Option<String>,
    any: Option<String>,
}

impl KernelMessages {
    /// That of a thread of its own; without it, failures are explained by their errno alone.
    pub fn open() -> Self {
        Self { file: logger::open_device(), about: None, any: None }
    }

    /// That of the main thread, which reads where `logger` writes.
    pub fn shared() -> Self {
        Self { file: logger::share(), about: None, any: None }
    }

    /// Passes over all that was said so far.
    pub fn skip_to_end(&mut self) {
        (self.about, self.any) = (None, None);
        if let Some(file) = &self.file {
            let _ = seek(file, SeekFrom::End(0));
        }
    }

    /// The kernel's last word since then about `module`.
    pub fn said_about(&mut self, module: &[u8]) -> Option<String> {
        let (about, any) = self.last_words(module);
        self.any = any.or(self.any.take());
        self.about = about.or(self.about.take());
        self.about.clone()
    }

    /// The kernel's last word since then about `module`, or if it did not name it, its last word at all.
    pub fn last_word(&mut self, module: &[u8]) -> Option<String> {
        self.said_about(module).or_else(|| self.any.clone())
    }

    fn last_words(&self, module: &[u8]) -> (Option<String>, Option<String>) {
        let (mut about, mut any) = (None, None);
        let Some(file) = &self.file else { return (about, any) };
        let mut buffer = [0; 8192];
        // The kernel goes on talking: more than its whole buffer is never waited for.
        for _ in 0..10_000 {
            match io::retry_on_intr(|| io::read(file, &mut buffer)) {
                Ok(length) => {
                    let Some(text) = kernel_record(buffer.get(..length).unwrap_or_default()) else { continue };
                    any = Some(text);
                    if any.as_ref().is_some_and(|text| names(text.as_bytes(), module)) {
                        about = any.clone();
                    }
                }
                // Records that were overwritten before they were read.
                Err(io::Errno::PIPE) => {}
                Err(_) => break,
            }
        }
        (about, any)
    }
}

/// The text of a record `PRIORITY,SEQUENCE,TIME,FLAGS;TEXT\n…` if the kernel itself wrote it: its facility is 0.
fn kernel_record(record: &[u8]) -> Option<String> {
    let record = str::from_utf8(record).ok()?;
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    (priority >> 3 == 0).then(|| text.lines().next().map(String::from))?
}

/// Whether a text names a module as a whole word: a line of e1000e is not about e1000.
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
    fn a_module_is_named_by_whole_words_only() {
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
