//! What Kata's two runtimes make of a configuration's list and of a pod's annotation, before their agent is asked to load it.
//!
//! | | Go | Rust |
//! | --- | --- | --- |
//! | the annotation | replaces the configuration's list | is added to it |
//! | the annotation's entries | end at every `;`, inside quotes, too | end at every `;`, inside quotes, too |
//! | an entry's words | end at any white space, inside quotes, too | end at each single blank, outside quotes |
//! | blanks around an entry | are taken off | stay: the agent gets an empty name, and refuses it |
//!
//! Go: addAgentConfigOverrides in pkg/oci/utils.go, setupKernelModules in virtcontainers/kata_agent.go. Rust:
//! update_config_by_annotation in kata-types' annotations/mod.rs, KernelModule in runtime-rs' agent/src/types.rs.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// Which of Kata's runtimes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// The one in Go, containerd-shim-kata-v2
    #[default]
    Go,
    /// The one in Rust, runtime-rs
    Rust,
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Go { "Go" } else { "Rust" })
    }
}

/// Where a VM's list comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nothing asks for modules.
    Nothing,
    /// The configuration alone.
    Configuration,
    /// The annotation alone.
    Annotation,
    /// First the configuration, then the annotation.
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
    /// The entries that a VM is asked for, as they are written, and where they come from.
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

    /// An entry as the kernel gets it: its words, with a blank between. Empty where it is passed over.
    pub fn words(self, entry: &str) -> String {
        let mut in_quotes = false;
        let words = entry.split(|c: char| {
            in_quotes ^= c == '"' && self == Self::Rust;
            !in_quotes && c.is_whitespace()
        });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Whether this runtime's own agent would refuse an entry that guest-init takes: its name is then empty, or holds
    /// what is not a blank to the Rust runtime.
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
