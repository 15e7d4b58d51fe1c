//! Lines of /proc/PID/mountinfo (proc_pid_mountinfo(5)), as far as this program asks.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which part of the file system is mounted: `/`, a directory in it, or `net:[4026531840]` on nsfs.
    pub root: PathBuf,
    /// Where, seen from this process's root.
    pub point: PathBuf,
    /// File system type.
    pub fs_type: String,
}

/// The mounts of a mountinfo text; lines of another form are passed over.
pub fn parse(text: &[u8]) -> impl Iterator<Item = Mount> + '_ {
    text.split(|b| *b == b'\n').filter_map(parse_line)
}

/// This process's mounts.
///
/// # Errors
/// What reading the file gives.
pub fn of_this_process() -> std::io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read("/proc/self/mountinfo")?).collect())
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    // Any number of optional fields come between the mount options and a lone hyphen.
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = std::str::from_utf8(fields.next()?).ok()?.to_owned();
    Some(Mount { root: unescape(root), point: unescape(point), fs_type })
}

/// Space, tab, newline and backslash come as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match octal(rest) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(out).into()
}

fn octal(text: &[u8]) -> Option<u8> {
    match text {
        [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
            Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, point: &str, fs_type: &str) -> Mount {
        Mount { root: root.into(), point: point.into(), fs_type: fs_type.into() }
    }

    #[test]
    fn a_line_has_its_root_point_and_type_with_any_number_of_optional_fields() {
        let text = b"\
30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate
31 23 0:27 /docker/ab /mnt rw shared:5 master:1 - cgroup2 cgroup2 rw
470 26 0:4 net:[4026532244] /run/netns/blue rw - nsfs nsfs rw
";
        let found: Vec<_> = parse(text).collect();
        assert_eq!(
            found,
            [
                mount("/", "/sys/fs/cgroup", "cgroup2"),
                mount("/docker/ab", "/mnt", "cgroup2"),
                mount("net:[4026532244]", "/run/netns/blue", "nsfs"),
            ]
        );
    }

    #[test]
    fn escaped_characters_are_put_back() {
        let line = br"36 35 98:0 / /mnt/a\040b\134c\01 rw - ext4 /dev/x rw";
        assert_eq!(parse(line).next(), Some(mount("/", r"/mnt/a b\c\01", "ext4")));
    }

    #[test]
    fn broken_lines_are_passed_over() {
        for line in ["", "36", "36 35 98:0 / /mnt rw", "36 35 98:0 / /mnt rw -", "- - - - -"] {
            assert_eq!(parse(line.as_bytes()).next(), None, "{line:?}");
        }
    }

    #[test]
    fn this_process_has_a_proc_mount() {
        assert!(of_this_process().unwrap().iter().any(|m| m.fs_type == "proc"));
    }
}
