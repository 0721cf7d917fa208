//! The agent of the VM: whether the root has it, and whether the kernel could execute it.

use guest_init::elf::Elf;
use guest_init::failure::{Code, Failure};
use guest_init::machine::Machine;
use guest_init::request::{Request, RootChoice};
use guest_init::text::Shown;
use rustix::fs::fstat;
use rustix::io::{self, Errno};

use super::findings::{AgentPlace, Findings, Remark, Topic};
use crate::shared::folder::Folder;
use crate::shared::program::{self, Found};

/// The largest program that is looked into on a share, in bytes.
const LARGEST: usize = 256 << 20;
/// guest-init in a root that is the image of the VM.
const GUEST_INIT: &str = "sbin/guest-init";

/// Looks for the agent in a root. Returns the failure that the VM would end with.
///
/// A root without the agent is the VM's image only if it has guest-init. Else the image may be made of it with `build
/// --agent`, so that nothing is known but that the agent is not there, which is a warning. If PID 1 switches to
/// `root=`, the agent is there. It is looked for only if `root=` names the share `on_root`.
pub fn inspect(
    request: &Request<'_>,
    machine: Option<&Machine>,
    root: Option<&Folder>,
    on_root: Option<&Folder>,
    findings: &mut Findings,
) -> Option<Failure> {
    let agent = Shown(request.agent).to_string();
    let Some(root) = root else {
        let text = format!("{agent}: the agent was not looked for; name the guest's root with --root");
        findings.notes.push(Remark::new(Topic::Agent, None, text));
        return None;
    };
    let check =
        |root: &Folder| program::check(&agent, machine, &|path| look_up(root, path).unwrap_or_else(not_opened)).err();
    let failure = check(root);
    let is_missing = failure.as_ref().is_some_and(|failure| failure.code == Code::AgentMissing);
    if let Some(root) = request.kernel.root {
        let (switches, text) = match (request.root, is_missing) {
            (RootChoice::Stay, _) => (false, format!("{root}: ignored, because of guest_init.root=stay")),
            (RootChoice::Auto, false) => {
                (false, format!("{root}: ignored by an initramfs that has the agent, {agent}"))
            }
            (RootChoice::Auto | RootChoice::Switch, _) => {
                let doubt = if on_root.is_some() { "" } else { ", and was not looked for" };
                (true, format!("{root}: the agent, {agent}, is there{doubt}"))
            }
        };
        findings.notes.push(Remark::new(Topic::Agent, None, text));
        if switches {
            findings.agent = AgentPlace::OnRoot;
            return on_root.and_then(check);
        }
    }
    let failure = failure?;
    if failure.code != Code::AgentMissing || is_image(root) {
        return Some(failure);
    }
    let (path, code) = (root.path.display(), failure.code);
    let text = format!("{agent}: the agent is not in {path}: the VM fails with {code} unless its image has it");
    findings.warnings.push(Remark::new(Topic::Agent, None, text));
    findings.agent = AgentPlace::Missing;
    None
}

/// Whether a root is the image of a VM: it has guest-init.
pub fn is_image(root: &Folder) -> bool {
    root.file(GUEST_INIT).is_ok()
}

/// The machine of the guest-init in a root.
pub fn machine_of(root: &Folder) -> Option<&'static Machine> {
    match look_up(root, GUEST_INIT) {
        Ok(Found::File { bytes, .. }) => Elf::new(&bytes)?.machine(),
        _ => None,
    }
}

fn look_up(root: &Folder, path: &str) -> io::Result<Found<'static>> {
    let file = root.directory.as_ref().map_err(|error| *error)?.regular(path)?;
    Ok(Found::File { mode: fstat(&file)?.st_mode, bytes: file.contents(LARGEST)? })
}

fn not_opened<'f>(error: Errno) -> Found<'f> {
    match error {
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP => Found::Nothing,
        Errno::ISDIR | Errno::INVAL | Errno::NXIO => Found::NotAFile,
        _ => Found::Unknown,
    }
}
