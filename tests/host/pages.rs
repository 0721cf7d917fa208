//! The manual pages and the completions that guest-image writes are complete and well-formed, and agree with the code.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

use guest_init::failure::Code;
use guest_init::request::keys::KEYS;
use tempfile::TempDir;

fn guest_image(arguments: &[&str]) -> String {
    text(Command::new(env!("CARGO_BIN_EXE_guest-image")).args(arguments).output().unwrap())
}

/// The standard output of a program, which must succeed and print nothing on standard error.
fn text(output: Output) -> String {
    let printed = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && printed.is_empty(), "{}: {printed}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// A page as a reader sees it, with single blanks. mandoc must find no fault except those of clap_mangen's own macros.
fn rendered(pages: &TempDir, name: &str) -> String {
    let page = pages.path().join(name);
    let mandoc = |arguments: &[&str]| text(Command::new("mandoc").args(arguments).arg(&page).output().unwrap());
    let lint = Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&page).output().unwrap();
    let lint = String::from_utf8([lint.stdout, lint.stderr].concat()).unwrap();
    let known = ["cannot parse date, using it verbatim", "skipping paragraph macro: br"];
    let unknown: Vec<_> = lint.lines().filter(|line| !known.iter().any(|known| line.contains(known))).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let plain = mandoc(&["-T", "utf8", "-O", "width=1000"]);
    // mandoc prints a bold letter as the letter, a backspace and the letter.
    let mut seen = String::new();
    for letter in plain.chars() {
        match letter {
            '\u{8}' => drop(seen.pop()),
            _ => seen.push(letter),
        }
    }
    words(&seen)
}

/// The words of a text without its backquotes.
fn words(text: &str) -> String {
    text.replace('`', "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn guest_init_8_has_every_key_and_every_failure() {
    let pages = TempDir::new().unwrap();
    guest_image(&["man", pages.path().to_str().unwrap()]);
    let page = rendered(&pages, "guest-init.8");
    for key in KEYS {
        let default = key.default.map_or(String::new(), |default| format!(" (default: {default})"));
        let entry = words(&format!("guest_init.{}= {}{default}", key.name, key.value));
        assert!(page.contains(&entry), "{entry}\n{page}");
    }
    for code in Code::ALL {
        let entry = words(&format!("{code} {} {}", code.meaning(), code.look()));
        assert!(page.contains(&entry), "{entry}\n{page}");
    }
}

#[test]
fn every_command_has_a_page() {
    let pages = TempDir::new().unwrap();
    guest_image(&["man", pages.path().to_str().unwrap()]);
    let help = guest_image(&["--help"]);
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let commands = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = commands.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    let mut expected: BTreeSet<_> = names.map(|name| format!("guest-image-{name}.1")).collect();
    assert!(expected.len() > 4, "{help}");
    expected.extend(["guest-image.1", "guest-init.8", "guest-init-recipes.7"].map(String::from));
    let files = fs::read_dir(pages.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<_> = files.collect();
    assert_eq!(files, expected);
    for file in files {
        let page = rendered(&pages, &file);
        let (name, _) = file.rsplit_once('.').unwrap();
        assert!(page.contains(&format!("NAME {name} - ")) && page.contains(" EXIT STATUS "), "{page}");
    }
}

#[test]
fn examples_of_the_help_are_in_the_pages() {
    let pages = TempDir::new().unwrap();
    guest_image(&["man", pages.path().to_str().unwrap()]);
    for command in ["build", "check", "explain", "kata", "listen", "timeline"] {
        let help = guest_image(&[command, "--help"]);
        let examples: Vec<_> = help.lines().filter(|line| line.starts_with("  guest-image ")).collect();
        assert!(!examples.is_empty(), "{help}");
        let page = rendered(&pages, &format!("guest-image-{command}.1"));
        assert!(examples.iter().all(|example| page.contains(&words(example))), "{examples:?} {page}");
    }
}

#[test]
fn bash_completes_commands_and_options() {
    let script = TempDir::new().unwrap();
    fs::write(script.path().join("guest-image"), guest_image(&["completions", "bash"])).unwrap();
    let complete = |words: &str, last: &str| {
        let program = format!(
            "source ./guest-image; COMP_WORDS=(guest-image {words} {last}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             function=$(complete -p guest-image | sed 's/.*-F \\([^ ]*\\).*/\\1/')
             $function guest-image '{last}' \"${{COMP_WORDS[COMP_CWORD - 1]}}\"; echo \"${{COMPREPLY[@]}}\""
        );
        text(Command::new("bash").args(["-euc", &program]).current_dir(script.path()).output().unwrap())
    };
    assert_eq!(complete("", "ka"), "kata\n");
    assert_eq!(complete("kata", "--run"), "--runtime\n");
    assert_eq!(complete("kata --runtime", "r"), "rust\n");
}

#[test]
fn there_are_completions_for_other_shells() {
    assert!(guest_image(&["completions", "zsh"]).starts_with("#compdef guest-image"));
    assert!(guest_image(&["completions", "fish"]).contains("complete -c guest-image"));
}
