//! Container roots for tests: tar files as `docker export` writes them, and OCI image layouts as skopeo does.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// A tar file in the making.
pub struct Tar(Builder<Vec<u8>>);

impl Tar {
    pub fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Adds an entry of a type, with a name and a target that are written as they are.
    pub fn entry(mut self, kind: EntryType, name: &str, mode: u32, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        for (id, set) in [(0, Header::set_uid as fn(&mut Header, u64)), (0, Header::set_gid)] {
            set(&mut header, id);
        }
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        if let EntryType::Char | EntryType::Block = kind {
            header.set_device_major(1).expect("a number");
            header.set_device_minor(7).expect("a number");
        }
        header.set_cksum();
        self.0.append(&header, content).expect("an entry");
        self
    }

    /// Adds a file that belongs to a user.
    pub fn file_of(mut self, user: u64, name: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let mut header = Header::new_gnu();
        header.set_mode(mode);
        header.set_size(content.as_ref().len() as u64);
        header.set_uid(user);
        header.set_gid(user + 1);
        self.0.append_data(&mut header, name, content.as_ref()).expect("an entry");
        self
    }

    pub fn file(self, name: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        self.file_of(0, name, mode, content)
    }

    pub fn directory(self, name: &str, mode: u32) -> Self {
        self.entry(EntryType::Directory, name, mode, "", b"")
    }

    pub fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, 0o777, target, b"")
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner().expect("a tar file")
    }
}

/// Writes a blob of an OCI image layout and returns its descriptor.
pub fn blob(layout: &Path, media_type: &str, content: &[u8]) -> Value {
    let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = layout.join("blobs/sha256");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(&digest), content).expect("a blob");
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len() })
}

/// Adds an image to the layout in a folder and returns the descriptor of its manifest.
pub fn image(layout: &Path, architecture: &str, layers: &[Vec<u8>], command: &[&str]) -> Value {
    let layers: Vec<_> =
        layers.iter().map(|layer| blob(layout, "application/vnd.oci.image.layer.v1.tar", layer)).collect();
    let configuration = json!({ "architecture": architecture, "os": "linux", "config": { "Cmd": command },
        "rootfs": { "type": "layers", "diff_ids": [] } });
    let configuration = blob(layout, "application/vnd.oci.image.config.v1+json", configuration.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": configuration, "layers": layers });
    blob(layout, "application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes())
}

/// Writes the index and the mark of the layout in a folder.
pub fn index(layout: &Path, manifests: &[Value]) {
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(layout.join("index.json"), index.to_string()).expect("an index");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).expect("a mark");
}
