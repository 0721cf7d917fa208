//! A question to a port of the host by vsock, and its answer.

use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, VsockAddr, connect, setsockopt, socket};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;

/// The most bytes of an answer.
const ANSWER_LIMIT: u64 = 4096;
/// Seconds between two pieces of an answer.
const WAIT: i64 = 10;

/// Connects a stream to this port of this CID, sends the line, and returns the first line of the answer.
pub fn ask(cid: u32, port: u32, line: &[u8]) -> io::Result<Vec<u8>> {
    let stream = socket(AddressFamily::Vsock, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&stream, ReceiveTimeout, &TimeVal::seconds(WAIT))?;
    connect(stream.as_raw_fd(), &VsockAddr::new(cid, port))?;
    let mut stream = File::from(stream);
    stream.write_all(&[line, b"\n"].concat())?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_LIMIT)).read_until(b'\n', &mut answer)?;
    Ok(answer)
}
