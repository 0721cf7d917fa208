//! Kata's configuration.toml: its runtime, and its kernel modules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::runtime::Runtime;
use super::syntax::Source;

/// The agent of a configuration that names none. Kata has no other.
const AGENT: &str = "kata";
/// The key of the list in the agent's table.
const KEY: &str = "kernel_modules";
/// A list as Kata's own comment shows it.
const EXAMPLE: &str = r#"kernel_modules = ["e1000e EEE=1", "i915"]"#;

/// The values of a configuration that count here.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The file's name in messages.
    pub title: String,
    /// The runtime that the configuration is for.
    pub runtime: Runtime,
    /// The name of the hypervisor's table.
    pub hypervisor: Option<String>,
    /// `kernel_modules` of its agent, unchanged.
    pub modules: Vec<String>,
    /// `kernel_params` of its hypervisor, which are on the same command line as the list.
    pub kernel_params: String,
    /// `enable_annotations` of its hypervisor: regular expressions for the annotations that a pod may have.
    annotations: Option<Vec<String>>,
    /// Warnings about its files.
    pub warnings: Vec<String>,
}

/// The values of one file, a configuration or a drop-in, that count here. `None`: the table lacks the key.
#[derive(Debug, Default)]
struct File {
    /// `kernel_modules` of each table `[agent.NAME]`.
    agents: BTreeMap<String, Option<Vec<String>>>,
    /// The values of each table `[hypervisor.NAME]`.
    hypervisors: BTreeMap<String, Hypervisor>,
    /// Kata's Rust runtime requires the names of an agent and a hypervisor. The Go runtime does not know these keys.
    agent_name: Option<String>,
    hypervisor_name: Option<String>,
    warnings: Vec<String>,
}

/// The values of a table `[hypervisor.NAME]` that count here.
#[derive(Debug, Default)]
struct Hypervisor {
    kernel_params: Option<String>,
    enable_annotations: Option<Vec<String>>,
}

impl Configuration {
    /// Reads a configuration's text and the drop-ins in the folder config.d beside its file, sorted by name. A later
    /// file overrides an earlier one, as with both runtimes.
    pub fn read(path: &Path, text: &str) -> Result<Self> {
        let title = path.display().to_string();
        let mut file = File::parse(Source { title: &title, text })?;
        let (drop_ins, ignored) = drop_ins(path)?;
        file.warnings.extend(ignored);
        for drop_in in drop_ins {
            let title = drop_in.display().to_string();
            let text = super::read(&drop_in).with_context(|| title.clone())?;
            file.merge(File::parse(Source { title: &title, text: &text })?);
        }
        let of_rust = file.agent_name.is_some() || file.hypervisor_name.is_some();
        let name = file.agent_name.as_deref().unwrap_or(AGENT);
        if of_rust && !file.agents.contains_key(name) {
            bail!("{title}: [runtime] asks for the agent {name:?}, and there is no [agent.{name}]");
        }
        let others = file.agents.iter().filter(|(other, list)| *other != name && list.is_some());
        let ignored =
            others.map(|(other, _)| format!("{title}: {KEY} is in [agent.{other}]; the agent is [agent.{name}]"));
        file.warnings.extend(ignored.collect::<Vec<_>>());
        let hypervisor = file.hypervisor_name.or_else(|| file.hypervisors.keys().next().cloned());
        let table = hypervisor.as_ref().and_then(|name| file.hypervisors.remove(name)).unwrap_or_default();
        Ok(Self {
            title,
            runtime: if of_rust { Runtime::Rust } else { Runtime::Go },
            modules: file.agents.remove(name).flatten().unwrap_or_default(),
            hypervisor,
            kernel_params: table.kernel_params.unwrap_or_default(),
            annotations: table.enable_annotations,
            warnings: file.warnings,
        })
    }

