//! The list of one VM, as a file for guest-init and as a word of the kernel command line.

use anyhow::{Context, Result};
use guest_init::failure::{Code, Failure};
use guest_init::machine::Machine;
use guest_init::request::list::{self, Entry, ModuleEntry};
use guest_init::request::{MOST_ENTRIES, kernel::words::words};
use guest_init::text::Shown;
use indicatif::HumanCount;
use serde::Serialize;

use super::annotation::{self, KERNEL_PARAMS};
use super::configuration::Configuration;
use super::pods::{KERNEL_MODULES, Pod};
use super::runtime::{Origin, Runtime};
use crate::cli::stderr::Failures;

/// The list of one VM, or of all VMs of a template.
#[derive(Debug, Serialize)]
pub struct Target {
    /// The name in messages: the file, and the pod in it.
    #[serde(skip)]
    pub title: String,
    file: String,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    /// The origin of the list.
    pub origin: Origin,
    /// The entries, each a module with its parameters.
    pub modules: Vec<String>,
    /// The word for the command line. `None`: it is not asked for, or no command line can hold the list.
    pub parameter: Option<String>,
    /// The words for a pod's annotation. `None`: they are not asked for, or no such words say the same as the list.
    pub annotation: Option<String>,
    /// Warnings about the list.
    pub warnings: Vec<String>,
}

impl Target {
    /// Joins the lists of a configuration and a pod as `runtime` does.
    ///
    /// Error: all entries that guest-init would refuse.
    pub fn new(runtime: Runtime, configuration: &Configuration, pod: Option<Pod>) -> Result<Self> {
        let kernel_modules = pod.as_ref().and_then(|pod| pod.kernel_modules.as_deref());
        let (origin, entries) = runtime.entries(&configuration.modules, kernel_modules);
        let title = match &pod {
            Some(pod) if pod.name.is_some() => format!("{}: {} {}", pod.file, pod.kind, pod.full_name()),
            Some(pod) => format!("{}: {}", pod.file, pod.kind),
            None => configuration.title.clone(),
        };
        let mut warnings = Vec::new();
        if let Some(place) = pod.as_ref().and_then(|pod| pod.misplaced) {
            warnings.push(format!("{KERNEL_MODULES} stands outside of {place}, where Kata does not read it"));
        }
        let kernel_params = pod.as_ref().and_then(|pod| pod.kernel_params.as_deref());
        warnings.extend(kernel_params.and_then(annotation::change));
        let modules = modules(runtime, &title, &entries, &mut warnings)?;
        if modules.is_empty() {
            warnings.push("no kernel modules are asked for".into());
        } else if !configuration.reaches_the_agent(runtime) {
            warnings.push(
                "Kata's Go runtime does not send kernel_modules to the agent with [hypervisor.remote]; guest-init \
                 loads them if the VM's own command line has the list"
                    .into(),
            );
        }
        let file = pod.as_ref().map_or(configuration.title.clone(), |pod| pod.file.clone());
        let (kind, namespace, name) = pod.map_or((None, None, None), |pod| (Some(pod.kind), pod.namespace, pod.name));
        let (parameter, annotation) = (None, None);
        Ok(Self { title, file, kind, namespace, name, origin, modules, parameter, annotation, warnings })
    }

    /// Writes the list as words for the command line, which also holds the configuration's `kernel_params`: as one
    /// word, and as words for a pod's annotation. `for_annotation`: only those are printed. `machine` is the VM's.
    pub fn write_parameter(
        &mut self,
        runtime: Runtime,
        configuration: &Configuration,
        machine: &Machine,
        for_annotation: bool,
    ) {
        if self.modules.is_empty() {
            return;
        }
        self.parameter = parameter(&self.modules.join("; "));
        self.annotation = annotation::words_for(&self.modules).ok();
        let printed = if for_annotation { &self.annotation } else { &self.parameter };
        self.warnings.extend(printed.as_ref().and_then(|words| too_long(words, &configuration.kernel_params, machine)));
        // A list that is the pod's own can stand nowhere else.
        let is_own = matches!(self.origin, Origin::Annotation | Origin::Both);
        let word = self.parameter.as_ref().filter(|_| is_own && !for_annotation);
        self.warnings.extend(word.and_then(|word| annotation::advice(word, &self.modules)));
        if is_own && configuration.forbids_kernel_params() {
            let title = &configuration.title;
            self.warnings
                .push(format!("{title}: enable_annotations lacks kernel_params, so Kata refuses {KERNEL_PARAMS}"));
        }
        if is_own && runtime == Runtime::Rust && !configuration.kernel_params.is_empty() {
            self.warnings.push(format!(
                "Kata's Rust runtime puts the annotation {KERNEL_PARAMS} in place of the configuration's kernel_params: \
                 repeat their words in it"
            ));
        }
    }

