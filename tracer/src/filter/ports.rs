//! What a filter says about ports before anything else is known: the kernel side leaves out the rest.

use std::ops::RangeInclusive;

use super::Filter;
use super::keys::Key;
use super::parser::Node;
use super::term::{Term, Test};
use crate::ports::PortSet;

impl Filter {
    /// Ports of which a connection must have one, at either end, for the filter to hold for it or for the other end of
    /// it: what has none needs not be looked at. All where ports do not decide.
    #[must_use]
    pub fn ports(&self) -> PortSet {
        needed(&self.root, &self.terms).unwrap_or_default()
    }
}

/// `None` where a connection of any ports may be meant.
fn needed(node: &Node, terms: &[Term]) -> Option<PortSet> {
    match node {
        Node::Term(term) => terms.get(*term).and_then(named).map(PortSet::of),
        Node::Not(_) => None,
        // Each alone must hold: the narrowest is enough. Not what they have in common, for one may be about this
        // port and another about the other one.
        Node::And(all) => {
            all.iter().filter_map(|node| needed(node, terms)).min_by_key(PortSet::len)
        }
        Node::Or(any) => {
            let mut sets = any.iter().map(|node| needed(node, terms));
            let first = sets.next()??;
            sets.try_fold(first, |union, set| Some(union.or(&set?)))
        }
    }
}

/// The ports that a term names.
fn named(term: &Term) -> Option<RangeInclusive<u16>> {
    let Test::Number(range) = &term.test else { return None };
    matches!(term.key, Key::Port | Key::Lport | Key::Rport).then_some(())?;
    Some(u16::try_from(*range.start()).ok()?..=u16::try_from(*range.end()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(filter: &str) -> PortSet {
        filter.parse::<Filter>().unwrap().ports()
    }

    #[test]
    fn ports_that_are_named_are_those_that_a_connection_must_have() {
        let web = PortSet::of(80..=80).or(&PortSet::of(443..=443));
        assert_eq!(ports("port:80 or port:443"), web);
        assert_eq!(ports("lport:80"), PortSet::of(80..=80));
        assert_eq!(ports("rport:1000-2000 status:5xx comm:nginx"), PortSet::of(1000..=2000));
        assert_eq!(ports("(port:80 or rport:443) method:GET"), web);
    }

    #[test]
    fn of_several_that_must_hold_the_narrowest_is_taken() {
        assert_eq!(ports("lport:8080 rport:1024-"), PortSet::of(8080..=8080));
        assert_eq!(ports("lport:1000-2000 rport:3000"), PortSet::of(3000..=3000));
    }

    #[test]
    fn port_0_is_a_port_like_any_other() {
        assert_eq!(ports("lport:-1023"), PortSet::of(0..=1023));
        assert_eq!(ports("port:0"), PortSet::of(0..=0));
        assert_eq!(ports("rport:0 or lport:80"), PortSet::of(0..=0).or(&PortSet::of(80..=80)));
    }

    #[test]
    fn where_ports_do_not_decide_every_connection_is_looked_at() {
        for filter in ["", "comm:nginx", "not port:80", "port:80 or comm:nginx", "port:*"] {
            assert!(ports(filter).is_all(), "{filter}");
        }
    }
}
