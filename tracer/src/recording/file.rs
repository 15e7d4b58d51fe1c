//! The file that a recording goes into.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Totals, WriteError};

/// Where a recording's bytes go.
pub trait Sink: Write {
    /// Writes a part of the file whole: its header, or a block that holds `totals`.
    ///
    /// # Errors
    /// What the operating system says.
    fn put(&mut self, part: &[u8], _totals: &Totals) -> io::Result<()> {
        self.write_all(part)
    }

    /// Cuts off all bytes from `len` on; the next write goes there.
    ///
    /// # Errors
    /// What the operating system says.
    fn cut_back(&mut self, len: u64) -> io::Result<()>;

    /// Brings everything written to the disk, so that late errors show.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// How many of the bytes `handed_over` are kept, in whole blocks, after an error.
    fn whole_bytes(&self, handed_over: u64) -> u64 {
        handed_over
    }
}

impl Sink for File {
    fn cut_back(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)?;
        self.seek(SeekFrom::Start(len)).map(drop)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

impl Sink for Vec<u8> {
    fn cut_back(&mut self, len: u64) -> io::Result<()> {
        self.truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }
}

/// What to do about a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it alone and say so.
    Refuse,
    /// Put a new file in its place.
    Replace,
}

/// Makes a new file that only its owner may read: records tell who talks to whom.
///
/// An existing file is replaced by a new one rather than written over, so that its rights, and links that
/// somebody put there, have no say.
///
/// # Errors
/// [`WriteError::Exists`], [`WriteError::NotAFile`], [`WriteError::Create`].
pub fn create(path: &Path, existing: Existing) -> Result<File, WriteError> {
    let failed = |source| WriteError::Create { path: path.to_owned(), source };
    match (fs::symlink_metadata(path), existing) {
        (Err(e), _) if e.kind() == io::ErrorKind::NotFound => {}
        (Err(e), _) => return Err(failed(e)),
        (Ok(_), Existing::Refuse) => return Err(WriteError::Exists { path: path.to_owned() }),
        (Ok(found), Existing::Replace) if !found.is_file() => {
            return Err(WriteError::NotAFile { path: path.to_owned() });
        }
        (Ok(_), Existing::Replace) => fs::remove_file(path).map_err(failed)?,
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_recording_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.trc");
        let file = create(&path, Existing::Refuse).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_existing_file_is_left_alone_unless_it_may_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.trc");
        fs::write(&path, "precious").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = create(&path, Existing::Refuse).unwrap_err();
        assert!(error.to_string().ends_with("replace it with --force"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
        let file = create(&path, Existing::Replace).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_is_no_regular_file_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, "precious").unwrap();
        symlink(&target, &link).unwrap();
        for path in [link.as_path(), folder.path(), Path::new("/dev/null")] {
            assert!(matches!(create(path, Existing::Replace), Err(WriteError::NotAFile { .. })));
        }
        assert_eq!(fs::read(&target).unwrap(), b"precious");
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named_with_its_reason() {
        let error = create(Path::new("/nowhere/run.trc"), Existing::Refuse).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot create /nowhere/run.trc: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_file_that_is_cut_back_goes_on_at_its_new_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.trc");
        let mut file = create(&path, Existing::Refuse).unwrap();
        file.write_all(b"whole, part").unwrap();
        file.cut_back(6).unwrap();
        file.write_all(b" again").unwrap();
        file.sync().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole, again");
    }
}
