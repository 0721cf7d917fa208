//! guest-init(8): its keys and its failures are the tables of the code.

use guest_init::failure::Code;
use guest_init::request::keys::KEYS;
use guest_init::request::{DEFAULT_AGENT, MOST_ENTRIES};
use guest_init::resolve::plan::MOST_STEPS;
use guest_init::text::Shown;
use roff::{Inline, Roff, bold, roman};

/// What there is before the tables. A paragraph a string; backticks are round what is written as it stands.
const DESCRIPTION: &[&str] = &[
    "`guest-init` is what a VM image needs between the kernel and its agent. As PID 1 it mounts `/proc`, `/sys`, `/dev` and \
     `/run`, loads the kernel modules that the command line asks for, with their parameters and dependencies, becomes the \
     agent, and panics the VM, with a reason, if any of that fails.",
    "The kernel starts it from an initramfs that has it as `/init`, or where `rdinit=/sbin/guest-init` names it; from a root \
     disk with `init=/sbin/guest-init`. Started otherwise, it says what it is and changes nothing.",
];

/// The grammar of a list.
const LIST: &[&str] = &[
    "Entries end at `;` or at the end of the line. The first word is a module's name or alias, `-` is `_`; the others are its \
     parameters, passed on as written. `\"` keeps blanks and `;` inside a value. `?` before a name marks an entry whose \
     failure is logged and passed over. `#` at the start of a line begins a comment. Kata's array, \
     `[\"e1000e EEE=1\", \"i915\"]`, is read as well.",
    "On the command line quoting is the kernel's: `\"` round a whole word or a value keeps its blanks, and there are no \
     escapes. A value with blanks inside a list can't be written there; `module.parameter=\"a b\"` can, and a file can hold it.",
    "A name begins with a letter, a digit or `_` and holds no `/`: nothing becomes an option or a path.",
];

/// What it does when it is called so.
const MODPROBE: &[&str] = &[
    "Called as `modprobe`, by a link of that name, it answers as kmod's modprobe does. So the kernel's own requests, `mount -t`, \
     and agents find one in an image without kmod. Its options are `-a -b -C -D -d -i -n -q -R -S -s -v`, `--first-time`, their \
     long forms, and those of `MODPROBE_OPTIONS`. Options that remove modules are refused. Below `could not insert` stands a \
     line with the reason; `-s` speaks to the kernel log; libkmod's own remarks on modprobe.d are not made.",
    "Other than modprobe, on purpose: names of `modprobe.blacklist=` are normalised; a dependency whose file is missing is an \
     error that names it; a module that the kernel can't decompress is decompressed; text indexes are read where the `.bin` is \
     absent; `/proc/cmdline` is read to its end, and what follows ` -- ` is the agent's; of `install` commands only `/bin/true` \
     and `/bin/false` are understood, and others refused: there is no shell.",
];

/// The page, in roff.
pub fn page() -> String {
    let mut page = Roff::new();
    page.control("TH", ["guest-init", "8", "", concat!("guest-init ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]);
    page.text([roman("guest-init - the init of a microVM: loads its kernel modules, becomes its agent")]);
    section(&mut page, "SYNOPSIS", &["`rdinit=/sbin/guest-init` [`guest_init.`KEY`=`VALUE]... [`--` ARGUMENT...]"]);
    section(&mut page, "DESCRIPTION", DESCRIPTION);
    section(
        &mut page,
        "KERNEL COMMAND LINE",
        &["An unknown key, a single-valued key that stands twice, and a malformed value \
        are failures that name the word."],
    );
    for key in KEYS {
        let default = key.default.map_or(String::new(), |default| format!(" (default: `{default}`)"));
        entry(&mut page, &format!("`guest_init.{}=`", key.name), &format!("{}{default}", key.value));
    }
    section(&mut page, "MODULE LIST", LIST);
    let bounds =
        format!("All lists together have at most {MOST_ENTRIES} entries, and take at most {MOST_STEPS} modules.");
    section(&mut page, "", &[&bounds]);
    section(&mut page, "AS MODPROBE", MODPROBE);
    section(
        &mut page,
        "EXIT STATUS",
        &["A failure is one record on the kernel log and then a panic, which shows the code as \
        `exitcode=0x0000`CODE`00`. Below each code stands what to look at."],
    );
    for code in Code::ALL {
        entry(&mut page, &format!("`{code}` {}", code.meaning()), code.look());
    }
    section(&mut page, "FILES", &[]);
    entry(&mut page, &format!("`{}`", Shown(DEFAULT_AGENT)), "the agent, where `guest_init.agent=` names none");
    entry(
        &mut page,
        "`/lib/modules/`RELEASE`/modules.dep.bin`",
        "and its siblings, as depmod writes them, or their text",
    );
    entry(&mut page, "`/etc/modprobe.d/*.conf`", "configuration, as modprobe reads it");
    section(
        &mut page,
        "SEE ALSO",
        &["`guest-image`(1), `depmod`(8), `modprobe`(8), `modprobe.d`(5), `kernel-command-line`(7)"],
    );
    page.to_roff()
}

/// A heading, where there is one, and paragraphs.
fn section(page: &mut Roff, heading: &str, paragraphs: &[&str]) {
    if !heading.is_empty() {
        page.control("SH", [heading]);
    }
    for (at, paragraph) in paragraphs.iter().enumerate() {
        if at > 0 || heading.is_empty() {
            page.control("PP", []);
        }
        page.text(marked(paragraph));
    }
}

/// A term, and below it what it means.
fn entry(page: &mut Roff, term: &str, meaning: &str) {
    page.control("TP", []);
    page.text(marked(term));
    page.text(marked(meaning));
}

/// Text whose parts in backticks are bold.
fn marked(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
