//! The blocks of a recipe: commands and files.

use std::fs;
use std::path::PathBuf;

use guest_init::failure::{Failure, Report};
use guest_init::request::Request;
use serde_json::Value;

use super::firecracker;
use crate::support::root;

/// A block of a recipe.
#[derive(Debug)]
pub struct Block {
    language: String,
    /// The name of the file that the block is.
    file: Option<String>,
    pub text: String,
}

/// A recipe of the page.
#[derive(Debug)]
pub struct Recipe {
    pub blocks: Vec<Block>,
}

fn folder() -> PathBuf {
    root().join("src/bin/guest-image/docs/recipes")
}

/// The names of all recipes.
pub fn names() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    files.map(|name| name.strip_suffix(".md").expect("a recipe's name ends in .md").to_string()).collect()
}

impl Recipe {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(folder().join(format!("{name}.md"))).unwrap();
        let parts: Vec<_> = text.split("```").collect();
        assert!(parts.len() % 2 == 1, "{name}: a block does not end");
        let block = |part: &&str| {
            let (info, text) = part.split_once('\n').unwrap();
            let (language, file) = info.split_once(' ').map_or((info, None), |(l, file)| (l, Some(file.to_string())));
            Block { language: language.into(), file, text: text.into() }
        };
        Self { blocks: parts.iter().skip(1).step_by(2).map(block).collect() }
    }

    /// The commands as one script, which writes the files at their places between the commands.
    pub fn script(&self) -> String {
        let part = |block: &Block| match &block.file {
            Some(file) => {
                format!("mkdir -p \"$(dirname {file})\"\ncat >{file} <<'END OF FILE'\n{}END OF FILE\n", block.text)
            }
            None if block.language == "sh" => block.text.clone(),
            None => String::new(),
        };
        self.blocks.iter().map(part).collect()
    }
}

impl Block {
    /// Reads the block as its language has it.
    pub fn check(&self) {
        match (&self.language[..], &self.file) {
            ("sh", None) | ("text", Some(_)) => {}
            ("text", None) => are_words(self.text.trim_end()),
            ("toml", Some(_)) => {
                let table: toml::Table = toml::from_str(&self.text).unwrap_or_else(|error| panic!("{error}\n{self:?}"));
                kernel_params(&serde_json::to_value(table).unwrap(), &extensions(&self.text));
            }
            ("yaml", Some(_)) => {
                let value = serde_saphyr::from_str(&self.text).unwrap_or_else(|error| panic!("{error}\n{self:?}"));
                kernel_params(&value, "");
            }
            ("json", Some(_)) => {
                let configuration = serde_json::from_str(&self.text).unwrap();
                firecracker::check(&configuration);
                are_words(configuration["boot-source"]["boot_args"].as_str().unwrap());
            }
            _ => panic!("no rule for this block: {self:?}"),
        }
    }
}

/// The words that Kata adds for the extensions of a configuration.
fn extensions(configuration: &str) -> String {
    let names = configuration.lines().skip_while(|line| !line.contains("guest_extension_images"));
    let names = names.filter_map(|line| line.strip_prefix("name = "));
    names.map(|name| format!(" kata.extension.{}.verity_params", name.trim_matches('"'))).collect()
}

/// Looks for words of the kernel command line in a configuration or a pod of Kata's, which adds `more` to them.
fn kernel_params(value: &Value, more: &str) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(words) if name.ends_with("kernel_params") => are_words(&format!("{words}{more}")),
            _ => kernel_params(value, more),
        }),
        Value::Array(values) => values.iter().for_each(|value| kernel_params(value, more)),
        _ => {}
    }
}

/// Asserts that guest-init takes these words of the kernel command line.
fn are_words(words: &str) {
    let mut log = |failure: &Failure| panic!("{words}: {failure}");
    let mut report = Report::new(&mut log);
    let request = Request::parse(words.as_bytes(), &mut report);
    report.verdict().unwrap();
    assert!(!request.entries.is_empty(), "{words}");
}
