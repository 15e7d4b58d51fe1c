//! A table of cases that play under one run of the program, each in a place of its own; a test for
//! each of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use libtest_mimic::{Arguments, Failed, Trial};

use super::expect::{Check, Seen};
use super::place::Place;
use super::shield::{self, Hidden};
use super::tracing::{Run, Tracing};
use super::{environment, said};

/// Plays a case, or the rest of one; what is expected of the records.
pub type Play = Box<dyn FnOnce(&mut Place) -> Vec<Check>>;

/// A row of the table.
#[derive(Clone, Copy)]
pub struct Case {
    /// The test's name, a sentence.
    pub name: &'static str,
    /// Programs without which it is skipped.
    pub needs: &'static [&'static str],
    play: When,
    from_packets_alone: bool,
}

/// When a case plays.
#[derive(Clone, Copy)]
enum When {
    /// While the program runs.
    Traced(fn(&mut Place) -> Vec<Check>),
    /// Up to somewhere before the program starts, and on from there while it runs.
    Across(fn(&mut Place) -> Play),
}

impl Case {
    /// A case in which the test itself has both ends of the connections.
    pub const fn scripted(name: &'static str, play: fn(&mut Place) -> Vec<Check>) -> Case {
        Case { name, needs: &[], play: When::Traced(play), from_packets_alone: false }
    }

    /// A case with programs of the host.
    pub const fn with(
        needs: &'static [&'static str],
        name: &'static str,
        play: fn(&mut Place) -> Vec<Check>,
    ) -> Case {
        Case { name, needs, play: When::Traced(play), from_packets_alone: false }
    }

    /// A case that is under way when the program starts.
    pub const fn across_the_start(name: &'static str, play: fn(&mut Place) -> Play) -> Case {
        Case { name, needs: &[], play: When::Across(play), from_packets_alone: false }
    }

    /// The case, as one that is judged by what comes from packets alone. No shielded process hides
    /// those, so nothing excuses a deviation.
    pub const fn judged_by_packets_alone(self) -> Case {
        Case { from_packets_alone: true, ..self }
    }

    fn lacks(&self) -> Option<&'static str> {
        self.needs.iter().copied().find(|program| environment::program(program).is_none())
    }
}

/// A case whose part before the start has been played.
struct Begun {
    case: Case,
    place: Place,
    play: Result<Play, String>,
}

struct Played {
    case: Case,
    netns: u32,
    /// Kept: a namespace that is gone gives its number to the next one.
    _place: Place,
    checks: Result<Vec<Check>, String>,
}

struct Outcome {
    played: Vec<Played>,
    run: Run,
    /// What the program reports as hidden from it by this host's kernel.
    hidden: Hidden,
}

fn guarded<T>(play: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(play))
        .map_err(|panic| format!("could not be played: {}", said(panic.as_ref())))
}

fn begin(case: &Case) -> Begun {
    let mut place = Place::new();
    let play: Result<Play, String> = match case.play {
        When::Traced(play) => Ok(Box::new(play)),
        When::Across(play) => guarded(|| play(&mut place)),
    };
    Begun { case: *case, place, play }
}

impl Begun {
    fn end(mut self) -> Played {
        let netns = self.place.netns();
        let checks = self.play.and_then(|play| guarded(|| play(&mut self.place)));
        self.place.end();
        Played { case: self.case, netns, _place: self.place, checks }
    }
}

/// Plays the cases one after the other. What happened before the program is asked to stop must be
/// in its output.
fn play_all(cases: &[Case]) -> Result<Outcome, String> {
    let begun: Vec<Begun> = cases.iter().map(begin).collect();
    let tracing = Tracing::start(&[])?;
    let played = begun.into_iter().map(Begun::end).collect();
    let run = tracing.stop();
    let hidden = Hidden::among(run.lines.iter().map(|output| &output.line), &shield::tasks());
    Ok(Outcome { played, run, hidden })
}

fn judge(outcome: &Outcome, name: &str) -> Result<(), String> {
    let played = outcome.played.iter().find(|p| p.case.name == name);
    let played = played.ok_or("the case was not played")?;
    let checks = played.checks.as_ref().map_err(Clone::clone)?;
    let seen = Seen::of(played.netns, outcome.run.lines.iter().map(|output| &output.line));
    let mut deviations = checks.iter().filter_map(|check| check(&seen).err());
    let is_certain = played.case.from_packets_alone;
    let unexcused = deviations.find(|deviation| is_certain || !outcome.hidden.excuses(deviation));
    unexcused.map_or(Ok(()), Err)
}

/// Runs the cases of `table`, and `others`, as the test program `name`, which is also the name that
/// the connections of this process are expected under.
pub fn main(name: &'static str, table: &[Case], others: Vec<Trial>) -> ExitCode {
    let arguments = Arguments::from_args();
    if let (false, Some(why)) = (arguments.list, environment::missing()) {
        environment::skip(name, &why);
        return ExitCode::SUCCESS;
    }
    if let Err(error) = std::fs::write("/proc/self/comm", name) {
        eprintln!("{name}: cannot name this process: {error}");
        return ExitCode::FAILURE;
    }
    let mut trials = trials(&arguments, table);
    trials.extend(others);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials(arguments: &Arguments, table: &[Case]) -> Vec<Trial> {
    let named = |case: &Case| match &arguments.filter {
        Some(filter) if arguments.exact => case.name == filter,
        Some(filter) => case.name.contains(filter),
        None => true,
    };
    let playable: Arc<Vec<Case>> =
        Arc::new(table.iter().filter(|c| named(c) && c.lacks().is_none()).copied().collect());
    let once: Arc<OnceLock<Result<Outcome, String>>> = Arc::default();
    let row = |case: &Case| {
        let (once, playable, case) = (Arc::clone(&once), Arc::clone(&playable), *case);
        Trial::test(case.name, move || {
            if let Some(program) = case.lacks() {
                environment::skip(case.name, &format!("needs {program}"));
                return Ok(());
            }
            let outcome = once.get_or_init(|| play_all(&playable)).as_ref();
            let outcome = outcome.map_err(|why| Failed::from(why.as_str()))?;
            judge(outcome, case.name).map_err(Failed::from)
        })
    };
    table.iter().map(row).collect()
}
