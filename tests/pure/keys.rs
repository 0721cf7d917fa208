//! The `guest_init.` keys: the values that each accepts and refuses, and the channel to the host.

use guest_init::failure::{Failure, Report};
use guest_init::request::Request;
use guest_init::request::keys::KEYS;

use super::command_line::verdict;

/// The value of guest_init.verity for a disk, with this text behind the root hash.
macro_rules! verity {
    ($disk:literal, $rest:literal) => {
        concat!($disk, ",root_hash=0123456789abcdef0123456789abcdef0123456789ABCDEF0123456789ABCDEF", $rest)
    };
}

/// For each key, values that it accepts and values that it refuses.
const VALUES: &[(&str, &[&str], &[&str])] = &[
    ("modules", &["a;b"], &["-x", "/a", "a;\"b"]),
    (
        "modules_file",
        &["/a", "virtiofs:t:/a", "disk:d:/a"],
        &["", "a", "virtiofs:t:a", "virtiofs::/a", "disk:/dev/d:/a"],
    ),
    ("module_dir", &["/a", "virtiofs:t:/a", "disk:d:/a"], &["", "a", "virtiofs:t:a", "virtiofs::/a", "disk::/a"]),
    ("agent", &["/a"], &["", "a"]),
    ("jobs", &["1", "64", "auto"], &["", "0", "65", "+1", "many"]),
    ("strict", &["0", "1"], &["", "2", "yes"]),
    ("keep_modules", &["0", "1"], &["", "2", "yes"]),
    ("lock_modules", &["0", "1"], &["", "2", "yes"]),
    ("root", &["auto", "switch", "stay"], &["", "1", "never"]),
    (
        "verity",
        &[
            verity!("vdb", ",salt=00,data_blocks=1,data_block_size=512,hash_block_size=65536"),
            verity!("a-disk", ",hash_block_size=512,salt=,data_block_size=4096,data_blocks=2251799813685247"),
            verity!("a:b", ",salt=-,data_blocks=8,data_block_size=4096,hash_block_size=4096"),
        ],
        &[
            "",
            "vdb",
            verity!("", ",salt=00,data_blocks=1,data_block_size=512,hash_block_size=512"),
            verity!("vdb", "0,salt=00,data_blocks=1,data_block_size=512,hash_block_size=512"),
            verity!("vdb", ",salt=0,data_blocks=1,data_block_size=512,hash_block_size=512"),
            verity!("vdb", ",salt=00,data_blocks=0,data_block_size=512,hash_block_size=512"),
            verity!("vdb", ",salt=00,data_blocks=2251799813685248,data_block_size=4096,hash_block_size=512"),
            verity!("vdb", ",salt=00,data_blocks=1,data_block_size=513,hash_block_size=512"),
            verity!("vdb", ",salt=00,data_blocks=1,data_block_size=512,hash_block_size=131072"),
            verity!("vdb", ",salt=00,data_blocks=1,data_block_size=512"),
            verity!("vdb", ",salt=00,salt=00,data_blocks=1,data_block_size=512,hash_block_size=512"),
            verity!("vdb", ",salt=00,data_blocks=1,data_block_size=512,hash_block_size=512,other=1"),
        ],
    ),
    (
        "notify",
        &[
            "vsock:2:9000",
            "vsock-dgram:2:1",
            "vsock-seqpacket:3:0",
            "vsock-stream:4294967295:4294967295",
            "virtio-port:a:b",
        ],
        &[
            "",
            "vsock",
            "vsock:2",
            "vsock:2:",
            "vsock::9000",
            "vsock:2:9000:1",
            "vsock:2:4294967296",
            "vsock:+2:9000",
            "Vsock:2:9000",
            "vsock-udp:2:9000",
            "virtio-port:",
            "virtio-port:../vda",
            "/run/notify",
        ],
    ),
    ("deadline", &["0", "86400"], &["", "86401", "-1", "1.5"]),
    ("log", &["error", "warn", "info", "debug", "trace"], &["", "loud"]),
];

#[test]
fn every_key_accepts_its_values_and_refuses_others() {
    assert_eq!(
        VALUES.iter().map(|(name, ..)| *name).collect::<Vec<_>>(),
        KEYS.iter().map(|key| key.name).collect::<Vec<_>>()
    );
    let accepted = |name: &str, value: &str| verdict(&format!("guest_init.{name}={value}")).is_ok();
    for (name, good, bad) in VALUES {
        assert!(good.iter().all(|value| accepted(name, value)), "{name}: one of {good:?} is refused");
        assert!(!bad.iter().any(|value| accepted(name, value)), "{name}: one of {bad:?} is accepted");
    }
}

#[test]
fn the_channel_is_that_of_the_key_or_else_that_of_systemds_credential() {
    const CREDENTIAL: &str = "systemd.set_credential=vmm.notify_socket";
    for (line, expected) in [
        ("guest_init.notify=vsock:2:9000", Some("vsock:2:9000")),
        ("systemd.set_credential=vmm.notify_socket:vsock-stream:2:1024", Some("vsock-stream:2:1024")),
        ("systemd.set_credential=vmm.notify_socket:vsock:2:1 guest_init.notify=virtio-port:a", Some("virtio-port:a")),
        ("guest_init.notify=virtio-port:a systemd.set_credential=vmm.notify_socket:vsock:2:1", Some("virtio-port:a")),
        ("systemd.set_credential=vmm.notify_socket:/run/notify", None),
        ("systemd.set_credential=other:vsock:2:1 systemd.set_credential quiet", None),
        ("quiet -- systemd.set_credential=vmm.notify_socket:vsock:2:1", None),
    ] {
        let mut log = |_: &Failure| {};
        let mut report = Report::new(&mut log);
        let channel = Request::parse(line.as_bytes(), &mut report).notify.map(|channel| channel.to_string());
        assert_eq!(report.verdict(), Ok(()), "{line}");
        assert_eq!(channel.as_deref(), expected, "{line}");
    }
    assert!(verdict(&format!("{CREDENTIAL}:vsock:2:1 {CREDENTIAL}:vsock:2:2")).is_ok());
    let repeated = verdict("guest_init.notify=vsock:2:1 guest_init.notify=vsock:2:1").unwrap_err();
    assert!(repeated.contains("the key may stand only once"), "{repeated}");
}
