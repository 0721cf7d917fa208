//! guest-image, the host's tool: `build`, `check`, `explain`, `extension`, `kata`, `listen` and `timeline`, the
//! manual pages with their recipes, and the completions.

mod check;
mod explain;
mod extension;
mod image;
mod kata;
mod listen;
mod pages;
mod recipes;
mod scale;
#[path = "../support/mod.rs"]
mod support;
mod timeline;
