//! Kata's configuration.toml: its runtime, and its kernel modules.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::runtime::Runtime;

/// The agent of a configuration that names none. Kata has no other.
const AGENT: &str = "kata";

/// The values of a configuration that count here.
#[derive(Debug, Default)]
pub struct Configuration {
    /// The file's name in messages.
    pub title: String,
    /// The runtime that the configuration is for.
    pub runtime: Runtime,
    /// `kernel_modules` of its agent, unchanged.
    pub modules: Vec<String>,
    /// `kernel_params` of its hypervisor, which are on the same command line as the list.
    pub kernel_params: String,
}

/// The tables of a configuration, or of a drop-in, that count here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    agent: BTreeMap<String, Agent>,
    hypervisor: BTreeMap<String, Hypervisor>,
    runtime: RuntimeTable,
}

#[derive(Debug, Default, Deserialize)]
struct Agent {
    kernel_modules: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct Hypervisor {
    kernel_params: Option<String>,
}

/// Kata's Rust runtime requires the names of a hypervisor and an agent. The Go runtime does not know these keys.
#[derive(Debug, Default, Deserialize)]
struct RuntimeTable {
    agent_name: Option<String>,
    hypervisor_name: Option<String>,
}

impl Configuration {
    /// Reads a configuration's text and the drop-ins in the folder config.d beside its file, sorted by name. A later
    /// file overrides an earlier one, as with both runtimes.
    pub fn read(path: &Path, text: &str) -> Result<Self> {
        let title = path.display().to_string();
        let mut file = File::parse(&title, text)?;
        for drop_in in drop_ins(path)? {
            let title = drop_in.display().to_string();
            let text = super::read(&drop_in).with_context(|| title.clone())?;
            file.merge(File::parse(&title, &text)?);
        }
        let File { mut agent, hypervisor, runtime } = file;
        let of_rust = runtime.agent_name.is_some() || runtime.hypervisor_name.is_some();
        let name = runtime.agent_name.as_deref().unwrap_or(AGENT);
        if of_rust && !agent.contains_key(name) {
            bail!("{title}: [runtime] asks for the agent {name:?}, and there is no [agent.{name}]");
        }
        let kernel_params = match &runtime.hypervisor_name {
            Some(name) => hypervisor.get(name),
            None => hypervisor.values().next(),
        };
        Ok(Self {
            title,
            runtime: if of_rust { Runtime::Rust } else { Runtime::Go },
            modules: agent.remove(name).and_then(|agent| agent.kernel_modules).unwrap_or_default(),
            kernel_params: kernel_params.and_then(|table| table.kernel_params.clone()).unwrap_or_default(),
        })
    }
}

impl File {
    fn parse(title: &str, text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| text[..span.start].matches('\n').count() + 1);
            let at = at.map_or(String::new(), |line| format!(":{line}"));
            anyhow::anyhow!("{title}{at}: {}", error.message())
        })
    }

    fn merge(&mut self, other: Self) {
        for (name, agent) in other.agent {
            let table = self.agent.entry(name).or_default();
            table.kernel_modules = agent.kernel_modules.or(table.kernel_modules.take());
        }
        for (name, hypervisor) in other.hypervisor {
            let table = self.hypervisor.entry(name).or_default();
            table.kernel_params = hypervisor.kernel_params.or(table.kernel_params.take());
        }
        let table = &mut self.runtime;
        table.agent_name = other.runtime.agent_name.or(table.agent_name.take());
        table.hypervisor_name = other.runtime.hypervisor_name.or(table.hypervisor_name.take());
    }
}

/// The files in config.d beside a configuration, sorted. Standard input has none.
fn drop_ins(path: &Path) -> Result<Vec<std::path::PathBuf>> {
    let folder = path.with_file_name("config.d");
    if path == Path::new("-") || !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths.sort();
    Ok(paths)
}
