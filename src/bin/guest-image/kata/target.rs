//! One VM's list: as guest-init reads it from a file, and as a word of the kernel command line.

use anyhow::{Context, Result};
use guest_init::failure::{Code, Failure};
use guest_init::request::{MOST_ENTRIES, kernel::words::words, list};
use guest_init::text::Shown;
use serde::Serialize;

use super::configuration::Configuration;
use super::pods::{ANNOTATION, Pod};
use super::runtime::{Origin, Runtime};
use crate::cli::stderr::Failures;

/// What the kernel takes of a command line, its final NUL among them: COMMAND_LINE_SIZE of x86, arm64 and most others.
const COMMAND_LINE_SIZE: usize = 2048;

/// The list of one VM, or of many alike.
#[derive(Debug, Serialize)]
pub struct Target {
    /// What it is called in messages: the file, and the pod in it.
    #[serde(skip)]
    pub title: String,
    file: String,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Its entries, each a module and its parameters.
    pub modules: Vec<String>,
    /// The word for the command line; `None` where it is not wanted, or there is no way to write it.
    pub parameter: Option<String>,
    /// What should be known of it.
    pub warnings: Vec<String>,
}

impl Target {
    /// What `runtime` makes of a configuration and a pod, or all that is wrong with it.
    pub fn new(runtime: Runtime, configuration: &Configuration, pod: Option<Pod>) -> Result<Self> {
        let annotation = pod.as_ref().and_then(|pod| pod.annotation.as_deref());
        let (origin, entries) = runtime.entries(&configuration.modules, annotation);
        let title = match &pod {
            Some(pod) if pod.name.is_some() => format!("{}: {} {}", pod.file, pod.kind, pod.full_name()),
            Some(pod) => format!("{}: {}", pod.file, pod.kind),
            None => configuration.title.clone(),
        };
        let mut warnings = Vec::new();
        if pod.as_ref().is_some_and(|pod| pod.misplaced) {
            warnings.push(format!("{ANNOTATION} stands outside of the pods' template, where Kata does not see it"));
        }
        let modules = modules(runtime, &title, &entries, &mut warnings)?;
        if modules.is_empty() {
            warnings.push("no kernel modules are asked for".into());
        }
        let file = pod.as_ref().map_or(configuration.title.clone(), |pod| pod.file.clone());
        let (kind, namespace, name) = pod.map_or((None, None, None), |pod| (Some(pod.kind), pod.namespace, pod.name));
        Ok(Self { title, file, kind, namespace, name, origin, modules, parameter: None, warnings })
    }

    /// Writes the list as a word for the command line, on which `kernel_params` stand as well.
    pub fn write_parameter(&mut self, kernel_params: &str) {
        if !self.modules.is_empty() {
            self.parameter = parameter(&self.modules.join("; "));
            self.warnings.extend(self.parameter.as_ref().and_then(|parameter| too_long(parameter, kernel_params)));
        }
    }

    /// The word for the command line, or why there is none.
    pub fn parameter_or_why(&self) -> Result<&str> {
        let why = "a value has both blanks and quotes, which no kernel command line can hold: write a file with --list";
        self.parameter.as_deref().with_context(|| format!("{}: {why}", self.title))
    }

    /// The text of a list file.
    pub fn file(&self) -> String {
        self.modules.iter().map(|module| format!("{module}\n")).collect()
    }
}

/// The entries of a list, each as guest-init's own reader takes it.
fn modules(runtime: Runtime, title: &str, entries: &[&str], warnings: &mut Vec<String>) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    let mut failures = Failures(Vec::new());
    for entry in entries {
        if runtime.spoils(entry) {
            let entry = Shown(entry.as_bytes());
            warnings
                .push(format!("Kata's Rust runtime does not trim `{entry}`: its agent refuses what guest-init takes"));
        }
        let module = runtime.words(entry);
        if module.starts_with('?') {
            warnings.push(format!("`{module}`: `?` has a meaning to guest-init, and none to Kata's own agent"));
        }
        match one_entry(title, &module) {
            _ if module.is_empty() => {}
            Ok(()) => modules.push(module),
            Err(failure) => failures.0.push(failure),
        }
    }
    if modules.len() > MOST_ENTRIES {
        let reason = format!("{} entries; a VM takes at most {MOST_ENTRIES}", modules.len());
        failures.0.push(Failure::new(Code::TooMany, title, reason));
    }
    Ok(failures.into_result().map(|()| modules)?)
}

/// Whether guest-init reads this as one entry, as Kata does.
fn one_entry(title: &str, module: &str) -> Result<(), Failure> {
    let mut read = Vec::new();
    list::read(module.as_bytes(), title, &mut |entry| read.push(entry));
    let bad =
        |reason| Err(Failure::new(Code::BadEntry, format_args!("{title} `{}`", Shown(module.as_bytes())), reason));
    match &read[..] {
        _ if module.starts_with(['#', '[']) => bad("a name begins with a letter, a digit or `_`"),
        [Err(failure)] if failure.code == Code::UnbalancedQuote => {
            bad("a quote has no end; an annotation's entries end at every `;`, inside quotes, too")
        }
        [Err(failure)] => Err(failure.clone()),
        [Ok(_)] => Ok(()),
        _ => bad("`;` ends an entry of guest-init's lists, and not of Kata's arrays: quote the value that holds it"),
    }
}

/// A list as a word of the kernel command line that the kernel reads as just this list; `None` where there is none.
fn parameter(list: &str) -> Option<String> {
    let bare = format!("guest_init.modules={list}");
    let quoted = format!("guest_init.modules=\"{list}\"");
    [bare, quoted].into_iter().find(|word| {
        let mut words = words(word.as_bytes());
        let read = words.next().filter(|word| word.closed).and_then(|word| word.value);
        read == Some(list.as_bytes()) && words.next().is_none()
    })
}

/// A word of warning where the kernel would cut the command line off.
fn too_long(parameter: &str, kernel_params: &str) -> Option<String> {
    let (bytes, others) = (parameter.len(), kernel_params.len());
    (bytes + others + 1 >= COMMAND_LINE_SIZE).then(|| {
        let others = if others == 0 { String::new() } else { format!(", and kernel_params {others} more") };
        format!(
            "the parameter has {bytes} bytes{others}; a kernel command line has 2,047, Kata's own words among them: \
                 write a file with --list"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_quoted_as_the_kernel_reads_it() {
        assert_eq!(parameter("i915").as_deref(), Some("guest_init.modules=i915"));
        assert_eq!(parameter("a x=1; b").as_deref(), Some("guest_init.modules=\"a x=1; b\""));
        assert_eq!(parameter("a x=\"1;2\"").as_deref(), Some("guest_init.modules=\"a x=\"1;2\"\""));
        assert_eq!(parameter("a x=\"1 2\""), None);
    }
}
