//! guest-init-recipes(7). Each file of `docs/recipes` is a recipe: text, and blocks of commands and files, which
//! `tests/host/recipes.rs` runs and checks.

use roff::Roff;

use super::markup::{lines, marked, section, start};

/// The recipes, in the order of the page.
const RECIPES: &[&str] = &[
    include_str!("../recipes/before.md"),
    include_str!("../recipes/kata.md"),
    include_str!("../recipes/pods.md"),
    include_str!("../recipes/extension.md"),
    include_str!("../recipes/firecracker.md"),
    include_str!("../recipes/cloud-hypervisor.md"),
    include_str!("../recipes/microvm.md"),
    include_str!("../recipes/container.md"),
    include_str!("../recipes/mkosi.md"),
    include_str!("../recipes/initramfs-tools.md"),
    include_str!("../recipes/dracut.md"),
    include_str!("../recipes/nvidia.md"),
];

/// The fence around a block. Behind the first stand its language and, if it is a file, the file's name.
const FENCE: &str = "```";

/// The page, in roff.
pub fn page() -> String {
    let mut page = start("guest-init-recipes", "7", "images with guest-init for VMMs, and images of other tools");
    let text = "Each section is complete: it has all commands and files for one kind of VM or image. guest-image(1) \
                and guest-init(8) have all options and words.";
    section(&mut page, "DESCRIPTION", &[text]);
    RECIPES.iter().for_each(|recipe| add(&mut page, recipe));
    let status = "guest-image ends with 0 if all is well, with 1 if something failed, and with 2 if its arguments are \
                  wrong or if `check` can't read a file. `guest-image listen` ends with the code of guest-init's \
                  failure, see guest-image-listen(1).";
    section(&mut page, "EXIT STATUS", &[status]);
    section(
        &mut page,
        "SEE ALSO",
        &["`guest-image`(1), `guest-image-build`(1), `guest-image-kata`(1), `guest-init`(8)"],
    );
    page.to_roff()
}

/// Adds a recipe: headings, paragraphs and blocks.
fn add(page: &mut Roff, recipe: &str) {
    let mut rest = recipe;
    let mut behind_heading = false;
    while let Some(start) = rest.find(|c: char| c != '\n') {
        rest = &rest[start..];
        let is_block = rest.starts_with(FENCE);
        let end = rest.find(if is_block { "\n```\n" } else { "\n\n" }).unwrap_or(rest.len());
        let (part, behind) = rest.split_at(end);
        match part.split_once('\n') {
            Some((info, text)) if is_block => {
                if let Some((_, name)) = info.split_once(' ') {
                    page.control("PP", []).text(marked(&format!("`{name}`:")));
                }
                lines(page, text);
            }
            _ => paragraph(page, part, behind_heading),
        }
        behind_heading = part.starts_with('#');
        rest = behind.strip_prefix("\n```\n").unwrap_or(behind);
    }
}

/// Adds a heading or a paragraph.
fn paragraph(page: &mut Roff, text: &str, behind_heading: bool) {
    if let Some(heading) = text.strip_prefix("## ") {
        page.control("SS", [heading]);
    } else if let Some(heading) = text.strip_prefix("# ") {
        page.control("SH", [heading.to_uppercase().as_str()]);
    } else {
        if !behind_heading {
            page.control("PP", []);
        }
        page.text(marked(&text.replace('\n', " ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_on_the_page() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/guest-image/docs/recipes");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(RECIPES.contains(&text.as_str()), "{} is not in RECIPES", path.display());
        }
    }
}
