//! OCI image layouts (OCI image specification: image-layout.md, image-index.md, manifest.md, config.md): the folder
//! that skopeo, buildah, docker buildx and `docker save` write.
//!
//! The layers of one manifest are the root. Every blob must have the size and the digest of its descriptor.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek};

use anyhow::{Context, Result, bail, ensure};
use guest_init::machine::Machine;
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};

use super::super::folder::Folder;
use super::super::hex::Hex;
use super::files::RootFiles;
use super::tar_file::{self, Entries};

/// The file that marks a layout.
pub const MARK: &str = "oci-layout";
/// The largest index, manifest or configuration in bytes, as registries have it.
const LONGEST_JSON: u64 = 4 << 20;
/// The most indexes on the way to a manifest.
const DEEPEST: usize = 4;
/// The annotation of a manifest that is no image, but a statement about one.
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
/// The advice if no image fits the guest-init.
const NAME_INIT: &str = "name the guest-init of that architecture with --init, or for check its kernel with --kernel";
/// The annotation with the name of an image.
const NAME: &str = "org.opencontainers.image.ref.name";

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A platform that an image is for.
#[derive(Clone, Debug, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    architecture: String,
    config: Option<Execution>,
}

/// How the image's own program is started.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
}

/// Adds the layers of the image for a machine to a root. Returns the image's command.
pub fn read(files: &mut RootFiles, layout: &Folder, machine: &Machine) -> Result<Vec<String>> {
    let architecture = architecture(machine);
    let mut images = Images { architecture, ..Images::default() };
    images.collect(layout, top_index(layout).context("index.json")?, DEEPEST)?;
    let image = match &images.found[..] {
        [image] => image,
        [] if images.others.is_empty() => bail!("it has no image; copy one into it, as `skopeo copy` does"),
        [] => {
            let others: Vec<_> = images.others.into_iter().collect();
            bail!("it has no image for linux/{architecture}, but for {}; {NAME_INIT}", others.join(", "))
        }
        several => {
            let names: Vec<_> =
                several.iter().map(|image| image.annotations.get(NAME).unwrap_or(&image.digest)).collect();
            bail!("it has several images: {names:?}; copy one into a layout of its own, as `skopeo copy` does")
        }
    };
    let manifest: Manifest = json(layout, image)?;
    let configuration: Configuration = json(layout, &manifest.config)?;
    let own = &configuration.architecture;
    ensure!(own.is_empty() || own == architecture, "the image is for {own}, not for {architecture}; {NAME_INIT}");
    for layer in &manifest.layers {
        ensure!(!layer.media_type.ends_with("+encrypted"), "the layer {} is encrypted", layer.digest);
        files.begin_layer();
        let blob = BufReader::new(blob(layout, layer)?);
        tar_file::read(files, blob, Entries::Layer).with_context(|| format!("the layer {}", layer.digest))?;
    }
    let execution = configuration.config.unwrap_or_default();
    Ok([execution.entrypoint, execution.cmd].into_iter().flatten().flatten().collect())
}

/// The index that the layout begins with.
fn top_index(layout: &Folder) -> Result<Index> {
    let file = File::open(layout.file("index.json")?)?;
    ensure!(file.metadata()?.len() <= LONGEST_JSON, "more than 4 MiB");
    Ok(serde_json::from_reader(BufReader::new(file))?)
}

/// The images of a layout.
#[derive(Default)]
struct Images<'a> {
    /// The architecture that is looked for.
    architecture: &'a str,
    /// The images that fit it or do not name theirs.
    found: Vec<Descriptor>,
    /// The platforms of the others.
    others: BTreeSet<String>,
    /// The digests that were seen. An image may have several names, and an index may be in several.
    seen: HashSet<String>,
}

impl Images<'_> {
    /// Collects the images of an index, and of the indexes in it.
    fn collect(&mut self, layout: &Folder, index: Index, depth: usize) -> Result<()> {
        ensure!(depth > 0, "more than {DEEPEST} indexes in one another");
        for descriptor in index.manifests {
            if !self.seen.insert(descriptor.digest.clone()) {
                continue;
            }
            let kind = descriptor.media_type.as_str();
            if kind.ends_with("image.index.v1+json") || kind.ends_with("manifest.list.v2+json") {
                self.collect(layout, json(layout, &descriptor)?, depth - 1)?;
            } else if !descriptor.annotations.contains_key(REFERENCE_TYPE) {
                self.add(descriptor);
            }
        }
        Ok(())
    }

    fn add(&mut self, image: Descriptor) {
        match &image.platform {
            Some(Platform { os, architecture }) if os != "linux" || architecture != self.architecture => {
                self.others.insert(format!("{os}/{architecture}"));
            }
            _ => self.found.push(image),
        }
    }
}

/// The contents of a blob of JSON.
fn json<T: for<'d> Deserialize<'d>>(layout: &Folder, descriptor: &Descriptor) -> Result<T> {
    let name = || format!("the blob {}", descriptor.digest);
    ensure!(descriptor.size <= LONGEST_JSON, "{}: more than 4 MiB", name());
    serde_json::from_reader(BufReader::new(blob(layout, descriptor)?)).with_context(name)
}

/// A blob of the layout, whose size and digest are right.
fn blob(layout: &Folder, descriptor: &Descriptor) -> Result<File> {
    let Descriptor { digest, size, .. } = descriptor;
    let (algorithm, expected) = digest.split_once(':').unwrap_or_default();
    let is_hex = |length| expected.len() == length && expected.bytes().all(|b| b.is_ascii_hexdigit());
    let hash: fn(&File) -> Result<String> = match algorithm {
        "sha256" if is_hex(64) => hash_of::<Sha256>,
        "sha512" if is_hex(128) => hash_of::<Sha512>,
        _ => bail!("{digest:?} is no digest of SHA-256 or SHA-512"),
    };
    let path = format!("blobs/{algorithm}/{expected}");
    let mut file = File::open(layout.file(&path).with_context(|| path.clone())?)?;
    let length = file.metadata()?.len();
    ensure!(length == *size, "{path}: {length} bytes, and its descriptor has {size}");
    let actual = hash(&file)?;
    ensure!(actual == *expected, "{path}: its digest is {algorithm}:{actual}; copy the image again");
    file.rewind()?;
    Ok(file)
}

fn hash_of<D: Digest>(mut file: &File) -> Result<String> {
    let mut digest = D::new();
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(Hex(&digest.finalize()).to_string()),
            length => digest.update(&bytes[..length]),
        }
    }
}

/// The name that OCI has for a machine, which is that of Go (GOARCH).
fn architecture(machine: &Machine) -> &'static str {
    match machine.name {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
