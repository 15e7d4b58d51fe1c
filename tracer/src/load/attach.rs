//! Every hook attached that can be, and why the others are not.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::maps::{MapData, ProgramArray};
use aya::programs::Program as Loadable;
use aya::{Btf, Ebpf};

use super::LoadError;
use super::health::{Health, ProgramHealth};
use super::offsets::Offsets;
use super::programs::{self, AttachError, Group, Groups, PROGRAMS, Program};
use super::tracefs;

/// What decides which programs are attached.
pub(super) struct Hooks<'a> {
    pub wanted: Groups,
    /// Where programs are put that others tail-call.
    pub follow: &'a mut ProgramArray<MapData>,
    /// The cgroup v2 root, or why there is none.
    pub cgroup: Result<&'a File, String>,
    /// Where the members are that programs read, and which this kernel lacks.
    pub offsets: &'a Offsets,
    /// Whether the handlers of the timers are known.
    pub timers: Result<(), String>,
}

/// A program of the object file with what it is.
type Job<'a> = (&'static Program, &'a mut Loadable);

impl Hooks<'_> {
    /// Loads and attaches; fails only where states cannot be traced.
    pub fn attach_all(&mut self, ebpf: &mut Ebpf, btf: &Btf) -> Result<Health, LoadError> {
        let mut jobs: HashMap<&str, &mut Loadable> = ebpf.programs_mut().collect();
        let mut wanted: Vec<Job<'_>> = PROGRAMS
            .iter()
            .filter(|program| self.left_out(program).is_none())
            .filter_map(|program| Some((program, jobs.remove(program.name)?)))
            .collect();
        let refused = load_all(&mut wanted, btf);
        let mut health = Health::default();
        for program in &PROGRAMS {
            let refused = self.left_out(program).or_else(|| {
                let failed = refused.get(program.name).cloned();
                failed.or_else(|| self.attach(program, &mut wanted))
            });
            if program.group == Group::State
                && let Some(why) = refused
            {
                return Err(LoadError::State(why));
            }
            let (name, group) = (program.name, program.group);
            health.programs.push(ProgramHealth { name, group, refused });
        }
        Ok(health)
    }

    /// Why a program need not be tried.
    fn left_out(&self, program: &Program) -> Option<String> {
        if !self.wanted.contains(program.group) {
            return Some("not asked for".to_owned());
        }
        if let Some(lack) = self.offsets.lack(program.group) {
            return Some(lack);
        }
        self.timers.as_ref().err().filter(|_| program.group == Group::Timers).cloned()
    }

    /// Attaches a loaded program; says why not.
    fn attach(&mut self, program: &Program, loaded: &mut [Job<'_>]) -> Option<String> {
        let found = loaded.iter_mut().find(|(known, _)| known.name == program.name);
        let Some((_, found)) = found else { return Some(AttachError::Missing.to_string()) };
        let cgroup = self.cgroup.as_ref().map_err(String::as_str).copied();
        let attached = if program.needs_tracefs() {
            tracefs::with(|| programs::attach(found, program, cgroup, self.follow))
        } else {
            programs::attach(found, program, cgroup, self.follow)
        };
        attached.err().map(|error| told(program, &error))
    }
}

/// Loads the programs on all processors: the verifier takes most of the time from start to the first event. Says why
/// those were refused that were.
fn load_all(jobs: &mut [Job<'_>], btf: &Btf) -> HashMap<&'static str, String> {
    let refused = Mutex::new(HashMap::new());
    let queue = Mutex::new(jobs.iter_mut());
    let work = || {
        loop {
            // Taken in a statement of its own: the next worker shall not wait for this one's verdict.
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((program, found)) = job else { return };
            if let Err(error) = programs::load(found, program, btf) {
                let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.insert(program.name, told(program, &error));
            }
        }
    };
    thread::scope(|scope| {
        let others = thread::available_parallelism().map_or(1, usize::from).min(4) - 1;
        for _ in 0..others {
            scope.spawn(work);
        }
        work();
    });
    refused.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn told(program: &Program, error: &AttachError) -> String {
    // The verifier's whole log, for those who mend the program.
    log::debug!("{} is not attached: {error:?}", program.name);
    error.to_string()
}
