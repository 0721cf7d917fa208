//! Images and damaged modules that many scenes have in common.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use guest_init::machine::{RISCV64, X86_64};
use tempfile::TempDir;

use super::{Console, Image, Kernel, Machine, Vm, script};

/// Boots an image with more words on the kernel command line.
pub fn boot(image: Image, words: &str) -> Console {
    Vm::new(&image.build()).append(words).run()
}

/// A directory of the host's with these files.
pub fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = TempDir::new().expect("a temporary directory");
    for (name, content) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
        fs::write(path, content).expect("the file can be written");
    }
    directory
}

/// An image with some small modules, for scenes in which any module will do.
pub fn small() -> Image {
    Image::new().modules("dummy; loop; ext4; virtio_net; ifb")
}

/// The image with the drivers of vsock and of virtio-serial ports.
pub fn with_channels(image: Image) -> Image {
    with_port(image).modules("vmw_vsock_virtio_transport")
}

/// The image with the drivers of virtio-serial ports.
pub fn with_port(image: Image) -> Image {
    image.modules(&format!("{}; virtio_console", Machine::under_test().virtio))
}

/// The image with this file below /lib/modules/RELEASE, in place of the module tree's own.
pub fn with_file(image: Image, name: &str, content: impl AsRef<[u8]>) -> Image {
    image.file(&format!("/lib/modules/{}/{name}", Kernel::under_test().release), content, 0o644)
}

/// The image with a modules.dep of these lines and no modules.dep.bin.
pub fn with_dep(image: Image, lines: impl AsRef<[u8]>) -> Image {
    with_file(with_file(image, "modules.dep.bin", ""), "modules.dep", lines)
}

/// The image with another file in place of a module's.
pub fn with_module(image: Image, name: &str, content: impl AsRef<[u8]>) -> Image {
    let (_, path) = Kernel::under_test().module(name);
    with_file(image, &path, content)
}

/// A layout with nothing but the two programs: no device nodes, no mount points. Every kernel has a /dev/console of its
/// own in the initramfs, so a directory takes its place.
pub const BARE: &str = r#"
[directories]
"/dev/console" = 0o755
[devices]
[links]
"/init" = "sbin/guest-init"
[programs]
"/sbin/guest-init" = { from = "init", mode = 0o755 }
"/sbin/agent" = { from = "agent", mode = 0o755 }
"#;

/// An image whose /init is a shell script that ends in guest-init, with its descriptors closed: for states that a
/// kernel never starts PID 1 in. The script writes to the kernel's log by /kmsg, and logs the start of guest-init as a
/// kernel does, for [`Console::in_time`].
pub fn after(script: &str) -> Image {
    let layout = BARE.replace("\"/init\" = \"sbin/guest-init\"\n", "").replace("/dev/console", "/proc");
    let start = format!(
        "#!/bin/busybox sh\nPATH=/bin; /bin/busybox --install -s /bin; mknod /kmsg c 1 11\n{script}\n\
         echo '<6>Run /sbin/guest-init' >/kmsg\nexec /sbin/guest-init <&- >&- 2>&-"
    );
    let busybox = busybox();
    small().layout(&layout).add(Path::new(&busybox), "/bin/busybox").file("/init", start, 0o755)
}

/// A shell for the guest.
pub fn busybox() -> String {
    script("busybox", &["--arch", Machine::under_test().arch.name])
}

/// The path of a module's file in the image.
pub fn file_of(module: &str) -> String {
    let kernel = Kernel::under_test();
    format!("/lib/modules/{}/{}", kernel.release, kernel.module(module).1)
}

/// The file of `dummy` without its signature, which would not fit a changed file.
pub fn dummy() -> Vec<u8> {
    let mut module = Kernel::under_test().plain("dummy");
    module.truncate(module.len() - b"~Module signature appended~\n".len());
    module
}

/// An ELF file that claims to be for another machine, and that machine's name.
pub fn foreign(mut file: Vec<u8>) -> (Vec<u8>, &'static str) {
    const LITTLE_ENDIAN: u8 = 1;
    let machine = match Machine::under_test().arch.name {
        "riscv64" => X86_64,
        _ => RISCV64,
    };
    file[5] = LITTLE_ENDIAN;
    file[0x12..0x14].copy_from_slice(&machine.elf_number.to_le_bytes());
    (file, machine.name)
}

/// These bytes, compressed by a program.
pub fn compress(bytes: &[u8], program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("it can be written");
    let mut command = Command::new(program);
    command.args(arguments).arg("--stdout").arg(file.path()).output().expect("the program runs").stdout
}

/// A program for the guest that needs a dynamic loader.
pub fn dynamic_program() -> tempfile::NamedTempFile {
    let program = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut compiler = Command::new(Machine::under_test().arch.compiler);
    compiler.args(["-x", "c", "-", "-o"]).arg(program.path()).stdin(Stdio::piped());
    let mut compiler = compiler.spawn().expect("the compiler starts");
    compiler.stdin.take().expect("a pipe").write_all(b"int main(void) { return 0; }").expect("it reads");
    assert!(compiler.wait().expect("it ends").success());
    program
}

/// These bytes with the first occurrence of `from` replaced.
pub fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the bytes hold it");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// The file of `dummy` with a start that never ends: behind the place for the tracer at the beginning of the function
/// stands a jump to itself.
pub fn spinning() -> Vec<u8> {
    let mut module = dummy();
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&module).expect("it can be written");
    let read = |options: &str| {
        let output = Command::new("readelf").arg(options).arg(file.path()).output().expect("readelf runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    // Symbols: number, value, size, type, binding, visibility, more than one word on ppc64le, section, name.
    let symbols = read("-sW");
    let start = symbols.lines().find(|line| line.ends_with(" init_module")).expect("the module has a start");
    let start: Vec<_> = start.split_whitespace().collect();
    let number = |text: &str| usize::from_str_radix(text, 16).expect("a number");
    // Sections: [number] name, type, address, offset.
    let sections = read("-SW");
    let number_of_section = start[start.len() - 2];
    let section =
        sections.lines().find_map(|line| line.trim_start().strip_prefix(&format!("[{number_of_section:>2}] ")));
    let offset = section.expect("the start has a section").split_whitespace().nth(3).expect("a section has an offset");
    let at = number(offset) + number(start[1]);
    let (site, spin) = (Machine::under_test().arch.trace_site, Machine::under_test().arch.spin);
    let place = module[at..at + 16].windows(site.len()).position(|code| code == site).expect("a place for the tracer");
    let at = at + place + site.len();
    module[at..at + spin.len()].copy_from_slice(spin);
    module
}
