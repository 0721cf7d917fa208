//! The reader of the binary index that depmod writes (MODPROBE.md 3). It copies nothing: results are slices of the
//! file.
//!
//! ```text
//! file  u32 magic 0xB007F457 | u32 version 0x0002xxxx | node reference of the root      all big-endian, unaligned
//! node reference             flags (top 4 bits) | offset from the start of the file; offset 0: no node
//! node  prefix\0             if flag 0x8
//!       first last ref…      if flag 0x2: u8, u8, then one node reference for each byte from first to last
//!       count value…         if flag 0x4: u32, then that many of { u32 priority, string\0 }
//! ```
//! For example, the keys `ext2` and `ext4` are three nodes. The root has the prefix `ext` and the children `2` and `4`.
//! Each child is a node with a value and nothing else.
//!
//! The file may be hostile. Every read is checked against the end of the file. A lookup takes at most as many steps as
//! the key has bytes. A listing ends after as many bytes as the file has, because no two nodes of a sound file share a
//! byte.

use crate::request::name::LONGEST;
use crate::resolve::tree::glob::glob;

/// The first word of an index file.
pub const MAGIC: u32 = 0xB007_F457;
/// The upper half of the second word: the version of the format.
pub const MAJOR: u32 = 2;
/// Flag of a node reference: the node has a prefix.
pub const PREFIX: u32 = 0x8000_0000;
/// Flag of a node reference: the node has values, so a key ends here.
pub const VALUES: u32 = 0x4000_0000;
/// Flag of a node reference: the node has children.
pub const CHILDREN: u32 = 0x2000_0000;
/// The bits of a node reference that hold the node's offset in the file.
pub const OFFSET: u32 = 0x0FFF_FFFF;
/// The longest key that is listed, in bytes, which is also that of a name that can be looked up. The longest modaliases
/// of Debian's kernels have under 512. Longer keys are passed over.
const LONGEST_KEY: usize = LONGEST;

/// Where an index is damaged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// Byte offset in the file.
    pub offset: usize,
    /// The damage, in words.
    pub what: &'static str,
}

/// A function that is called with the key or pattern, the priority and the value of each entry.
pub type Visit<'v, 'a> = &'v mut dyn FnMut(&[u8], u32, &'a [u8]);

/// A binary index file.
#[derive(Clone, Copy, Debug)]
pub struct Trie<'a> {
    bytes: &'a [u8],
    root: u32,
}

/// A node, decoded up to its values.
struct Node<'a> {
    prefix: &'a [u8],
    first: u8,
    /// The children's node references, four bytes each. The first is that of the byte `first`.
    children: &'a [u8],
    values: Values<'a>,
}

impl<'a> Trie<'a> {
    /// Checks the head of the file. Nodes are checked when a lookup reaches them.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let mut head = Cursor { bytes, at: 0 };
        if head.u32()? != MAGIC {
            return Err(Corrupt { offset: 0, what: "no index file of depmod: wrong magic number" });
        }
        if head.u32()? >> 16 != MAJOR {
            return Err(Corrupt { offset: 4, what: "an index format that is not version 2" });
        }
        Ok(Self { bytes, root: head.u32()? })
    }

    /// The first value of this key (MODPROBE.md 3.2).
    pub fn exact(&self, key: &[u8]) -> Result<Option<&'a [u8]>, Corrupt> {
        let mut node = self.node(self.root)?;
        let mut rest = key;
        while let Some(here) = node {
            let Some(behind) = rest.strip_prefix(here.prefix) else { return Ok(None) };
            let Some((&byte, behind)) = behind.split_first() else {
                return Ok(here.values.into_iter().next().transpose()?.map(|(_, value)| value));
            };
            rest = behind;
            node = self.child(&here, byte)?;
        }
        Ok(None)
    }

    /// Visits every value whose key, taken as a pattern, matches `name` (MODPROBE.md 3.3).
    pub fn matching(&self, name: &[u8], visit: Visit<'_, 'a>) -> Result<(), Corrupt> {
        let mut found = |pattern: &[u8], from: usize, priority, value| {
            // The first `from` bytes are equal: the walk from the root compared them.
            let rest = (pattern.get(from..).unwrap_or_default(), name.get(from..).unwrap_or_default());
            if glob(rest.0, rest.1) {
                visit(pattern, priority, value);
            }
        };
        let mut node = self.node(self.root)?;
        let mut depth = 0;
        while let Some(here) = node {
            let rest = name.get(depth..).unwrap_or_default();
            let same = here.prefix.iter().zip(rest).take_while(|(a, b)| a == b && !is_wild(**a)).count();
            if same < here.prefix.len() {
                if here.prefix.get(same).copied().is_some_and(is_wild) {
                    // libkmod compares what begins at the wildcard, even if a backslash stands before it.
                    let from = depth + same;
                    let mut listing = Listing::new(self, name.get(..depth).unwrap_or_default());
                    listing.node(&here, &mut |pattern, priority, value| found(pattern, from, priority, value))?;
                }
                return Ok(());
            }
            depth += same;
            for wild in *b"*?[" {
                if let Some(child) = self.child(&here, wild)? {
                    let mut listing = Listing::new(self, name.get(..depth).unwrap_or_default());
                    listing
                        .below(wild, &child, &mut |pattern, priority, value| found(pattern, depth, priority, value))?;
                }
            }
            let Some(&byte) = name.get(depth) else {
                for value in here.values {
                    let (priority, value) = value?;
                    visit(name, priority, value);
                }
                return Ok(());
            };
            depth += 1;
            node = self.child(&here, byte)?;
        }
        Ok(())
    }

    /// Visits every entry in the order of the keys' bytes, except that a key comes after the keys that begin with it.
    pub fn each(&self, visit: Visit<'_, 'a>) -> Result<(), Corrupt> {
        match self.node(self.root)? {
            Some(root) => Listing::new(self, b"").node(&root, visit),
            None => Ok(()),
        }
    }

    /// The node that a reference points to. `None`: the reference says that there is none.
    fn node(&self, reference: u32) -> Result<Option<Node<'a>>, Corrupt> {
        let offset = (reference & OFFSET) as usize;
        if offset == 0 {
            return Ok(None);
        }
        let mut cursor = Cursor { bytes: self.bytes, at: offset };
        let prefix = if reference & PREFIX != 0 { cursor.string()? } else { b"" };
        let (first, children) = if reference & CHILDREN != 0 { cursor.children()? } else { (0, &b""[..]) };
        let count = if reference & VALUES != 0 { cursor.u32()? } else { 0 };
        Ok(Some(Node { prefix, first, children, values: Values { cursor, count } }))
    }

    /// The child of a node for a byte, if it has one.
    fn child(&self, node: &Node<'a>, byte: u8) -> Result<Option<Node<'a>>, Corrupt> {
        let slot = byte.checked_sub(node.first).and_then(|n| node.children.get(usize::from(n) * 4..)?.first_chunk());
        slot.map_or(Ok(None), |reference| self.node(u32::from_be_bytes(*reference)))
    }
}

