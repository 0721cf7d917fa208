//! The layout: what every image contains, whatever its modules are. initramfs/layout.toml declares it, or a file like
//! that.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::archive::{Archive, DeviceKind, Node};

/// The layout if `--layout` names no other.
const DEFAULT: &str = include_str!("../../../../initramfs/layout.toml");
/// The reason in the report.
const LAYOUT: &str = "layout";
/// The mode of links. The kernel ignores it, and ls shows this one.
const LINK_MODE: u32 = 0o777;

/// A layout. Each table is sorted by path.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layout {
    directories: BTreeMap<String, u32>,
    devices: BTreeMap<String, Device>,
    links: BTreeMap<String, String>,
    programs: BTreeMap<String, Program>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Device {
    kind: DeviceKind,
    major: u32,
    minor: u32,
    mode: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    from: Given,
    mode: u32,
}

/// A file that an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Given {
    /// `--init`
    Init,
    /// `--agent`
    Agent,
}

impl Layout {
    /// Reads a layout, or returns the default one.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(toml::from_str(DEFAULT)?) };
        let name = || file.display().to_string();
        let text = fs::read_to_string(file).with_context(name)?;
        toml::from_str(&text).map_err(|error| one_line(&error, &text)).with_context(name)
    }

    /// The path of the agent in the image.
    pub fn agent(&self) -> Option<&str> {
        self.programs.iter().find(|(_, program)| program.from == Given::Agent).map(|(path, _)| &path[..])
    }

    /// Adds everything in the layout to the image, with the two programs. With `no_agent`, the place of the agent stays
    /// empty.
    pub fn add_to(&self, archive: &mut Archive, init: &Path, agent: Option<&Path>, no_agent: bool) -> Result<()> {
        for (path, mode) in &self.directories {
            archive.add(path, permissions(path, *mode)?, Node::Directory, LAYOUT)?;
        }
        for (path, Device { kind, major, minor, mode }) in &self.devices {
            archive.add(path, permissions(path, *mode)?, Node::Device(*kind, *major, *minor), LAYOUT)?;
        }
        for (path, target) in &self.links {
            archive.add(path, LINK_MODE, Node::Link(target.clone()), LAYOUT)?;
        }
        for (path, Program { from, mode }) in &self.programs {
            let (source, why) = match (from, agent) {
                (Given::Init, _) => (init, "--init"),
                (Given::Agent, Some(agent)) => (agent, "--agent"),
                // The image to append to may have one.
                (Given::Agent, None) if no_agent || !archive.existing.bytes.is_empty() => continue,
                (Given::Agent, None) => bail!(
                    "the layout has an agent at {path}; name its file with --agent, or say --no-agent if root= has it"
                ),
            };
            archive.add(path, permissions(path, *mode)?, Node::of_host(source)?, why)?;
        }
        let has_place = |given| self.programs.values().any(|program| program.from == given);
        match () {
            () if !has_place(Given::Init) => {
                bail!("the layout has no place for --init; add a program with from = \"init\"")
            }
            () if agent.is_some() && !has_place(Given::Agent) => {
                bail!("the layout has no place for --agent; add a program with from = \"agent\"")
            }
            () => Ok(()),
        }
    }
}

/// Checks that a mode has no bits but permissions, set-id bits and the sticky bit.
fn permissions(path: &str, mode: u32) -> Result<u32> {
    if mode > 0o7777 {
        bail!("{path}: the mode {mode:#o} is more than 0o7777");
    }
    Ok(mode)
}

/// An error of the toml crate in one line, with the number of the line in the file.
fn one_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|&b| b == b'\n').count();
    anyhow::anyhow!("line {line}: {}", error.message().replace('\n', ", "))
}
