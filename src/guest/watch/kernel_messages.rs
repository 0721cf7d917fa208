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
    /// The last message that a parameter of the module is ignored.
    ignored: Option<String>,
    /// Whether records were overwritten before they were read.
    has_gap: bool,
}

/// The kernel's answer to the parameters of a module that it loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum ParameterVerdict {
    /// The module has all of them.
    Known,
    /// The module lacks one at least. The text is the kernel's message about the last of those.
    Ignored(String),
    /// The kernel log can't be read, or lost records since the load began.
    NoAnswer,
}

impl KernelMessages {
    /// Opens the kernel log for a thread beside the main thread. If that fails, a failure has the text of its errno
    /// alone.
    pub fn open() -> Self {
        Self::of(logger::open_device())
    }

    /// Reads from the open file that the [`logger`] writes to, which saves an open. Two threads must not do so: each
    /// record is read by one of them only.
    pub fn shared() -> Self {
        Self::of(logger::duplicate().or_else(logger::open_device))
    }

    const fn of(file: Option<OwnedFd>) -> Self {
        Self { file, last_about: None, last: None, ignored: None, has_gap: false }
    }

    /// Skips all messages so far, because a load begins.
    pub fn skip_to_end(&mut self) {
        (self.last_about, self.last, self.ignored, self.has_gap) = (None, None, None, false);
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

    /// The kernel's answer to the parameters of `module`, which it loaded since [`Self::skip_to_end`].
    pub fn parameter_verdict(&mut self, module: &[u8]) -> ParameterVerdict {
        self.read(module);
        match self.ignored.clone() {
            Some(message) => ParameterVerdict::Ignored(message),
            None if self.has_gap || self.file.is_none() => ParameterVerdict::NoAnswer,
            None => ParameterVerdict::Known,
        }
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
                    if is_ignored_parameter(text.as_bytes(), module) {
                        self.ignored = Some(text.clone());
                    }
                    self.last = Some(text);
                }
                // Records were overwritten before they were read. The next read returns the oldest that is left.
                Err(io::Errno::PIPE) => self.has_gap = true,
                Err(_) => return,
            }
        }
        self.has_gap = true;
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

/// Whether a text is the kernel's message that it ignores a parameter that `module` does not have:
/// `NAME: unknown parameter 'x' ignored` (unknown_module_param_cb in kernel/module/main.c). The end is not compared,
/// because the kernel cuts long messages.
fn is_ignored_parameter(text: &[u8], module: &[u8]) -> bool {
    let (name, rest) = text.split_at_checked(module.len()).unwrap_or_default();
    same(name, module) && rest.starts_with(b": unknown parameter '")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_message_about_an_ignored_parameter_begins_with_the_modules_name() {
        for text in ["snd_hda_intel: unknown parameter 'x' ignored", "snd_hda_intel: unknown parameter 'long"] {
            assert!(is_ignored_parameter(text.as_bytes(), b"snd-hda-intel"), "{text}");
        }
        for text in ["snd_hda_intel_x: unknown parameter 'x' ignored", "snd_hda_intel: x", "snd_hda", ""] {
            assert!(!is_ignored_parameter(text.as_bytes(), b"snd_hda_intel"), "{text}");
        }
    }

    #[test]
    fn the_verdict_on_parameters_is_the_kernels_own_message_about_the_module() {
        let (log, kernel) = std::os::unix::net::UnixDatagram::pair().unwrap();
        log.set_nonblocking(true).unwrap();
        let mut messages = KernelMessages::of(Some(log.into()));
        let mut verdict_after = |record: &str| {
            kernel.send(record.as_bytes()).unwrap();
            messages.parameter_verdict(b"loop")
        };
        // The priority of the second record is that of a program's record. The third is about another module.
        for record in ["6,1,9,-;loop: module loaded", "12,2,9,-;loop: unknown parameter 'x' ignored"] {
            assert_eq!(verdict_after(record), ParameterVerdict::Known);
        }
        assert_eq!(verdict_after("4,3,9,-;dummy: unknown parameter 'x' ignored"), ParameterVerdict::Known);
        let message = "loop: unknown parameter 'x' ignored";
        let ignored = ParameterVerdict::Ignored(message.into());
        assert_eq!(verdict_after(&format!("4,4,9,-;{message}\n SUBSYSTEM=module\n")), ignored);
        assert_eq!(verdict_after("6,5,9,-;loop: module loaded"), ignored);
        messages.skip_to_end();
        assert_eq!(messages.parameter_verdict(b"loop"), ParameterVerdict::Known);
    }

    #[test]
    fn without_all_records_nothing_is_known_about_parameters() {
        // A file that can always be read stands for a kernel that logs without end.
        let endless = std::fs::File::open("/dev/zero").unwrap();
        for file in [None, Some(endless.into())] {
            assert_eq!(KernelMessages::of(file).parameter_verdict(b"loop"), ParameterVerdict::NoAnswer);
        }
    }

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
