//! What the kernel counts of each program, in its fdinfo.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::FileExt as _;

use aya::Ebpf;

use super::programs::{Group, PROGRAMS};

/// Long enough for all that the kernel writes of a program (`bpf_prog_show_fdinfo`).
const FDINFO_BYTES: usize = 1024;

/// The file with the figures of one program, kept open: they are read once a second.
pub(super) struct ProgramFigures {
    pub group: Group,
    file: File,
}

impl ProgramFigures {
    /// Of every program that was loaded.
    pub fn of_all(ebpf: &Ebpf) -> Vec<ProgramFigures> {
        PROGRAMS
            .iter()
            .filter_map(|program| {
                let fd = ebpf.program(program.name)?.fd().ok()?;
                let path = format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd());
                let file = File::open(path).ok()?;
                Some(ProgramFigures { group: program.group, file })
            })
            .collect()
    }

    /// Runs that were left out because the program was interrupted by itself on the same CPU; 0 where that cannot be read.
    pub fn recursion_misses(&self) -> u64 {
        let mut text = [0; FDINFO_BYTES];
        let length = self.file.read_at(&mut text, 0).unwrap_or(0);
        recursion_misses(&text[..length]).unwrap_or(0)
    }
}

fn recursion_misses(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let count = text.lines().find_map(|line| line.strip_prefix("recursion_misses:"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_left_out_are_found_among_the_figures() {
        let text =
            b"pos:\t0\nprog_id:\t7\nrun_cnt:\t0\nrecursion_misses:\t12\nverified_insns:\t3\n";
        assert_eq!(recursion_misses(text), Some(12));
        assert_eq!(recursion_misses(b"pos:\t0\n"), None);
        assert_eq!(recursion_misses(b"recursion_misses:\tmany\n"), None);
    }
}
