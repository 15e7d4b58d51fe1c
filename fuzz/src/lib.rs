//! What several fuzz targets share.

mod choices;
mod file;

pub use choices::Choices;
pub use file::{FILE_HEADER_BYTES, file_of};
