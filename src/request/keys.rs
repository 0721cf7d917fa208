//! The keys of the kernel command line, as users read of them: the README's table, and guest-init(8)'s.
//!
//! What takes their values is [`super::Request::parse`]; `tests/docs.rs` checks that both know the same keys.

/// A key, in words. Backticks are round what is written as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name, without `guest_init.`.
    pub name: &'static str,
    /// What its value is, and does.
    pub value: &'static str,
    /// Its value where it does not stand; `None` where it then is as if it did not exist.
    pub default: Option<&'static str>,
}

/// Every key, in the order in which they are explained.
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
