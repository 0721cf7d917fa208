//! Kata's two runtimes: how each joins a configuration's list with a pod's annotation before it asks its agent to load
//! it.
//!
//! | | Go | Rust |
//! | --- | --- | --- |
//! | the annotation | replaces the configuration's list | is added to the configuration's list |
//! | the annotation's entries | end at every `;`, also inside quotes | end at every `;`, also inside quotes |
//! | an entry's words | end at any white space, also inside quotes | end at each single blank outside quotes |
//! | blanks around an entry | are removed | stay: the agent gets an empty name, and refuses it |
//! | quotes | mean nothing | open at a word that has one, and close at the next word that has one |
//! | the list with `[hypervisor.remote]` | is not sent to the agent | is sent |
//!
//! Go: addAgentConfigOverrides in pkg/oci/utils.go, setupKernelModules in virtcontainers/kata_agent.go. Rust:
//! update_config_by_annotation in kata-types' annotations/mod.rs, KernelModule in runtime-rs' agent/src/types.rs.

use std::fmt;

use clap::ValueEnum;
use guest_init::request::kernel::words::words;
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

    /// The difference between an entry as Kata's own agent gets it and as guest-init reads it. `None`: there is none.
    pub fn difference(self, entry: &str) -> Option<String> {
        if entry.trim().contains('\n') {
            let end = "end it with `;` in an annotation, or as a string of its own in an array";
            return Some(format!("a newline does not end an entry, so Kata reads one module here; {end}"));
        }
        if self == Self::Go || entry.is_empty() {
            return None;
        }
        let Some((name, parameters)) = rust_parameters(entry) else {
            return Some("Kata's Rust runtime refuses a quote that opens and closes in one word".into());
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            let result = "its agent refuses the entry, and guest-init takes it";
            return Some(format!("Kata's Rust runtime does not trim an entry: {result}"));
        }
        let joined = parameters.into_iter().find(|parameter| words(parameter.as_bytes()).count() > 1)?;
        Some(format!("Kata's Rust runtime makes one parameter of `{joined}`, and guest-init several"))
    }
}

/// The name and the parameters that the Rust runtime makes of an entry (KernelModule in agent/src/types.rs). `None`: it
/// refuses the entry.
fn rust_parameters(entry: &str) -> Option<(&str, Vec<String>)> {
    let mut words = entry.split(' ');
    let name = words.next()?;
    let (mut parameters, mut in_quotes) = (Vec::<String>::new(), name.contains('"'));
    for word in words {
        match parameters.last_mut() {
            Some(parameter) if in_quotes => *parameter += &format!(" {word}"),
            _ if in_quotes => {}
            _ => parameters.push(word.to_string()),
        }
        in_quotes ^= word.contains('"');
    }
    (!in_quotes).then_some((name, parameters))
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
    fn rust_does_not_trim() {
        let trims = |entry| Runtime::Rust.difference(entry).is_some_and(|text| text.contains("does not trim"));
        assert!(trims(" i915") && trims(" ") && trims("i915\tx=1") && trims("i915\n"));
        for entry in ["", "i915 ", "i915  x=1", "snd id=\"a b\" x=1"] {
            assert_eq!(Runtime::Rust.difference(entry), None, "{entry}");
        }
        assert_eq!(Runtime::Go.difference(" i915"), None);
    }

    #[test]
    fn rust_counts_words_with_quotes_and_not_quotes() {
        let difference = |entry| Runtime::Rust.difference(entry).unwrap();
        let refused = "Kata's Rust runtime refuses a quote that opens and closes in one word";
        assert_eq!(difference("m x=\"A;B\""), refused);
        let joined = "Kata's Rust runtime makes one parameter of `a=\"1\" b=2 c=\"3\"`, and guest-init several";
        assert_eq!(difference("x a=\"1\" b=2 c=\"3\""), joined);
        assert_eq!(Runtime::Go.difference("m x=\"A;B\""), None);
    }

    #[test]
    fn a_newline_ends_no_entry() {
        for runtime in [Runtime::Go, Runtime::Rust] {
            assert!(runtime.difference("e1000e EEE=1\ni915").is_some_and(|text| text.contains("a newline")));
        }
        assert_eq!(Runtime::Go.difference("\ni915\n"), None);
    }
}
