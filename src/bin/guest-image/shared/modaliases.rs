//! Files of modaliases, which say what devices a VM has that is not running here.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use clap::Args;
use guest_init::request::devices::{VIRTIO_MMIO, bus_of};
use guest_init::text::Shown;

/// The modalias of a device that the kernel command line announced. No driver has it as an alias, because the driver
/// itself makes the device.
const ANNOUNCED: &[u8] = b"platform:virtio-mmio";
/// The advice where modaliases are missing.
pub const ADVICE: &str = "give their modaliases with --modalias FILE, as `cat /sys/bus/*/devices/*/modalias` prints \
                          them in such a VM";

/// The arguments for modaliases.
#[derive(Debug, Args)]
pub struct ModaliasOptions {
    /// A file with the modaliases of the VM's devices, one a line, for @devices in a list; `-` is standard input. In a
    /// VM with the same devices, `cat /sys/bus/*/devices/*/modalias` prints them; may repeat
    #[arg(long, value_name = "FILE")]
    modalias: Vec<PathBuf>,
    /// The modaliases, once they are read. Standard input can be read only once.
    #[arg(skip)]
    read: OnceLock<Vec<Vec<u8>>>,
}

impl ModaliasOptions {
    /// Whether a file is named.
    pub fn are_given(&self) -> bool {
        !self.modalias.is_empty()
    }

    /// Reads all files. Returns the modaliases in the order in which the guest requests them, each once.
    ///
    /// Errors: a file can't be read, or has a line that is no modalias.
    pub fn read(&self) -> Result<&[Vec<u8>]> {
        if let Some(modaliases) = self.read.get() {
            return Ok(modaliases);
        }
        let mut modaliases = BTreeSet::new();
        for file in &self.modalias {
            let name = file.display();
            let text = contents(file).with_context(|| format!("--modalias {name}"))?;
            for (line, number) in text.split(|&b| b == b'\n').map(<[u8]>::trim_ascii).zip(1..) {
                if !line.is_empty() && bus_of(line).is_none_or(<[u8]>::is_empty) {
                    bail!("--modalias {name}: line {number}: `{}`: a modalias begins with a bus and `:`", Shown(line));
                }
                modaliases.extend((!line.is_empty()).then(|| line.to_vec()));
            }
        }
        if modaliases.contains(ANNOUNCED) {
            modaliases.insert(VIRTIO_MMIO.to_vec());
        }
        Ok(self.read.get_or_init(|| modaliases.into_iter().collect()))
    }
}

/// The contents of a file. `-` is standard input.
fn contents(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut text = Vec::new();
    std::io::stdin().lock().read_to_end(&mut text)?;
    Ok(text)
}
