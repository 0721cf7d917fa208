//! The keys of the kernel command line as the README and guest-init(8) explain them.
//!
//! [`super::Request::parse`] reads their values. A test checks that both know the same keys.

/// The explanation of a key. Text in backticks is to be written as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's name, without `guest_init.`.
    pub name: &'static str,
    /// The meaning of the value.
    pub value: &'static str,
    /// The value that counts if the key is absent. `None`: an absent key has no effect.
    pub default: Option<&'static str>,
}

/// Every key, in the order of the README.
pub const KEYS: &[Key] = &[
    Key { name: "modules", value: "a module list; may repeat, lists are joined in order", default: None },
    Key {
        name: "modules_file",
        value: "where to read a list: `/path` in the image, or `virtiofs:TAG:/path` on a share of the host's; may repeat",
        default: None,
    },
    Key {
        name: "module_dir",
        value: "the directory that holds `RELEASE/modules.dep`: `/path`, or `virtiofs:TAG:/path`",
        default: Some("/lib/modules"),
    },
    Key {
        name: "agent",
        value: "the agent's path; its arguments are what follows ` -- ` on the command line",
        default: Some("/sbin/agent"),
    },
    Key {
        name: "jobs",
        value: "how many modules are loaded at once, 1 to 64, or `auto`: one per CPU",
        default: Some("1"),
    },
    Key {
        name: "strict",
        value: "`1`: a parameter that can't be applied is a failure, not a warning",
        default: Some("0"),
    },
    Key { name: "keep_modules", value: "`1`: the files of loaded modules stay in an initramfs", default: Some("0") },
    Key {
        name: "lock_modules",
        value: "`1`: no module can be loaded once the agent runs (kernel.modules_disabled)",
        default: Some("0"),
    },
    Key {
        name: "deadline",
        value: "seconds from the start to the agent's, after which the VM panics, whatever hangs; `0` is for ever",
        default: Some("30"),
    },
    Key {
        name: "log",
        value: "`error`, `warn`, `info`, `debug` (each step of the plan), `trace`",
        default: Some("info"),
    },
];
