//! Where files come from: the image, or a share of the host's, and the drivers that reaching it takes.

pub mod drivers;
pub mod share;
