//! guest-init: the init of a microVM. PID 1 loads the kernel modules that the VM was asked to load, becomes the agent,
//! and panics the VM, with a reason, if any of that fails.
//!
//! # Map
//!
//! The house has three floors. A floor uses the floors below it, never one above.
//!
//! | floor | module | input | output |
//! | --- | --- | --- | --- |
//! | 1 | [`request`] | the kernel command line | a [`Request`](request::Request): what this VM was asked to do |
//! | 2 | [`resolve`] | names, indexes, configuration | a [`Plan`](resolve::plan::Plan): the files to load, in order |
//! | 3 | [`guest`] | a request and a plan | system calls: mounts, loaded modules, the agent |
//!
//! Six modules are used on every floor: [`failure`], [`notification`], [`text`], [`elf`], [`machine`] and [`version`].
//! [`bare`] is the run-time of guest-init, which has neither a C library nor std.
//!
//! `request` and `resolve` decide, and `guest` acts. The whole plan is made before the first module is loaded, so a
//! mistake in a list fails before anything is done. `request` and `resolve` make no system calls and allocate nothing.
//! The compiler checks the latter: the crate is `no_std`, and only files below `guest` name `alloc`.
//!
//! # Glossary
//!
//! | term | meaning |
//! | --- | --- |
//! | agent | The program that PID 1 becomes (`guest_init.agent`). |
//! | image | The initramfs or the disk that the VM starts from. |
//! | request | All that the kernel command line asks of guest-init. |
//! | list | A text of entries, on the command line or in a file. |
//! | entry | A name in a list with its parameters, or `@devices`. `?` before the name makes the entry optional. |
//! | modalias | The text by which a device names the drivers that fit it. Modules have patterns of it as aliases. |
//! | round | One load of drivers for devices. The next is for the devices that it brought. |
//! | location | The address of a file or a directory: `/path`, `virtiofs:TAG:/path` or `disk:DISK:/path`. |
//! | share | A directory of the host that the VM mounts through virtio-fs. |
//! | extension | A disk that Kata adds to a VM, mounted below /run for the agent. |
//! | place | The image, an extension, a share or a disk: where the path of a location begins. |
//! | hash tree | The hashes by which dm-verity verifies a disk. The root hash is that of the topmost block. |
//! | module tree | A directory `/lib/modules/RELEASE`: modules of a kernel, and depmod's indexes. |
//! | sources | The module trees and the configuration in which a name is looked up. |
//! | directive | A line of the configuration in modprobe.d, or a word of the command line that has the same effect. |
//! | wanted module | A module that the name of an entry means. An alias may mean several. |
//! | step | What is done for one module, for example a load. |
//! | plan | The steps for all entries, in order. |
//! | adjust | Set the parameters of a module that is in the kernel already. |
//! | consequence | The effect of a step's failure: it ends the VM, or only its entry, or nothing. |
//! | finding | A mistake in an entry or a step that is found before anything is loaded. |
//! | failure | A code, a subject, an errno and a reason, in one line. |
//! | stage | The part of the mission that failed: the first digit of a failure's code. |
//! | report | The failures so far. Its verdict is the one failure that stands for all. |
//! | last word | The line at emergency level with which a failed VM ends. |
//! | notification | The message to the host: why guest-init failed, or that the agent is started. |
//! | channel | The way of a notification to the host: vsock, or a virtio-serial port. |
//! | deadline | The time from the start of guest-init within which the agent must be started. |
//! | activity | The text that says what a thread is doing. The deadline's last word quotes it. |
//! | bare | Built without a C library and std, as the guest-init of a VM is. |

#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic))]

#[cfg(test)]
extern crate std;

pub mod bare;
pub mod elf;
pub mod failure;
pub mod guest;
pub mod machine;
pub mod notification;
pub mod request;
pub mod resolve;
pub mod text;
pub mod version;

/// The text that guest-init prints below its version if a person starts it.
pub const ABOUT: &str = "\
The init of a microVM. As PID 1 it loads the kernel modules that guest_init.modules= on the kernel command line asks for,
becomes the agent of guest_init.agent=, and panics the VM, with a reason, if any of that fails. To use it, boot with
rdinit=/sbin/guest-init (initramfs) or init=/sbin/guest-init (disk). If its name is modprobe, it works as modprobe. By
any other name it only prints this text, or with --version the first line.
";