    /// Whether `runtime` passes `kernel_modules` to the agent. The Go runtime does not if the VM runs elsewhere
    /// (startSandbox in virtcontainers/kata_agent.go).
    pub fn reaches_the_agent(&self, runtime: Runtime) -> bool {
        runtime == Runtime::Rust || self.hypervisor.as_deref() != Some("remote")
    }

    /// Whether the configuration surely forbids a pod's annotation `kernel_params`: no pattern of `enable_annotations`
    /// can match it. Kata then refuses the pod (checkAnnotationNameIsValid in pkg/oci/utils.go).
    pub fn forbids_kernel_params(&self) -> bool {
        let may_match = |pattern: &String| {
            let is_plain = pattern.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            !is_plain || "kernel_params".contains(pattern.as_str())
        };
        self.annotations.as_ref().is_some_and(|patterns| !patterns.iter().any(may_match))
    }
}

impl File {
    fn parse(source: Source<'_>) -> Result<Self> {
        let document = source.toml()?;
        let warnings = misplaced(&source, document.get_ref(), "")?;
        let mut file = Self { warnings, ..Self::default() };
        for (name, table) in tables(&source, document.get_ref(), "agent")? {
            let list = table.get(KEY).map(|value| strings(&source, value)).transpose()?;
            file.agents.insert(name, list);
        }
        for (name, table) in tables(&source, document.get_ref(), "hypervisor")? {
            let kernel_params = string(&source, table, "kernel_params")?;
            let patterns = table.get("enable_annotations").and_then(|patterns| patterns.get_ref().as_array());
            let pattern = |pattern: &Spanned<DeValue<'_>>| pattern.get_ref().as_str().map(str::to_string);
            let enable_annotations = patterns.map(|patterns| patterns.iter().filter_map(pattern).collect());
            file.hypervisors.insert(name, Hypervisor { kernel_params, enable_annotations });
        }
        if let Some(runtime) = document.get_ref().get("runtime") {
            let runtime = table(&source, runtime, "runtime")?;
            file.agent_name = string(&source, runtime, "agent_name")?;
            file.hypervisor_name = string(&source, runtime, "hypervisor_name")?;
        }
        Ok(file)
    }

    fn merge(&mut self, other: Self) {
        for (name, list) in other.agents {
            let earlier = self.agents.entry(name).or_default();
            *earlier = list.or(earlier.take());
        }
        for (name, table) in other.hypervisors {
            let earlier = self.hypervisors.entry(name).or_default();
            earlier.kernel_params = table.kernel_params.or(earlier.kernel_params.take());
            earlier.enable_annotations = table.enable_annotations.or(earlier.enable_annotations.take());
        }
        self.agent_name = other.agent_name.or(self.agent_name.take());
        self.hypervisor_name = other.hypervisor_name.or(self.hypervisor_name.take());
        self.warnings.extend(other.warnings);
    }
}

/// Warnings for the key of the list, or one that is spelled alike, in a table where Kata does not read it. `path`: the
/// table's name.
///
/// Error: the key is in `[agent]` itself. Kata refuses such a file, because only tables may be there.
fn misplaced(source: &Source<'_>, table: &DeTable<'_>, path: &str) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for (key, value) in table {
        let place = source.place(key.span().start);
        let name = key.get_ref().as_ref();
        let is_in_agent = path.strip_prefix("agent.").is_some_and(|name| !name.contains('.'));
        let section = if path.is_empty() { "no table".into() } else { format!("[{path}]") };
        match value.get_ref() {
            DeValue::Table(inner) => {
                let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
                warnings.extend(misplaced(source, inner, &path)?);
            }
            _ if name == KEY && path == "agent" => {
                bail!("{place}: {KEY} is in {section}; it belongs in [agent.{AGENT}]")
            }
            _ if name == KEY && !is_in_agent => {
                warnings.push(format!(
                    "{place}: {KEY} is in {section}, where Kata ignores it; it belongs in [agent.{AGENT}]"
                ));
            }
            _ if name != KEY && is_like_the_key(name) => {
                warnings.push(format!("{place}: Kata ignores `{name}`; its key is {KEY}, in [agent.{AGENT}]"));
            }
            _ => {}
        }
    }
    Ok(warnings)
}

