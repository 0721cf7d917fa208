//! Whether the kernel of a VM can execute a program of its image: the program, and its interpreters one after the other
//! (fs/binfmt_script.c and fs/binfmt_elf.c). `check` walks through a root, `build` through the image that it makes.

use std::borrow::Cow;

use guest_init::elf::Elf;
use guest_init::failure::{Code, Failure};
use guest_init::guest::handoff::agent::{interpreter_of, missing_interpreter};
use guest_init::machine::Machine;
use guest_init::text::Shown;
use syscalls::Errno;

/// The most interpreters in a row (`exec_binprm` in fs/exec.c).
const MOST_INTERPRETERS: usize = 5;

/// The result of looking up a path in an image.
pub enum Found<'f> {
    /// Nothing.
    Nothing,
    /// A regular file.
    File {
        /// Its permissions.
        mode: u32,
        /// Its bytes.
        bytes: Cow<'f, [u8]>,
    },
    /// A directory or a device.
    NotAFile,
    /// A file whose bytes are not known.
    Unknown,
}

/// Checks that the kernel of a machine, if that is known, can execute the agent at a path. `look_up` finds files of the
/// image.
///
/// Failures: [`Code::AgentMissing`], [`Code::AgentNotExecutable`], [`Code::InterpreterMissing`],
/// [`Code::AgentRefused`], as PID 1 ends with them.
pub fn check<'f>(agent: &str, machine: Option<&Machine>, look_up: &dyn Fn(&str) -> Found<'f>) -> Result<(), Failure> {
    let mut path = agent.to_string();
    for depth in 0..=MOST_INTERPRETERS {
        let fails = |code, reason: &str, reason_of_interpreter: &str| match depth {
            0 => Err(Failure::new(code, agent, reason)),
            _ => {
                let reason = format!("its interpreter {} {reason_of_interpreter}", Shown(path.as_bytes()));
                Err(Failure::new(code, agent, reason))
            }
        };
        let (mode, bytes) = match look_up(&path) {
            Found::File { mode, bytes } => (mode, bytes),
            Found::Nothing if depth > 0 => return Err(missing_interpreter(agent.as_bytes(), path.as_bytes())),
            Found::Nothing => return Err(Failure::new(Code::AgentMissing, agent, "there is no such file")),
            Found::NotAFile => return fails(Code::AgentNotExecutable, "it is no regular file", "is no regular file"),
            Found::Unknown => return Ok(()),
        };
        if mode & 0o111 == 0 {
            return fails(Code::AgentNotExecutable, "no execute bit in its mode", "has no execute bit in its mode");
        }
        if let (Some(elf), Some(machine)) = (Elf::new(&bytes), machine)
            && let Some(reason) = elf.misfit(machine.name)
        {
            return fails(Code::AgentRefused, reason.as_str(), &format!("is {reason}"));
        }
        match interpreter_of(&bytes) {
            Some(interpreter) => path = String::from_utf8_lossy(&interpreter).into_owned(),
            None if bytes.starts_with(b"\x7fELF") => return Ok(()),
            None => {
                let reason = "neither an ELF file nor a script with #!";
                return fails(Code::AgentRefused, &format!("it is {reason}"), &format!("is {reason}"));
            }
        }
    }
    let reason = format!("more than {MOST_INTERPRETERS} interpreters in a row");
    Err(Failure::from_errno(Code::AgentRefused, agent, Errno::ELOOP, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use guest_init::machine::X86_64;

    /// A path, a mode, and contents. Mode 0 is no regular file.
    type File = (&'static str, u32, &'static str);

    /// The failure for an image of these files.
    fn failure(files: &[File]) -> Option<(Code, String)> {
        let look_up = |path: &str| match files.iter().find(|(known, ..)| *known == path) {
            Some((_, 0, _)) => Found::NotAFile,
            Some((_, mode, bytes)) => Found::File { mode: *mode, bytes: bytes.as_bytes().into() },
            None => Found::Nothing,
        };
        check("/a", Some(&X86_64), &look_up).err().map(|failure| (failure.code, failure.reason.to_string()))
    }

    #[test]
    fn every_interpreter_is_looked_for() {
        let elf = ("/bin/sh", 0o755, "\x7fELF");
        assert_eq!(failure(&[("/a", 0o755, "#! /bin/sh -e\n"), elf]), None);
        assert_eq!(failure(&[("/a", 0o755, "#!/b\n"), ("/b", 0o755, "#!/bin/sh"), elf]), None);
        let cases: [(&[File], Code, &str); 7] = [
            (&[], Code::AgentMissing, "there is no such file"),
            (&[("/a", 0o644, "")], Code::AgentNotExecutable, "no execute bit in its mode"),
            (&[("/a", 0, "")], Code::AgentNotExecutable, "it is no regular file"),
            (&[("/a", 0o755, "text")], Code::AgentRefused, "it is neither an ELF file nor a script with #!"),
            (&[("/a", 0o755, "#!/bin/sh\n")], Code::InterpreterMissing, "its interpreter /bin/sh is not there"),
            (
                &[("/a", 0o755, "#!/bin/sh\r\n"), elf],
                Code::InterpreterMissing,
                "its interpreter /bin/sh\\r is not there: the script's lines end in CR LF",
            ),
            (&[("/a", 0o755, "#!/a\n")], Code::AgentRefused, "more than 5 interpreters in a row"),
        ];
        for (files, code, reason) in cases {
            assert_eq!(failure(files), Some((code, reason.into())), "{files:?}");
        }
    }
}
