//! Symbolic links of an image or a root that is not unpacked, followed inside it.

use anyhow::{Result, ensure};

/// The most links on the way to a file (MAXSYMLINKS of the kernel).
const MOST_LINKS: usize = 40;

/// A path of an image with the links on the way followed, and with `last` also a link at its end. `link_at` returns the
/// target of the link at a path. `/` and `..` never lead out of the image.
///
/// Error: a loop of links.
pub fn follow<'l>(path: &'l str, last: bool, link_at: &dyn Fn(&str) -> Option<&'l str>) -> Result<String> {
    let mut rest: Vec<_> = path.rsplit('/').collect();
    let mut done: Vec<&str> = Vec::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        match part {
            "" | "." => continue,
            ".." => {
                done.pop();
                continue;
            }
            _ => done.push(part),
        }
        if let (Some(target), true) = (link_at(&done.join("/")), last || !rest.is_empty()) {
            links += 1;
            ensure!(links <= MOST_LINKS, "/{path}: a loop of symbolic links");
            done.truncate(if target.starts_with('/') { 0 } else { done.len() - 1 });
            rest.extend(target.rsplit('/'));
        }
    }
    Ok(done.join("/"))
}
