//! What is attached, what is not, why, and what that costs.

use std::collections::BTreeMap;

use super::programs::Group;

/// One program's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramHealth {
    /// The program.
    pub name: &'static str,
    /// Its group.
    pub group: Group,
    /// Why it is not attached; `None` when it is.
    pub refused: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// In the order of attachment.
    pub programs: Vec<ProgramHealth>,
}

/// A group's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupHealth {
    /// All of its programs are attached.
    Attached,
    /// Some are; the others with their reasons.
    Partial(String),
    /// None is; the reason.
    Off(String),
}

impl Health {
    /// Whether every program of the group is attached.
    #[must_use]
    pub fn is_attached(&self, group: Group) -> bool {
        self.group(group) == GroupHealth::Attached
    }

    /// A group's state.
    #[must_use]
    pub fn group(&self, group: Group) -> GroupHealth {
        let members: Vec<_> = self.programs.iter().filter(|p| p.group == group).collect();
        let refused: Vec<String> = members
            .iter()
            .filter_map(|p| p.refused.as_ref().map(|why| format!("{}: {why}", p.name)))
            .collect();
        if refused.is_empty() && !members.is_empty() {
            GroupHealth::Attached
        } else if refused.len() < members.len() {
            GroupHealth::Partial(refused.join("; "))
        } else {
            GroupHealth::Off(reason(&members))
        }
    }

    /// The `hooks` of the `host` record.
    #[must_use]
    pub fn hooks(&self) -> BTreeMap<String, String> {
        let mut hooks: BTreeMap<String, String> = Group::ALL
            .iter()
            .map(|group| (group.name().to_owned(), self.sentence(*group)))
            .collect();
        hooks.insert(
            "tls".to_owned(),
            "unavailable: not in this version; lost without it: requests inside TLS".to_owned(),
        );
        hooks
    }

    /// `attached`, or what is wrong and what is lost.
    #[must_use]
    pub fn sentence(&self, group: Group) -> String {
        match self.group(group) {
            GroupHealth::Attached => "attached".to_owned(),
            GroupHealth::Partial(why) => {
                format!("partly attached ({why}); partly lost: {}", group.lost_without())
            }
            GroupHealth::Off(why) => {
                format!("off ({why}); lost without it: {}", group.lost_without())
            }
        }
    }
}

/// Why none of `members` is attached: the one reason of all, or the first with its program's name.
fn reason(members: &[&ProgramHealth]) -> String {
    let mut reasons = members.iter().filter_map(|p| Some((p.name, p.refused.as_deref()?)));
    match reasons.next() {
        None => "not built in".to_owned(),
        Some((_, first)) if reasons.all(|(_, why)| why == first) => first.to_owned(),
        Some((name, first)) => format!("{name}: {first}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(name: &'static str, group: Group, refused: Option<&str>) -> ProgramHealth {
        ProgramHealth { name, group, refused: refused.map(str::to_owned) }
    }

    #[test]
    fn a_group_is_attached_only_when_all_of_its_programs_are() {
        let health = Health {
            programs: vec![
                program("a", Group::Timers, None),
                program("b", Group::Timers, Some("EPERM")),
                program("c", Group::Reset, Some("EPERM")),
                program("d", Group::State, None),
            ],
        };
        assert_eq!(health.group(Group::State), GroupHealth::Attached);
        assert_eq!(health.group(Group::Timers), GroupHealth::Partial("b: EPERM".to_owned()));
        assert_eq!(health.group(Group::Reset), GroupHealth::Off("EPERM".to_owned()));
        assert!(health.hooks()["reset"].contains("lost without it"));
        assert_eq!(health.hooks()["state"], "attached");
    }
}
