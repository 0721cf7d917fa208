//! The roff of pages that are written by hand. Text in backticks is bold: it is to be written as it stands.

use roff::{Inline, Roff, bold, roman};

/// A section: its heading and its paragraphs.
pub type Section = (&'static str, &'static [&'static str]);

/// Starts a page: its name, its number and its line in the index.
pub fn start(name: &str, number: &str, purpose: &str) -> Roff {
    let mut page = Roff::new();
    page.control("TH", [name, number, "", concat!("guest-init ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {purpose}"))]);
    page
}

/// Adds a heading and paragraphs.
pub fn section(page: &mut Roff, heading: &str, paragraphs: &[&str]) {
    page.control("SH", [heading]);
    for (at, paragraph) in paragraphs.iter().enumerate() {
        if at > 0 {
            page.control("PP", []);
        }
        page.text(marked(paragraph));
    }
}

/// Adds sections.
pub fn sections(page: &mut Roff, sections: &[Section]) {
    sections.iter().for_each(|(heading, paragraphs)| section(page, heading, paragraphs));
}

/// Adds a term and its meaning.
pub fn entry(page: &mut Roff, term: &str, meaning: &str) {
    page.control("TP", []);
    page.text(marked(term));
    page.text(marked(meaning));
}

/// Adds lines that stand as they are, indented.
pub fn lines(page: &mut Roff, text: &str) {
    page.control("PP", []).control("RS", ["4"]).control("nf", []);
    page.text([roman(text.trim_end())]);
    page.control("fi", []).control("RE", []);
}

/// Roff text.
pub fn marked(text: &str) -> Vec<Inline> {
    let parts = text.split('`').enumerate().filter(|(_, part)| !part.is_empty());
    parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) }).collect()
}
