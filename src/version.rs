//! The version of a program, with what it was built from.

use core::fmt::{self, Display, Formatter};

/// The version, the commit and the features of a program, shown as `0.1.0 (3f2a1bc90d4e, decompress)`.
///
/// A program passes the commit itself, so that Cargo builds only the program anew at each commit, and not this library.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    commit: Option<&'static str>,
    features: &'static [&'static str],
}

impl Version {
    /// The version of guest-init. Its features are Cargo's, except those that every guest-init for a VM has.
    pub const fn of_guest_init(commit: Option<&'static str>) -> Self {
        const FEATURES: &[&str] = &[
            #[cfg(feature = "decompress")]
            "decompress",
            #[cfg(not(feature = "bare"))]
            "not for a VM",
        ];
        Self { commit, features: FEATURES }
    }

    /// The version of guest-image, of which there is one build.
    pub const fn of_guest_image(commit: Option<&'static str>) -> Self {
        Self { commit, features: &[] }
    }
}

impl Display for Version {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(env!("CARGO_PKG_VERSION"))?;
        let commit = self.commit.filter(|commit| !commit.is_empty());
        let mut separator = " (";
        for detail in commit.iter().chain(self.features) {
            write!(f, "{separator}{detail}")?;
            separator = ", ";
        }
        f.write_str(if separator == ", " { ")" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown() {
        let number = env!("CARGO_PKG_VERSION");
        let shown = |commit, features| Version { commit, features }.to_string();
        assert_eq!(shown(None, &[]), number);
        assert_eq!(shown(Some(""), &[]), number);
        assert_eq!(shown(Some("3f2a1bc"), &[]), std::format!("{number} (3f2a1bc)"));
        assert_eq!(shown(Some("3f2a1bc"), &["decompress"]), std::format!("{number} (3f2a1bc, decompress)"));
        assert_eq!(shown(None, &["decompress"]), std::format!("{number} (decompress)"));
    }
}
