//! A line of modules.dep: the file of a module, and the files that the module depends on (MODPROBE.md 2.2).

/// The file of a module: a module tree, and the path below it. A path that begins with `/` is used as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModulePath<'a> {
    /// The number of the tree, counted from 0.
    pub tree: u8,
    /// The path, as modules.dep has it.
    pub path: &'a [u8],
}

/// A line `PATH: DEPENDENCY…` of a tree. A module that modules.dep does not list has an empty line: no path and no
/// dependencies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a> {
    tree: u8,
    text: &'a [u8],
    /// The dependencies across trees, in the order of loading. `None`: those of the line.
    completed: Option<&'a [ModulePath<'a>]>,
}

impl<'a> Line<'a> {
    /// Takes a line as the index of a tree holds it.
    pub const fn new(tree: u8, text: &'a [u8]) -> Self {
        Self { tree, text, completed: None }
    }

    /// Replaces the dependencies on the line by those that were found in all trees.
    pub const fn completed(self, dependencies: &'a [ModulePath<'a>]) -> Self {
        Self { completed: Some(dependencies), ..self }
    }

    /// The module's own file.
    pub fn path(&self) -> Option<ModulePath<'a>> {
        self.parts().map(|(path, _)| ModulePath { tree: self.tree, path })
    }

    /// The files that are loaded before the module, in the order of loading: from right to left (MODPROBE.md 2.3).
    pub fn dependencies(&self) -> impl Iterator<Item = ModulePath<'a>> + use<'a> {
        let tree = self.tree;
        let paths = match self.completed {
            None => self.parts().map_or(&b""[..], |(_, paths)| paths),
            Some(_) => b"",
        };
        let paths = paths.rsplit(|&b| matches!(b, b' ' | b'\t')).filter(|path| !path.is_empty());
        self.completed.unwrap_or_default().iter().copied().chain(paths.map(move |path| ModulePath { tree, path }))
    }

    /// The text before the colon, and the text after it.
    fn parts(&self) -> Option<(&'a [u8], &'a [u8])> {
        let colon = self.text.iter().position(|&b| b == b':')?;
        Some((self.text.get(..colon)?, self.text.get(colon + 1..)?))
    }
}

/// The name of the module in a file, not normalised: the last part of the path, up to its first dot (MODPROBE.md 1.3).
pub fn module_of(path: &[u8]) -> &[u8] {
    let file = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    file.split(|&b| b == b'.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn dependencies_are_loaded_from_right_to_left() {
        let line =
            Line::new(0, b"kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko\tkernel/fs/jbd2/jbd2.ko");
        let names: Vec<_> = line.dependencies().map(|file| module_of(file.path)).collect();
        assert_eq!(line.path().map(|file| module_of(file.path)), Some(&b"ext4"[..]));
        assert_eq!(names, [&b"jbd2"[..], b"mbcache", b"crc16"]);
        assert!(Line::default().path().is_none() && Line::default().dependencies().next().is_none());
    }

    #[test]
    fn a_name_ends_at_the_first_dot() {
        assert_eq!(module_of(b"kernel/a.b.ko.xz"), b"a");
        assert_eq!(module_of(b"x"), b"x");
        assert_eq!(module_of(b""), b"");
    }
}