const fn is_wild(byte: u8) -> bool {
    matches!(byte, b'*' | b'?' | b'[')
}

/// A depth-first walk over a subtree, with the key of the current node.
struct Listing<'t, 'a> {
    trie: &'t Trie<'a>,
    key: heapless::Vec<u8, LONGEST_KEY>,
    /// How many more bytes the listing may take before it must be going in circles.
    rest: usize,
}

impl<'t, 'a> Listing<'t, 'a> {
    /// Begins with a key, which is the start of a name that is looked up.
    fn new(trie: &'t Trie<'a>, start: &[u8]) -> Self {
        let key = heapless::Vec::from_slice(start).unwrap_or_default();
        Self { trie, key, rest: trie.bytes.len() }
    }

    /// Counts bytes that were listed. More than the file has can only come from a loop, or from nodes that share
    /// children.
    fn spend(&mut self, bytes: usize) -> Result<(), Corrupt> {
        let rest = self.rest.checked_sub(bytes);
        self.rest = rest.ok_or(Corrupt { offset: 0, what: "more than the file can hold: a loop" })?;
        Ok(())
    }

    /// Visits the child of a byte, and every node below it.
    fn below(&mut self, byte: u8, child: &Node<'a>, visit: Visit<'_, 'a>) -> Result<(), Corrupt> {
        if self.key.push(byte).is_ok() {
            self.node(child, visit)?;
            self.key.pop();
        }
        Ok(())
    }

    /// Visits `node` and every node below it. Each level of recursion adds a byte to the key, so `LONGEST_KEY` bounds
    /// the depth.
    fn node(&mut self, node: &Node<'a>, visit: Visit<'_, 'a>) -> Result<(), Corrupt> {
        self.spend(node.prefix.len() + 1)?;
        let depth = self.key.len();
        if self.key.extend_from_slice(node.prefix).is_err() {
            return Ok(());
        }
        let bytes = node.first..=u8::MAX;
        for (reference, byte) in node.children.as_chunks().0.iter().zip(bytes) {
            if let Some(child) = self.trie.node(u32::from_be_bytes(*reference))? {
                self.below(byte, &child, visit)?;
            }
        }
        for value in node.values {
            let (priority, value) = value?;
            self.spend(size_of_val(&priority) + value.len() + 1)?;
            visit(&self.key, priority, value);
        }
        self.key.truncate(depth);
        Ok(())
    }
}

/// Iterator over the values of a node.
#[derive(Clone, Copy)]
struct Values<'a> {
    cursor: Cursor<'a>,
    count: u32,
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<(u32, &'a [u8]), Corrupt>;

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let value = self.cursor.u32().and_then(|priority| Ok((priority, self.cursor.string()?)));
        if value.is_err() {
            self.count = 0;
        }
        Some(value)
    }
}

/// A position in the file. Reads move it forward and fail at the end of the file.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Corrupt> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)).ok_or(self.past_the_end())?;
        self.at += length;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, Corrupt> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    fn u32(&mut self) -> Result<u32, Corrupt> {
        self.take(4).map(|bytes| bytes.first_chunk().copied().map_or(0, u32::from_be_bytes))
    }

    /// The bytes before the next NUL. The position moves past the NUL.
    fn string(&mut self) -> Result<&'a [u8], Corrupt> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|&b| b == 0).ok_or(self.past_the_end())?;
        let string = self.take(length)?;
        self.at += 1;
        Ok(string)
    }

    /// The first byte that has a child, and the node references of the children.
    fn children(&mut self) -> Result<(u8, &'a [u8]), Corrupt> {
        let offset = self.at;
        let (first, last) = (self.u8()?, self.u8()?);
        if last < first || last > 127 {
            return Err(Corrupt { offset, what: "children outside of ASCII" });
        }
        Ok((first, self.take((usize::from(last - first) + 1) * 4)?))
    }

    const fn past_the_end(&self) -> Corrupt {
        Corrupt { offset: self.at, what: "this points past the end of the file" }
    }
}
