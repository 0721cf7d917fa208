//! guest-init(8). Its keys and failures come from the tables of the code.

mod ending;
mod examples;
mod introduction;
mod kernel_words;
mod modprobe;
mod modules;
mod places;

use guest_init::failure::Code;
use guest_init::guest::modules::unpack::Format;
use guest_init::request::keys::KEYS;
use guest_init::request::{DEFAULT_AGENT, MOST_ENTRIES};
use guest_init::resolve::plan::MOST_STEPS;
use guest_init::text::Shown;
use roff::Roff;

use super::markup::{entry, lines, section, sections, start};

/// The page, in roff.
pub fn page() -> String {
    let mut page = start("guest-init", "8", "the init of a microVM: loads its kernel modules, becomes its agent");
    section(&mut page, "SYNOPSIS", &["`rdinit=/sbin/guest-init` [`guest_init.`KEY`=`VALUE]... [`--` ARGUMENT...]"]);
    sections(&mut page, introduction::INTRODUCTION);
    for key in KEYS {
        let default = key.default.map_or(String::new(), |default| format!(" (default: `{default}`)"));
        entry(&mut page, &format!("`guest_init.{}=`", key.name), &format!("{}{default}", key.value));
    }
    let words = "guest-init also heeds these words of the kernel, of systemd and of Kata Containers:";
    section(&mut page, "OTHER WORDS", &[words]);
    kernel_words::WORDS.iter().for_each(|(word, meaning)| entry(&mut page, word, meaning));
    sections(&mut page, modules::MODULES);
    sections(&mut page, places::PLACES);
    sections(&mut page, ending::ENDING);
    sections(&mut page, modprobe::MODPROBE);
    sections(&mut page, ending::EXIT_STATUS);
    for code in Code::ALL {
        entry(&mut page, &format!("`{code}` {}", code.meaning()), code.look());
    }
    limits(&mut page);
    files(&mut page);
    section(&mut page, "EXAMPLES", &["guest-init-recipes(7) has images and VMMs. These are kernel command lines."]);
    for (meaning, line) in examples::EXAMPLES {
        page.control("PP", []);
        page.text(super::markup::marked(meaning));
        lines(&mut page, line);
    }
    section(
        &mut page,
        "SEE ALSO",
        &["`guest-init-recipes`(7), `guest-image`(1), `depmod`(8), `modprobe`(8), `modprobe.d`(5), \
           `kernel-command-line`(7)"],
    );
    page.to_roff()
}

/// Adds the section of bounds, with the numbers of the code.
fn limits(page: &mut Roff) {
    let lists =
        format!("All lists together have at most {MOST_ENTRIES} entries and need at most {MOST_STEPS} modules.");
    let suffixes = Format::ALL.map(|format| format!("`.ko{}`", format.suffix())).join(", ");
    let modules = format!(
        "A compressed module ({suffixes}) is decompressed by the kernel, if it knows the format, or else by \
         guest-init. A module that guest-init decompresses has at most 256 MiB."
    );
    section(page, "LIMITS", &[&lists, &modules]);
}

/// Adds the section of files.
fn files(page: &mut Roff) {
    section(page, "FILES", &[]);
    let agent = format!("`{}`", Shown(DEFAULT_AGENT));
    entry(page, &agent, "The agent, unless `guest_init.agent=` names another.");
    let index = "`/lib/modules/`RELEASE`/modules.dep.bin`";
    entry(page, index, "The module tree. Keep every file that depmod wrote beside it.");
    entry(page, "`/etc/modprobe.d/*.conf`", "Configuration, as modprobe reads it.");
}
