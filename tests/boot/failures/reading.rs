//! Reading fails: codes 0x2_. Those of lists on a share are in `share/lists.rs`.

use guest_init::failure::Code;

use super::boot;
use crate::support::Machine;
use crate::support::scene::{self, after, small};

#[test]
fn a_command_line_over_64_kib_is_a_failure() {
    let image = after(
        "mount -t proc proc /proc; mknod /zero c 1 5; dd if=/zero of=/long bs=1k count=65
         mount -o bind /long /proc/cmdline",
    );
    let line = "read /proc/cmdline: EFBIG: it can't be read, or is over 64 KiB";
    scene::boot(image, "").failed(Code::CommandLineUnreadable, line);
}

#[test]
fn a_command_line_that_the_kernel_cut_is_a_failure() {
    // Linux on x86_64 does not reach its console with a longer line of QEMU's, so a file takes the place of a cut one.
    let longest = Machine::under_test().arch.longest_line;
    let cut = format!("printf '%{longest}s\\n' quiet >/cut; mount -o bind /cut /proc/cmdline");
    let line = format!("read /proc/cmdline: E2BIG: it has {longest} bytes, as many as this kernel keeps, so words may");
    scene::boot(after(&format!("mount -t proc proc /proc; {cut}")), "").failed(Code::CommandLineCut, &line);
}

#[test]
fn a_list_without_quotes_is_a_failure() {
    let line = "read guest_init.modules=dummy; loop: EINVAL: the list ends at the blank, because it has no quotes";
    boot(small(), "guest_init.modules=dummy; loop").failed(Code::BadValue, line);
}

#[test]
fn one_entry_too_many_is_a_failure() {
    let list = vec!["a"; 513].join(";");
    boot(small(), &format!("guest_init.modules={list}")).failed(Code::TooMany, "read a: E2BIG: a VM takes at most 512");
}

#[test]
fn an_unknown_key_is_named() {
    boot(small(), "guest_init.modulez=dummy")
        .failed(Code::UnknownKey, "read guest_init.modulez=dummy: EINVAL: there is no such key");
}

#[test]
fn a_repeated_key_is_named() {
    let line = "read guest_init.agent=/b: EINVAL: the key may stand only once";
    boot(small(), "guest_init.agent=/a guest_init.agent=/b").failed(Code::RepeatedKey, line);
}

#[test]
fn a_bad_value_is_named() {
    let line = "read guest_init.log=loud: EINVAL: one of error, warn, info, debug, trace";
    boot(small(), "guest_init.log=loud").failed(Code::BadValue, line);
}

#[test]
fn an_unbalanced_quote_is_named() {
    let line = r#"read guest_init.modules="dummy loop: EINVAL: a quote opens here and never closes"#;
    boot(small(), r#"guest_init.modules="dummy loop"#).failed(Code::UnbalancedQuote, line);
}

#[test]
fn a_name_is_never_an_option_or_a_path() {
    let console = boot(small(), r#"guest_init.modules="dummy; -q x; /lib/x.ko""#);
    console
        .has("guest-init: read guest_init.modules `-q x`: EINVAL: a name begins with a letter, a digit or `_`")
        .has("guest-init: read guest_init.modules `/lib/x.ko`: EINVAL: a name begins with")
        .failed(Code::BadEntry, "read guest_init.modules `-q x`, guest_init.modules `/lib/x.ko`: EINVAL: an entry");
}