    /// The word for the command line.
    ///
    /// Error: the reason why there is none.
    pub fn parameter_or_why(&self) -> Result<&str> {
        let why = "no kernel command line can hold a value with both blanks and quotes; write a file with --list";
        self.parameter.as_deref().with_context(|| format!("{}: {why}", self.title))
    }

    /// The words for a pod's annotation.
    ///
    /// Error: the reason why there are none.
    pub fn annotation_or_why(&self) -> Result<&str> {
        let why = || annotation::words_for(&self.modules).err().unwrap_or_default();
        let title = &self.title;
        let missing = || format!("{title}: no words without blanks say the same: {}; write a file with --list", why());
        self.annotation.as_deref().with_context(missing)
    }

    /// The text of a list file.
    pub fn file(&self) -> String {
        self.modules.iter().map(|module| format!("{module}\n")).collect()
    }
}

/// The entries of a list, each checked by guest-init's own parser.
fn modules(runtime: Runtime, title: &str, entries: &[&str], warnings: &mut Vec<String>) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    let mut failures = Failures(Vec::new());
    for entry in entries {
        if let Some(difference) = runtime.difference(entry) {
            warnings.push(format!("`{}`: {difference}", Shown(entry.as_bytes())));
        }
        let module = runtime.words(entry);
        if let Some(mark) = ["?", "@devices"].into_iter().find(|mark| module.starts_with(mark)) {
            warnings.push(format!("`{module}`: Kata's own agent does not know `{mark}`"));
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

/// Checks that guest-init reads this as one entry, as Kata does.
fn one_entry(title: &str, module: &str) -> Result<(), Failure> {
    let mut read = Vec::new();
    list::read(module.as_bytes(), title, &mut |entry| read.push(entry));
    let bad =
        |reason| Err(Failure::new(Code::BadEntry, format_args!("{title} `{}`", Shown(module.as_bytes())), reason));
    match &read[..] {
        _ if module.starts_with(['#', '[']) => bad("a name begins with a letter, a digit or `_`"),
        [Err(failure)] if failure.code == Code::UnbalancedQuote => {
            bad("a quote is not closed; an annotation's entries end at every `;`, also inside quotes")
        }
        [Err(failure)] => Err(failure.clone()),
        // An alias, such as `of:N*T*Cvirtio,mmio`, has a colon.
        [Ok(Entry::Module(ModuleEntry { name, .. }))]
            if name.as_bytes().contains(&b',') && !name.as_bytes().contains(&b':') =>
        {
            bad(
                "no module's name holds a comma; `;` ends an entry in an annotation, and in an array each entry is a string",
            )
        }
        [Ok(_)] => Ok(()),
        _ => bad("`;` ends an entry of guest-init's lists, but not of Kata's arrays; quote the value that contains it"),
    }
}

/// A word of the kernel command line that the kernel reads as this list. `None`: no word can hold the list.
fn parameter(list: &str) -> Option<String> {
    let bare = format!("guest_init.modules={list}");
    let quoted = format!("guest_init.modules=\"{list}\"");
    [bare, quoted].into_iter().find(|word| {
        let mut words = words(word.as_bytes());
        let read = words.next().filter(|word| word.closed).and_then(|word| word.value);
        read == Some(list.as_bytes()) && words.next().is_none()
    })
}

/// A warning if the kernel of a machine would cut the command line off.
fn too_long(parameter: &str, kernel_params: &str, machine: &Machine) -> Option<String> {
    let (bytes, others) = (parameter.len(), kernel_params.len());
    let longest = machine.longest_command_line();
    (bytes + others >= longest).then(|| {
        let longest = HumanCount(longest as u64);
        let others = if others == 0 { String::new() } else { format!(", and kernel_params {others} more") };
        format!(
            "the parameter has {bytes} bytes{others}; a kernel command line holds {longest} on {machine}, with Kata's own \
             words; write a file with --list"
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
