//! The unsafe blocks that an ordinary process can reach, for AddressSanitizer and Miri: `scripts/test sanitize`.
//!
//! The others are how a process ends (signal handlers, their stack, `_exit`): tests/faults.rs boots them.

use std::ffi::c_char;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::ptr;

use guest_init::guest::system::files::map;
use guest_init::guest::system::invocation::Strings;

/// What the C start-up hands to main.
const ARGUMENTS: &[*const c_char] = &[c"/sbin/modprobe".as_ptr(), c"".as_ptr(), c"ext4".as_ptr(), ptr::null()];
const NONE: &[*const c_char] = &[ptr::null()];

#[test]
fn arguments_end_at_the_null_pointer() {
    // SAFETY: constant arrays of constant strings, with a null pointer at the end.
    let (arguments, none) = unsafe { (Strings::new(ARGUMENTS.as_ptr()), Strings::new(NONE.as_ptr())) };
    let texts: Vec<_> = arguments.strings().map(|string| string.to_bytes()).collect();
    assert_eq!(texts, [&b"/sbin/modprobe"[..], b"", b"ext4"]);
    assert_eq!(arguments.program(), b"modprobe");
    assert_eq!((none.program(), none.strings().count()), (&b""[..], 0));
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no mmap of files")]
fn a_file_is_mapped_whole() {
    // Neither a whole page nor a part of the first.
    for length in [0, 1, 4096, 4097] {
        let bytes = vec![b'x'; length];
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("room");
        let opened: OwnedFd = File::open(file.path()).expect("the file").into();
        let mapped = map(&opened).expect("a mapping");
        // Neither the descriptor nor the name is needed any more.
        drop((opened, file));
        assert_eq!(mapped, bytes);
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri starts no process")]
fn the_program_reads_what_it_is_started_with() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (modprobe, tree) = (folder.path().join("modprobe"), folder.path().join("lib/modules/1.0"));
    symlink(env!("CARGO_BIN_EXE_guest-init"), &modprobe).expect("a link");
    fs::create_dir_all(&tree).expect("a folder");
    fs::write(tree.join("modules.dep"), "a.ko: b.ko\nb.ko:\n").expect("a file");
    let mut call = Command::new(modprobe);
    let output = call.env("MODPROBE_OPTIONS", "-S 1.0 -d").arg(folder.path()).args(["-D", "a", "x=1"]).output();
    let output = output.expect("it starts");
    let shown = format!("insmod {0}/b.ko \ninsmod {0}/a.ko x=1\n", tree.display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), shown, "{}", String::from_utf8_lossy(&output.stderr));
}
