//! A line of modules.dep: the file of a module, and the files that the module depends on (MODPROBE.md 2.2).

/// A line `PATH: DEPENDENCY…`. A module that modules.dep does not list has an empty line: no path and no dependencies.
#[derive(Clone, Copy, Debug, Default)]
pub struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// Takes a line as the index holds it.
    pub const fn new(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// The path of the module's own file.
    pub fn path(&self) -> Option<&'a [u8]> {
        self.parts().map(|(path, _)| path)
    }

    /// The paths of the files that are loaded before the module, in the order of loading: from right to left
    /// (MODPROBE.md 2.3).
    pub fn dependencies(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let paths = self.parts().map_or(&b""[..], |(_, paths)| paths);
        paths.rsplit(|&b| matches!(b, b' ' | b'\t')).filter(|path| !path.is_empty())
    }

    /// The text before the colon, and the text after it.
    fn parts(&self) -> Option<(&'a [u8], &'a [u8])> {
        let colon = self.0.iter().position(|&b| b == b':')?;
        Some((self.0.get(..colon)?, self.0.get(colon + 1..)?))
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
            Line::new(b"kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko\tkernel/fs/jbd2/jbd2.ko");
        let names: Vec<_> = line.dependencies().map(module_of).collect();
        assert_eq!(line.path().map(module_of), Some(&b"ext4"[..]));
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
