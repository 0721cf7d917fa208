//! The syntax of Kata's files: TOML, JSON and YAML. An error names the file and the line, says what is wrong in words
//! of the format, and quotes the line.

use anyhow::{Error, Result, anyhow};
use guest_init::text::Shown;
use serde_json::Value;
use serde_saphyr::{MessageFormatter, Options, UserMessageFormatter};
use toml::Spanned;
use toml::de::DeTable;

/// The longest part of a line that an error quotes, in characters.
const LONGEST: usize = 80;

/// A file: its name in messages, and its text.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The file's name in messages.
    pub title: &'a str,
    /// The file's text.
    pub text: &'a str,
}

impl<'a> Source<'a> {
    /// `FILE:LINE` of a byte of the text.
    pub fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.title, self.line_at(offset))
    }

    /// The table that a TOML file is.
    pub fn toml(&self) -> Result<Spanned<DeTable<'a>>> {
        DeTable::parse(self.text).map_err(|error| {
            let line = error.span().map(|span| self.line_at(span.start));
            // The list of all that the parser expected helps only if it is one character.
            let message = error.message();
            let reason = message.split_once(", expected ").filter(|(_, expected)| !is_one_character(expected));
            self.error("TOML", line, reason.map_or(message, |(reason, _)| reason))
        })
    }

    /// The value that a JSON file is.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(self.text).map_err(|error| {
            let message = error.to_string();
            let reason = match error.is_eof() {
                true => "the file ends before a bracket or a quote is closed",
                false => message.rsplit_once(" at line ").map_or(message.as_str(), |(reason, _)| reason),
            };
            self.error("JSON", Some(error.line()), reason)
        })
    }

    /// The documents of a YAML file.
    pub fn yaml(&self) -> Result<Vec<Value>> {
        serde_saphyr::from_multiple_with_options(self.text, limits()).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().and_then(|location| usize::try_from(location.line()).ok());
            self.error("YAML", line, &UserMessageFormatter.format_message(error))
        })
    }

    fn line_at(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
    }

    fn error(&self, format: &str, line: Option<usize>, reason: &str) -> Error {
        let title = self.title;
        let quote = line.and_then(|line| self.text.lines().nth(line.checked_sub(1)?)).unwrap_or_default();
        let quote: String = quote.trim().chars().take(LONGEST).collect();
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        let hint = match quote.contains("{{") {
            true => "; a template is rendered first, for example by `helm template`",
            false => "",
        };
        let quote = if quote.is_empty() { quote } else { format!(": `{}`", Shown(quote.as_bytes())) };
        anyhow!("{title}{line}: not valid {format}: {reason}{quote}{hint}")
    }
}

/// The limits of a YAML file. The file's size bounds the number of its parts, so that a file may have some thousand
/// pods. The limits of aliases, which make much of little text, stay.
fn limits() -> Options {
    let most = super::LONGEST as usize;
    serde_saphyr::options! { budget: serde_saphyr::budget! { max_documents: most, max_events: most, max_nodes: most } }
}

/// Whether a text is one character in backticks.
fn is_one_character(text: &str) -> bool {
    text.strip_prefix('`').and_then(|text| text.strip_suffix('`')).is_some_and(|text| text.chars().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toml(text: &str) -> String {
        Source { title: "c.toml", text }.toml().unwrap_err().to_string()
    }

    fn json(text: &str) -> String {
        Source { title: "p.json", text }.json().unwrap_err().to_string()
    }

    fn yaml(text: &str) -> String {
        Source { title: "p.yaml", text }.yaml().unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_and_quotes_the_line() {
        assert_eq!(toml("[a]\nx = [b]\n"), "c.toml:2: not valid TOML: string values must be quoted: `x = [b]`");
        assert_eq!(toml("[a\n"), "c.toml:1: not valid TOML: unclosed table, expected `]`: `[a`");
        assert_eq!(json("{\"a\": 1,\n}"), "p.json:2: not valid JSON: trailing comma: `}`");
        let end = "the file ends before a bracket or a quote is closed";
        assert_eq!(json("{\"a\": [1,\n"), format!("p.json:2: not valid JSON: {end}"));
        assert_eq!(
            yaml("a: b: c\n"),
            "p.yaml:1: not valid YAML: mapping values are not allowed in this context: `a: b: c`"
        );
    }

    #[test]
    fn an_error_speaks_of_the_file_and_not_of_its_reader() {
        let twice = yaml("kind: Pod\nkind: Pod\n");
        assert!(twice.starts_with("p.yaml:2: not valid YAML: duplicate ") && !twice.contains("Options"), "{twice}");
        let template = yaml("kind: Pod\nname: {{ .Values.name }}\n");
        assert!(template.ends_with("a template is rendered first, for example by `helm template`"), "{template}");
    }
}
