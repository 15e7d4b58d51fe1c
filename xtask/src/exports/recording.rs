//! The recording that is exported: a new one, or one that is given.

use std::{
    fs::{self, OpenOptions},
    path::Path,
};

use anyhow::{Context as _, Result};

use super::{place::Place, write};
use crate::{
    project::own_program,
    run,
    shell::{capture, say},
};

/// Lets the half that has root rights make one.
pub fn make(place: &Place, program: &Path) -> Result<String> {
    say("exports: recording real traffic, which takes a minute for the sake of TIME_WAIT");
    let file = place.recording();
    // Made now, it stays this user's; root then only writes into it.
    let opened = OpenOptions::new().create(true).append(true).open(&file);
    opened.with_context(|| format!("opening {}", file.display()))?;
    let own = own_program()?;
    let mut command = run::as_root(place.project, &own)?;
    command.arg("exports").arg("--record-to").arg(&file).arg("--program").arg(program);
    let said = capture(&mut command)?;
    let word = said.lines().find_map(|line| line.strip_prefix("recorded: "));
    let word =
        word.with_context(|| format!("the recorder does not say what it recorded: {said}"))?;
    // Behind it comes where the file was.
    let word = word.split_once(", in ").map_or(word, |(word, _)| word);
    write(&place.recorders_word(), word)?;
    Ok(word.to_owned())
}

/// A copy, so that its exports lie beside it.
pub fn take(place: &Place, file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let copy = place.recording();
    // It may be the copy itself: so all of it is read first.
    fs::write(&copy, &bytes).with_context(|| format!("writing {}", copy.display()))?;
    write(&place.recorders_word(), "")?;
    Ok(format!("{} bytes, made before", bytes.len()))
}
