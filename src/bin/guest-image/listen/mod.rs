//! `guest-image listen`: hears from a VM whether its agent was started, and if not, why.
//!
//! [`channel`] has the socket. [`connection`] reads from it, [`framing`] finds the messages, and [`signals`] waits for
//! signals. All become [`event`]s, which the [`session`] handles one after the other. [`message`] prints, and
//! [`command`] runs the VM.

mod channel;
mod command;
mod connection;
mod event;
mod framing;
mod message;
mod session;
mod signals;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::cli::exit::Exit;
use crate::cli::stderr;

use channel::Channel;
use command::Command;
use session::Session;

const EXAMPLES: &str = "\
Examples:
  guest-image listen --unix v.sock -- firecracker --no-api --config-file vm.json
  guest-image listen --unix v.sock --wait -- cloud-hypervisor --vsock cid=3,socket=v.sock ...
  guest-image listen --port notify.sock --json -- sh -c 'exec qemu-system-x86_64 ... >console.log'
  guest-image listen --vsock 9999";

const STATUS: &str = "\
Exit status:
  0          the agent was started
  16 to 113  guest-init failed, and the status is the failure's code: 66 is 0x42
  1          COMMAND ended, or the VMM closed the socket, before guest-init reported;
             or the socket can't be had
  2          wrong arguments
  124        the time limit passed
  126        COMMAND can't be executed
  127        COMMAND does not exist
  128+N      signal N ended guest-image, which has no COMMAND to pass it on to";

/// Listens to a VM: whether guest-init started the agent, or why not.
///
/// The VM's command line has guest_init.notify= with the other end of the channel, as listen prints it at its start.
/// Each message is printed as one line. The first message of guest-init decides: listen ends with status 0 if the agent
/// was started, and with the failure's code if guest-init failed. Messages of others, such as systemd's READY=1, are
/// printed and decide nothing.
///
/// COMMAND runs the VM. It is started when the socket is there, with the same standard input, output and error. A line
/// of the VM's console can interrupt one of listen, so give the console a file if a program reads the lines. SIGINT,
/// SIGTERM, SIGHUP and SIGQUIT are passed on to COMMAND. When the agent was started, listen ends and leaves COMMAND
/// running. If guest-init failed, COMMAND has 5 s to end by itself, as the VMM of a VM that panics does. Then it gets
/// SIGTERM, and SIGKILL 5 s later. After the time limit it gets SIGTERM at once.
///
/// A socket that listen made is removed at its end. A socket at its path that nobody listens on is replaced.
///
/// --json prints one object a line, in ASCII: "kind" and "fields" (each KEY and its VALUE). "kind" is "failed" with
/// "line" (as in the kernel log), "code", "number", "name", "stage", "subject", "errno", "meaning" and "look"; or
/// "started" with "agent", "modules", "usec" (since guest-init began), "load_usec" (of that: planning and loading) and
/// "boot_usec" (since the kernel began); or "other". With --vsock, "cid" is the sender's.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{STATUS}"))]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// With --unix: the port that the guest connects to
    #[arg(long, value_name = "PORT", default_value_t = 9999, value_parser = port())]
    #[arg(conflicts_with_all = ["vsock", "port"])]
    vsock_port: u32,
    /// With --vsock: listen for SOCK_SEQPACKET, as with guest_init.notify=vsock-seqpacket:2:PORT, in place of
    /// SOCK_STREAM. Linux does not let one port have both
    #[arg(long, conflicts_with_all = ["unix", "port"])]
    seqpacket: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// End after so long if guest-init has not reported by then; fractions are allowed [default: no limit]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    time_limit: Option<Duration>,
    /// When the agent was started, stay until COMMAND ends
    #[arg(long, requires = "command")]
    wait: bool,
    /// The program that runs the VM, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The channel to listen on.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// The Unix socket of a VM's vsock device, as its VMM is told: Firecracker's uds_path, Cloud Hypervisor's socket,
    /// vhost-device-vsock's uds-path. A guest's connection to port 9999 arrives at PATH_9999, where listen listens
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// A port of this host's AF_VSOCK, for QEMU with vhost-vsock. Any VM of this host can connect to it
    #[arg(long, value_name = "PORT", value_parser = port())]
    vsock: Option<u32>,
    /// The socket of a virtio-serial port's chardev. If a VMM listens on it, listen connects; else listen listens, and
    /// QEMU connects: -device virtio-serial -chardev socket,id=n,path=SOCKET -device virtserialport,chardev=n,name=NAME
    #[arg(long, value_name = "SOCKET")]
    port: Option<PathBuf>,
}

/// Vsock ports except VMADDR_PORT_ANY.
fn port() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(..i64::from(u32::MAX))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|limit| !limit.is_zero() && limit.as_secs() < 1 << 32)
        .ok_or("not a positive number of seconds".into())
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<Exit> {
    let (sender, events) = event::queue();
    signals::watch(&sender)?;
    let channel = arguments.channel()?;
    stderr::print(format_args!("guest-image: {channel}"));
    channel.serve(&sender)?;
    let command = match Command::start(&arguments.command) {
        Ok(command) => command,
        Err((exit, error)) => {
            stderr::report(&error);
            return Ok(exit);
        }
    };
    Session::new(events, &channel, command, arguments).run()
}

impl Arguments {
    fn channel(&self) -> Result<Channel> {
        match &self.place {
            Place { unix: Some(path), .. } => Channel::unix(path, self.vsock_port),
            Place { port: Some(path), .. } => Channel::virtio_port(path),
            Place { vsock, .. } => Channel::vsock(vsock.unwrap_or_default(), self.seqpacket),
        }
    }
}
