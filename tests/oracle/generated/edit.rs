//! Changes of an image's files: where an oddity is put.

use super::world::{CONFIG, Content, Files};
use crate::cases::Maker;

/// Adds a file of configuration to one of the directories.
pub fn add(files: &mut Files, maker: &mut Maker<'_>, name: &str) {
    let path = format!("{}/{name}", maker.random.pick(&CONFIG));
    let text = maker.file();
    add_content(files, path.into(), Content::Text(text));
}

/// Puts this at a path, in place of what is there.
pub fn add_content(files: &mut Files, path: Vec<u8>, content: Content) {
    files.retain(|(other, _)| *other != path);
    files.push((path, content));
}

/// The path in /etc/modprobe.d where a file hides one of the files in the other directories.
pub fn hidden_by_etc(files: &Files, maker: &mut Maker<'_>) -> Option<Vec<u8>> {
    let others = files.iter().filter(|(path, _)| !path.starts_with(b"etc/") && path.ends_with(b".conf"));
    let names: Vec<_> = others.filter_map(|(path, _)| path.rsplit(|&b| b == b'/').next()).collect();
    (!names.is_empty()).then(|| [b"etc/modprobe.d/", names[maker.random.below(names.len())]].concat())
}

/// The place of one of the indexes.
pub fn index(files: &Files, maker: &mut Maker<'_>) -> Option<usize> {
    let all: Vec<_> = (0..files.len()).filter(|&at| files[at].0.ends_with(b".bin")).collect();
    (!all.is_empty()).then(|| all[maker.random.below(all.len())])
}

/// The text of the file at a path.
pub fn text_of<'f>(files: &'f mut Files, path: &[u8]) -> Option<&'f mut Vec<u8>> {
    let content = files.iter_mut().find(|(other, _)| other == path).map(|(_, content)| content);
    match content {
        Some(Content::Text(text)) => Some(text),
        _ => None,
    }
}

/// The text of one of the files of configuration.
pub fn config<'f>(files: &'f mut Files, maker: &mut Maker<'_>) -> Option<&'f mut Vec<u8>> {
    let is_config = |path: &[u8]| path.starts_with(b"conf/") || path.windows(10).any(|part| part == b"modprobe.d");
    let all = files.iter_mut().filter(|(path, _)| is_config(path));
    let mut texts: Vec<_> =
        all.filter_map(|(_, content)| if let Content::Text(text) = content { Some(text) } else { None }).collect();
    let count = texts.len();
    (count > 0).then(|| texts.swap_remove(maker.random.below(count)))
}

/// Adds lines to one of the files of configuration, or to a file of their own.
pub fn append(files: &mut Files, maker: &mut Maker<'_>, line: &[u8]) {
    match config(files, maker) {
        Some(text) if maker.random.percent(50) => {
            if !text.is_empty() && !text.ends_with(b"\n") {
                text.push(b'\n');
            }
            text.extend_from_slice(line);
        }
        _ => add_content(files, b"etc/modprobe.d/more.conf".to_vec(), Content::Text(line.to_vec())),
    }
}

/// Inserts one to three of the pieces into a text.
pub fn insert(text: Option<&mut Vec<u8>>, pieces: &[&[u8]], maker: &mut Maker<'_>) {
    let Some(text) = text else { return };
    for _ in 0..=maker.random.below(3) {
        let at = maker.random.below(text.len() + 1);
        text.splice(at..at, pieces[maker.random.below(pieces.len())].iter().copied());
    }
}

/// An index with two keys, in the order of their first bytes, and a value for each (MODPROBE.md 3.1).
pub fn index_of(keys: [(&str, &str); 2]) -> Vec<u8> {
    let mut index = [0xB007_F457_u32, 0x0002_0001, 0].map(u32::to_be_bytes).concat();
    let leaves = keys.map(|(key, value)| {
        let offset = index.len() as u32;
        index.extend(
            [&key.as_bytes()[1..], b"\0", &1_u32.to_be_bytes(), &0_u32.to_be_bytes(), value.as_bytes(), b"\0"].concat(),
        );
        0xC000_0000 | offset
    });
    let root = 0x2000_0000 | index.len() as u32;
    let [first, last] = keys.map(|(key, _)| key.as_bytes()[0]);
    index.extend([first, last]);
    for byte in first..=last {
        let leaf = if byte == first {
            leaves[0]
        } else if byte == last {
            leaves[1]
        } else {
            0
        };
        index.extend(leaf.to_be_bytes());
    }
    index[8..12].copy_from_slice(&root.to_be_bytes());
    index
}
