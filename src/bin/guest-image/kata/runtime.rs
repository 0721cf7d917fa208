//! Kata's two runtimes: how each joins a configuration's list with a pod's annotation before it asks its agent to load
//! it.
//!
//! | | Go | Rust |
//! | --- | --- | --- |
//! | the annotation | replaces the configuration's list | is added to the configuration's list |
//! | the annotation's entries | end at every `;`, also inside quotes | end at every `;`, also inside quotes |
//! | an entry's words | end at any white space, also inside quotes | end at each single blank outside quotes |
//! | blanks around an entry | are removed | stay: the agent gets an empty name, and refuses it |
//!
//! Go: addAgentConfigOverrides in pkg/oci/utils.go, setupKernelModules in virtcontainers/kata_agent.go. Rust:
//! update_config_by_annotation in kata-types' annotations/mod.rs, KernelModule in runtime-rs' agent/src/types.rs.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// One of Kata's runtimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// The runtime in Go, containerd-shim-kata-v2
    #[default]
    Go,
    /// The runtime in Rust, runtime-rs
    Rust,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Go { "Go" } else { "Rust" })
    }
}

/// The origin of a VM's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Neither the configuration nor an annotation.
    Nothing,
    /// The configuration alone.
    Configuration,
    /// The annotation alone.
    Annotation,
    /// The configuration, then the annotation.
    Both,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "no list",
            Self::Configuration => "the configuration's list",
            Self::Annotation => "the annotation's list",
            Self::Both => "the configuration's list and the annotation's",
        })
    }
}

impl Runtime {
    /// The entries of a VM's list, as they are written, and their origin.
    pub fn entries<'a>(self, configuration: &'a [String], annotation: Option<&'a str>) -> (Origin, Vec<&'a str>) {
        let configured = configuration.iter().map(String::as_str);
        match (self, annotation) {
            (_, None) if configuration.is_empty() => (Origin::Nothing, Vec::new()),
            (_, None) => (Origin::Configuration, configured.collect()),
            (Self::Rust, Some(text)) if !configuration.is_empty() => {
                (Origin::Both, configured.chain(text.split(';')).collect())
            }
            (_, Some(text)) => (Origin::Annotation, text.split(';').collect()),
        }
    }

    /// The words of an entry, with one blank between them. Empty: the runtime ignores the entry.
    pub fn words(self, entry: &str) -> String {
        let mut in_quotes = false;
        let words = entry.split(|c: char| {
            in_quotes ^= c == '"' && self == Self::Rust;
            !in_quotes && c.is_whitespace()
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Whether Kata's own agent would refuse an entry that guest-init takes. The Rust runtime passes on a name that is
    /// empty or contains white space other than a blank.
    pub fn spoils(self, entry: &str) -> bool {
        let name = entry.split(' ').next().unwrap_or_default();
        self == Self::Rust && !entry.is_empty() && (name.is_empty() || name.contains(char::is_whitespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_splits_at_white_space_and_rust_keeps_quotes() {
        let entry = " a  x=\"1  2\"\ty ";
        assert_eq!(Runtime::Go.words(entry), "a x=\"1 2\" y");
        assert_eq!(Runtime::Rust.words(entry), "a x=\"1  2\" y");
        assert_eq!((Runtime::Go.words(" \n"), Runtime::Rust.words("")), (String::new(), String::new()));
    }

    #[test]
    fn rust_spoils_what_is_not_trimmed() {
        let spoiled = |entry| Runtime::Rust.spoils(entry);
        assert!(spoiled(" i915") && spoiled(" ") && spoiled("i915\tx=1") && spoiled("i915\n"));
        assert!(!spoiled("") && !spoiled("i915 ") && !spoiled("i915  x=1") && !Runtime::Go.spoils(" i915"));
    }
}