/// Whether a key is a misspelling of [`KEY`].
fn is_like_the_key(name: &str) -> bool {
    let letters: String = name.chars().filter(|letter| letter.is_alphanumeric()).collect();
    letters.to_lowercase().trim_end_matches('s') == "kernelmodule"
}

/// The tables `[PARENT.NAME]`, by their names.
fn tables<'v, 't>(
    source: &Source<'_>,
    document: &'v DeTable<'t>,
    parent: &str,
) -> Result<Vec<(String, &'v DeTable<'t>)>> {
    let Some(value) = document.get(parent) else { return Ok(Vec::new()) };
    let entries = table(source, value, parent)?.iter();
    entries
        .map(|(name, value)| {
            let name = name.get_ref().to_string();
            let table = table(source, value, &format!("{parent}.{name}"))?;
            Ok((name, table))
        })
        .collect()
}

/// A value that must be a table.
fn table<'v, 't>(source: &Source<'_>, value: &'v Spanned<DeValue<'t>>, name: &str) -> Result<&'v DeTable<'t>> {
    let wrong = || format!("{}: {name} is {}, and not a table", source.place(value.span().start), kind(value));
    value.get_ref().as_table().with_context(wrong)
}

/// The value of a key, which must be a string if the table has the key.
fn string(source: &Source<'_>, table: &DeTable<'_>, key: &str) -> Result<Option<String>> {
    let Some(value) = table.get(key) else { return Ok(None) };
    let wrong = || format!("{}: {key} is {}, and not a string", source.place(value.span().start), kind(value));
    Ok(Some(value.get_ref().as_str().with_context(wrong)?.to_string()))
}

/// The value of [`KEY`], which must be an array of strings.
fn strings(source: &Source<'_>, value: &Spanned<DeValue<'_>>) -> Result<Vec<String>> {
    let place = |value: &Spanned<DeValue<'_>>| source.place(value.span().start);
    let wrong = || format!("{}: {KEY} is {}, and not an array of strings: {EXAMPLE}", place(value), kind(value));
    let array = value.get_ref().as_array().with_context(wrong)?;
    array
        .iter()
        .map(|entry| {
            let wrong = || format!("{}: {} among the strings of {KEY}: {EXAMPLE}", place(entry), kind(entry));
            Ok(entry.get_ref().as_str().with_context(wrong)?.to_string())
        })
        .collect()
}

/// The kind of a value, with its article.
fn kind(value: &Spanned<DeValue<'_>>) -> String {
    let kind = value.get_ref().type_str();
    format!("{} {kind}", if kind.starts_with(['a', 'i']) { "an" } else { "a" })
}

/// The files in config.d beside a configuration, sorted, and a warning about another config.d. Standard input has none.
///
/// Both runtimes follow a link to the configuration first (ResolvePath in pkg/katautils/config.go,
/// load_raw_from_file in kata-types' config/mod.rs).
fn drop_ins(path: &Path) -> Result<(Vec<PathBuf>, Option<String>)> {
    if path == Path::new("-") {
        return Ok((Vec::new(), None));
    }
    let is_link = path.is_symlink();
    let real = if is_link { fs::canonicalize(path).with_context(|| path.display().to_string())? } else { path.into() };
    let (folder, beside) = (real.with_file_name("config.d"), path.with_file_name("config.d"));
    let is_ignored = is_link && beside.is_dir() && fs::canonicalize(&beside).ok() != fs::canonicalize(&folder).ok();
    let warning = is_ignored.then(|| {
        let (path, beside, folder) = (path.display(), beside.display(), folder.display());
        format!("{path} is a link, so Kata reads {folder}, and ignores {beside}")
    });
    if !folder.is_dir() {
        return Ok((Vec::new(), warning));
    }
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok((paths, warning))
}
