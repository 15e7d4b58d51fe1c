//! Writes the file system that a booted kernel starts from: a cpio archive in the `newc` format
//! (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_777;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive under construction; paths inside have no leading slash.
pub struct Initramfs<W> {
    out: W,
    inode: u32,
    /// What is in already: a library is often wanted twice.
    present: BTreeSet<String>,
}

impl<W: Write> Initramfs<W> {
    pub fn new(out: W) -> Self {
        Self { out, inode: 0, present: BTreeSet::new() }
    }

    /// A directory with all its parents.
    pub fn directory(&mut self, path: &str) -> Result<()> {
        for (end, _) in path.match_indices('/').chain([(path.len(), "")]) {
            self.entry(&path[..end], DIRECTORY, &[])?;
        }
        Ok(())
    }

    /// A file that can be executed, with its directories.
    pub fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.parents(path)?;
        self.entry(path, PROGRAM, bytes)
    }

    /// A copy of a file on this system; a link is followed.
    pub fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.file(path, &bytes)
    }

    pub fn symlink(&mut self, path: &str, to: &str) -> Result<()> {
        self.parents(path)?;
        self.entry(path, SYMLINK, to.as_bytes())
    }

    /// Ends the archive.
    pub fn finish(mut self) -> Result<()> {
        self.entry(TRAILER, 0, &[])?;
        self.out.flush().context("writing the initramfs")
    }

    fn parents(&mut self, path: &str) -> Result<()> {
        path.rsplit_once('/').map_or(Ok(()), |(parent, _)| self.directory(parent))
    }

    fn entry(&mut self, path: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        if self.present.insert(path.to_owned()) {
            self.inode += 1;
            self.write(path, mode, bytes).with_context(|| format!("writing /{path}"))?;
        }
        Ok(())
    }

    fn write(&mut self, path: &str, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let too_big = |_| io::Error::other("longer than 4 GiB");
        let size = u32::try_from(bytes.len()).map_err(too_big)?;
        let name_size = u32::try_from(path.len() + 1).map_err(too_big)?;
        // inode, mode, uid, gid, links, mtime, size, device (two), special device (two), name
        // size, checksum.
        let header = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        write!(self.out, "070701")?;
        for field in header {
            write!(self.out, "{field:08x}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(b"\0")?;
        self.pad(110 + path.len() + 1)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len())
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        self.out.write_all(&[0; 3][..written.next_multiple_of(4) - written])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_aligned_and_parents_come_first_and_once() {
        let mut bytes = Vec::new();
        let mut archive = Initramfs::new(&mut bytes);
        archive.file("a/b/one", b"12345").unwrap();
        archive.file("a/b/two", b"").unwrap();
        archive.symlink("a/three", "b/one").unwrap();
        archive.finish().unwrap();
        assert_eq!(names(&bytes), ["a", "a/b", "a/b/one", "a/b/two", "a/three", TRAILER]);
    }

    /// Walks the archive as the kernel does.
    fn names(mut bytes: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let hex = std::str::from_utf8(&bytes[6 + 8 * index..][..8]).unwrap();
                usize::from_str_radix(hex, 16).unwrap()
            };
            let (size, name_size) = (field(6), field(11));
            names.push(String::from_utf8(bytes[110..109 + name_size].to_vec()).unwrap());
            let data = (110 + name_size).next_multiple_of(4);
            bytes = &bytes[data + size.next_multiple_of(4)..];
        }
        names
    }
}
