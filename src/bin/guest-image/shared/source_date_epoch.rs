//! SOURCE_DATE_EPOCH, which makes builds reproducible.

use anyhow::{Context, Result, anyhow};

/// The time of all files of an image (reproducible-builds.org/specs/source-date-epoch).
pub fn read() -> Result<u32> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().with_context(|| format!("SOURCE_DATE_EPOCH: {text:?}")),
        Err(std::env::VarError::NotPresent) => Ok(0),
        Err(error) => Err(anyhow!("SOURCE_DATE_EPOCH: {error}")),
    }
}
