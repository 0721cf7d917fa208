//! A message as a line of text, or of JSON. All of it comes from the guest and is hostile.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use guest_init::failure::Code;
use guest_init::notification::{self, Notification};
use guest_init::text::Shown;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use syscalls::Errno;

/// The codes of failures that an exit status can show: each stage's, and not the statuses of `listen` itself.
const CODES: std::ops::RangeInclusive<u8> = 0x10..=0x7b;

/// A message.
pub struct Message<'a> {
    bytes: &'a [u8],
    /// The CID of the VM that sent it.
    cid: Option<u32>,
    /// The notification in it, if guest-init sent it.
    pub notification: Option<Notification<'a>>,
}

impl<'a> Message<'a> {
    /// Reads a message.
    pub fn new(bytes: &'a [u8], cid: Option<u32>) -> Self {
        let is_plausible = |notification: &Notification| match notification {
            Notification::Failed { code, .. } => CODES.contains(code),
            Notification::Started { .. } => true,
        };
        Self { bytes, cid, notification: Notification::read(bytes).filter(is_plausible) }
    }

    /// The message as one line of JSON, in ASCII.
    pub fn json(&self) -> Result<String> {
        let mut line = Vec::new();
        self.object().serialize(&mut Serializer::with_formatter(&mut line, Ascii))?;
        Ok(String::from_utf8(line)?)
    }

    fn object(&self) -> Object<'_> {
        let mut fields = BTreeMap::new();
        for (key, value) in notification::fields(self.bytes) {
            // The first of two lines counts, as it does to the library's reader.
            fields.entry(lossy(key)).or_insert_with(|| lossy(value));
        }
        let kind = match self.notification {
            Some(Notification::Failed { line, errno, code, stage, subject }) => {
                let known = Code::ALL.iter().find(|known| **known as u8 == code);
                Kind::Failed {
                    line: lossy(line),
                    code: format!("{code:#04x}"),
                    number: code,
                    name: known.map(|known| format!("{known:?}")),
                    stage: lossy(stage),
                    subject: lossy(subject),
                    errno: i32::try_from(errno).ok().and_then(|errno| Errno::new(errno).name()),
                    meaning: known.map(|known| known.meaning()),
                    look: known.map(|known| known.look()),
                }
            }
            Some(Notification::Started { agent, modules, total, loading, since_boot }) => Kind::Started {
                agent: lossy(agent),
                modules,
                usec: total.as_micros(),
                load_usec: loading.as_micros(),
                boot_usec: since_boot.as_micros(),
            },
            None => Kind::Other,
        };
        Object { kind, cid: self.cid, fields }
    }
}

/// The message as one line of printable ASCII.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cid) = self.cid {
            write!(f, "CID {cid}: ")?;
        }
        match self.notification {
            Some(Notification::Failed { line: b"", errno, code, stage, subject }) => {
                let (stage, subject) = (Shown(stage), Shown(subject));
                write!(f, "guest-init: failed: {stage} {subject}: errno {errno} (exit {code:#04x})")
            }
            Some(Notification::Failed { line, .. }) => write!(f, "{}", Shown(line)),
            Some(Notification::Started { agent, modules, total, loading, since_boot }) => {
                let plural = if modules == 1 { "" } else { "s" };
                let [total, loading, since_boot] = [total, loading, since_boot].map(Seconds);
                write!(f, "guest-init: started {}: {modules} module{plural}, loaded in {loading}; ", Shown(agent))?;
                write!(f, "{total} from its start, {since_boot} from the kernel's")
            }
            None => {
                let lines = self.bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty());
                f.write_str("other:")?;
                lines
                    .enumerate()
                    .try_for_each(|(n, line)| write!(f, "{} {}", if n == 0 { "" } else { "," }, Shown(line)))
            }
        }
    }
}

/// A time in seconds, to the millisecond.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0.as_secs(), self.0.subsec_millis())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A message in JSON.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    kind: Kind<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<u32>,
    fields: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Kind<'a> {
    Failed {
        line: String,
        code: String,
        number: u8,
        name: Option<String>,
        stage: String,
        subject: String,
        errno: Option<&'a str>,
        meaning: Option<&'a str>,
        look: Option<&'a str>,
    },
    Started {
        agent: String,
        modules: u64,
        usec: u128,
        load_usec: u128,
        boot_usec: u128,
    },
    Other,
}

/// JSON without characters that control a terminal: all but printable ASCII is written as \uXXXX.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for c in fragment.chars() {
            match c {
                ' '..='~' => write!(writer, "{c}")?,
                _ => c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?,
            }
        }
        Ok(())
    }
}
