//! A notification beside the console of the same VM: both must say the same.

use guest_init::failure::Code;
use guest_init::notification::Notification;
use nix::errno::Errno;

/// Asserts that a message is the notification of this failure, field by field, and repeats the last word, a line of the
/// console.
pub fn is_last_word(message: &str, code: Code, last_word: &str) {
    let read = Notification::read(message.as_bytes());
    let Some(Notification::Failed { line, errno, code: told, stage, subject }) = read else {
        panic!("no notification of a failure: {message:?}");
    };
    let [line, stage, subject] = [line, stage, subject].map(|text| str::from_utf8(text).expect("text"));
    assert_eq!(line, last_word);
    assert_eq!((told, stage), (code as u8, code.stage().name()), "{message}");
    let errno = Errno::from_raw(errno.try_into().expect("a small number"));
    let begins = format!("guest-init: failed: {stage} {subject}: {errno:?}: ");
    assert!(line.starts_with(&begins), "`{begins}` is not the beginning of\n{message}");
    assert_eq!(read.expect("it was read").to_string(), message);
}
