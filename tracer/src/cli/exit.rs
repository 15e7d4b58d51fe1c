//! From a result to an exit status and a word on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::sanitize::printable_lines;

/// A command line that makes no sense: exit status 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Status 0 for success and for a closed pipe, 2 for wrong usage, 1 for any other error, which goes to stderr.
pub(super) fn status(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough, as `head` does.
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is closed too, the status still tells.
            _ = writeln!(io::stderr(), "tracer: {}", printable_lines(&describe(&error)));
            code(if error.is::<UsageError>() { 2 } else { 1 })
        }
    }
}

/// The exit status `number`; 1 for what is none.
pub(super) fn code(number: i32) -> ExitCode {
    u8::try_from(number).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

/// What failed and why, each cause once: some errors name their cause themselves.
fn describe(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |mut text, cause| {
        if text.is_empty() {
            return cause;
        }
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;
    use crate::recording::ReadError;

    #[test]
    fn each_cause_is_told_once() {
        let source = io::Error::other("the disk is gone");
        let error = anyhow::Error::from(ReadError::Io { offset: 7, source }).context("a.trc");
        assert_eq!(
            describe(&error),
            "a.trc: cannot read the recording at byte 7: the disk is gone"
        );
        assert_eq!(describe(&anyhow!("why").context("what")), "what: why");
    }

    #[test]
    fn a_closed_pipe_is_found_under_its_context() {
        let closed = Err::<(), _>(io::Error::from(io::ErrorKind::BrokenPipe))
            .context("writing")
            .unwrap_err();
        assert!(is_closed_pipe(&closed));
        assert!(!is_closed_pipe(&anyhow!("broken pipe")));
    }
}
