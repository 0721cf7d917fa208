//! Where kmod 30 and kmod 34 answer a call in two ways: which of the two is meant, and why.

use crate::kmod::{Call, Version};

/// A kind of call that the two versions answer in two ways.
pub struct Difference {
    /// What the calls have in common.
    pub kind: &'static str,
    /// The version whose answer is guest-init's.
    pub meant: Version,
    /// Why.
    pub because: &'static str,
    /// Whether a call is of this kind, by its arguments and the files of the configuration and of the indexes.
    pub applies: fn(&Call, &[File<'_>]) -> bool,
}

/// A path, and the text of the file or the target of the link.
pub type File<'a> = (&'a [u8], &'a [u8]);

/// All kinds. The first that applies counts.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        kind: "a file in /usr/lib/modprobe.d",
        meant: Version::V34,
        because: "distributions put their files there, and since kmod 32 it is one of the directories (modprobe.d(5))",
        applies: |_, files| files.iter().any(|(path, _)| path.starts_with(b"usr/lib/modprobe.d/")),
    },
    Difference {
        kind: "a name that is a path",
        meant: Version::V34,
        because: "since kmod 31, modprobe /path/x.ko loads that file",
        applies: |call, _| call.arguments.iter().any(|word| word.starts_with(b"/") || word.starts_with(b"./")),
    },
    Difference {
        kind: "a file *.alias",
        meant: Version::V34,
        because: "since kmod 33 only files *.conf are read",
        applies: |_, files| files.iter().any(|(path, _)| path.ends_with(b".alias")),
    },
    Difference {
        kind: "a link to nothing in modprobe.d",
        meant: Version::V34,
        because: "it no longer hides the file of its name in a later directory, as it did by accident",
        applies: |_, files| files.iter().any(|(_, target)| *target == b"/nowhere"),
    },
    Difference {
        kind: "a backslash as the last byte of a file",
        meant: Version::V34,
        because: "kmod 30 takes the end of the file for a byte 0xff",
        applies: |_, files| files.iter().any(|(path, text)| !is_index(path) && text.ends_with(b"\\")),
    },
    Difference {
        kind: "an index that ends in its head",
        meant: Version::V34,
        because: "kmod 30 reads past the end of the file, and SIGBUS ends it",
        // The head has 12 bytes (MODPROBE.md 3.1).
        applies: |_, files| files.iter().any(|(path, bytes)| is_index(path) && (1..12).contains(&bytes.len())),
    },
];

/// Whether a path is that of an index.
fn is_index(path: &[u8]) -> bool {
    path.ends_with(b".bin")
}
