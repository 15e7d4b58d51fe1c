//! A filter that cannot be understood, with the place and the way out.

use std::fmt;
use std::ops::Range;

use unicode_width::UnicodeWidthStr;

use crate::sanitize::printable;

/// Why a filter is not understood. `Display` shows the filter with the place marked, on several lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct FilterError {
    pub(super) text: String,
    pub(super) span: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl FilterError {
    /// What is wrong, in one line.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What would be right.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The place, as bytes of the filter's text.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, rest) =
            self.text.split_at_checked(self.span.start).unwrap_or((&self.text, ""));
        let marked = rest.get(..self.span.len()).unwrap_or(rest);
        let indent = printable(before).width();
        let carets = "^".repeat(printable(marked).width().max(1));
        writeln!(f, "{}", printable(&self.message))?;
        writeln!(f, "  {}", printable(&self.text))?;
        write!(f, "  {:indent$}{carets}", "")?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n{}", printable(hint)))
    }
}

/// An error before its text is attached to it.
#[derive(Debug)]
pub(super) struct Problem {
    pub span: Range<usize>,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Problem { span, message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn in_text(self, text: &str) -> FilterError {
        let Problem { span, message, hint } = self;
        FilterError { text: text.to_owned(), span, message, hint }
    }
}
