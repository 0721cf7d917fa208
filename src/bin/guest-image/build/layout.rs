//! The layout: what every image holds whatever its modules are, declared in initramfs/layout.toml or a file like it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::archive::{Archive, DeviceKind, Node};

/// The layout of an image for which no other is named.
const DEFAULT: &str = include_str!("../../../../initramfs/layout.toml");
/// Why it is in an image.
const LAYOUT: &str = "layout";
/// Links have no mode of their own; ls shows this one.
const LINK_MODE: u32 = 0o777;

/// A layout, by path in the image.
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

/// The files that a command line gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Given {
    /// `--init`
    Init,
    /// `--agent`
    Agent,
}

impl Layout {
    /// Reads a layout, or takes the default one.
    pub fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else { return Ok(toml::from_str(DEFAULT)?) };
        let name = || file.display().to_string();
        let text = fs::read_to_string(file).with_context(name)?;
        toml::from_str(&text).map_err(|error| one_line(&error, &text)).with_context(name)
    }

    /// Puts all of it into the image, the two programs included.
    pub fn place(&self, archive: &mut Archive, init: &Path, agent: Option<&Path>) -> Result<()> {
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
                // The other image may have one.
                (Given::Agent, None) if !archive.existing.bytes.is_empty() => continue,
                (Given::Agent, None) => bail!("the layout has an agent at {path}: name its --agent"),
            };
            archive.add(path, permissions(path, *mode)?, Node::of_host(source)?, why)?;
        }
        let has_place = |given| self.programs.values().any(|program| program.from == given);
        match () {
            () if !has_place(Given::Init) => {
                bail!("the layout has no place for --init: a program with from = \"init\"")
            }
            () if agent.is_some() && !has_place(Given::Agent) => bail!("the layout has no place for --agent"),
            () => Ok(()),
        }
    }
}

/// Checks a mode: permissions, set-id bits and the sticky bit; the type of a file is not the mode's to say.
fn permissions(path: &str, mode: u32) -> Result<u32> {
    if mode > 0o7777 {
        bail!("{path}: the mode {mode:#o} is more than 0o7777");
    }
    Ok(mode)
}

/// toml draws its errors over several lines; here they are one, with the line's number.
fn one_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let start = error.span().map_or(0, |span| span.start);
    let line = 1 + text.bytes().take(start).filter(|&b| b == b'\n').count();
    anyhow::anyhow!("line {line}: {}", error.message().replace('\n', ", "))
}
