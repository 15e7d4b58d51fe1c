//! Words to an expression: `or` binds least, then `and` (written or not), then `not`.

use std::fmt;

use super::error::Problem;
use super::lexer::{Token, TokenKind, tokens};
use super::term::Term;

/// Most terms in a filter: their truths fit the bits of one word.
pub(super) const MAX_TERMS: usize = 64;
/// How deep parentheses and `not` may be nested; a parser that recurses needs a bound.
const MAX_DEPTH: usize = 64;

/// What must be true of the terms, which are named by their place in the list of terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Term(usize),
    Not(Box<Node>),
    And(Vec<Node>),
    Or(Vec<Node>),
}

impl Node {
    /// Whether it holds, in the logic of three values: `None` where that hangs on something unknown.
    pub(super) fn evaluate(&self, truth: &mut dyn FnMut(usize) -> Option<bool>) -> Option<bool> {
        match self {
            Node::Term(term) => truth(*term),
            Node::Not(inner) => inner.evaluate(truth).map(|holds| !holds),
            Node::And(all) => decide(all, false, truth),
            Node::Or(any) => decide(any, true, truth),
        }
    }

    /// Writes it so that it parses to the same.
    pub(super) fn write(&self, terms: &[Term], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Term(term) => terms.get(*term).map_or(Ok(()), |term| write!(f, "{term}")),
            Node::Not(inner) => {
                f.write_str("not ")?;
                inner.write_inside(terms, matches!(**inner, Node::And(_) | Node::Or(_)), f)
            }
            Node::And(all) => {
                write_list(all, " ", |n| matches!(n, Node::And(_) | Node::Or(_)), terms, f)
            }
            Node::Or(any) => write_list(any, " or ", |n| matches!(n, Node::Or(_)), terms, f),
        }
    }

    fn write_inside(
        &self,
        terms: &[Term],
        parentheses: bool,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        if !parentheses {
            return self.write(terms, f);
        }
        f.write_str("(")?;
        self.write(terms, f)?;
        f.write_str(")")
    }
}

/// `decisive` as soon as one node is that; unknown if one is unknown; else the other value.
fn decide(
    nodes: &[Node],
    decisive: bool,
    truth: &mut dyn FnMut(usize) -> Option<bool>,
) -> Option<bool> {
    let mut result = Some(!decisive);
    for node in nodes {
        match node.evaluate(truth) {
            Some(value) if value == decisive => return Some(decisive),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

fn write_list(
    nodes: &[Node],
    between: &str,
    parentheses: fn(&Node) -> bool,
    terms: &[Term],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (i, node) in nodes.iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        node.write_inside(terms, parentheses(node), f)?;
    }
    Ok(())
}

/// The terms of `text` and how they hang together; no terms and an empty `And` for blank text.
pub(super) fn parse(text: &str) -> Result<(Vec<Term>, Node), Problem> {
    let tokens = tokens(text)?;
    let mut parser =
        Parser { tokens: &tokens, at: 0, end: text.len(), depth: 0, terms: Vec::new() };
    if tokens.is_empty() {
        return Ok((Vec::new(), Node::And(Vec::new())));
    }
    let root = parser.or()?;
    match parser.peek() {
        None => Ok((parser.terms, root)),
        Some(token) => Err(Problem::new(token.span.clone(), "this parenthesis closes nothing")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    /// Where the text ends.
    end: usize,
    depth: usize,
    terms: Vec<Term>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn next_is(&self, kind: &TokenKind) -> bool {
        self.peek().is_some_and(|token| token.kind == *kind)
    }

    fn or(&mut self) -> Result<Node, Problem> {
        let mut nodes = vec![self.and()?];
        while self.next_is(&TokenKind::Or) {
            self.at += 1;
            nodes.push(self.and()?);
        }
        Ok(one_or(nodes, Node::Or))
    }

    fn and(&mut self) -> Result<Node, Problem> {
        let mut nodes = vec![self.unary()?];
        loop {
            match self.peek().map(|token| &token.kind) {
                Some(TokenKind::And) => self.at += 1,
                None | Some(TokenKind::Or | TokenKind::Close) => {
                    return Ok(one_or(nodes, Node::And));
                }
                Some(_) => {}
            }
            nodes.push(self.unary()?);
        }
    }

    fn unary(&mut self) -> Result<Node, Problem> {
        let Some(token) = self.peek() else {
            return Err(Problem::new(
                self.end..self.end,
                "the filter ends where a term must follow",
            ));
        };
        self.at += 1;
        match &token.kind {
            TokenKind::Word(word) => self.term(Term::parse(word, token.span.clone())?, token),
            TokenKind::Not => {
                self.nested(token, Parser::unary).map(|inner| Node::Not(Box::new(inner)))
            }
            TokenKind::Open => self.nested(token, |parser| parser.parenthesised(token)),
            TokenKind::Close | TokenKind::And | TokenKind::Or => {
                Err(Problem::new(token.span.clone(), "a term must come before this"))
            }
        }
    }

    fn term(&mut self, term: Term, token: &Token) -> Result<Node, Problem> {
        if self.terms.len() == MAX_TERMS {
            return Err(Problem::new(
                token.span.clone(),
                format!("a filter has at most {MAX_TERMS} terms"),
            ));
        }
        self.terms.push(term);
        Ok(Node::Term(self.terms.len() - 1))
    }

    fn parenthesised(&mut self, open: &Token) -> Result<Node, Problem> {
        let inner = self.or()?;
        if !self.next_is(&TokenKind::Close) {
            return Err(Problem::new(open.span.clone(), "this parenthesis is not closed"));
        }
        self.at += 1;
        Ok(inner)
    }

    fn nested(
        &mut self,
        token: &Token,
        inner: impl FnOnce(&mut Self) -> Result<Node, Problem>,
    ) -> Result<Node, Problem> {
        if self.depth == MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Problem::new(token.span.clone(), message));
        }
        self.depth += 1;
        let node = inner(self);
        self.depth -= 1;
        node
    }
}

/// The only node, or all of them under `list`.
fn one_or(mut nodes: Vec<Node>, list: fn(Vec<Node>) -> Node) -> Node {
    match (nodes.pop(), nodes.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            nodes.extend(last);
            list(nodes)
        }
    }
}
