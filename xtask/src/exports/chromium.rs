//! A Chromium: the one on PATH, else Debian's, unpacked, with a font.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{place::Place, write};
use crate::{
    project::is_root,
    setup::apt::Apt,
    shell::{capture, run, say},
};

/// What it is called on one system and another.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
const PACKAGE: &str = "chromium";
/// A page without a font has no text.
const FONT: &str = "fonts-dejavu-core";

/// The program to start.
pub fn ensure(place: &Place) -> Result<PathBuf> {
    if let Some(file) = NAMES.iter().find_map(|name| place.project.which(name)) {
        return Ok(file);
    }
    let root = place.file("chromium");
    let script = place.file("chromium.sh");
    let font_list = place.file("fonts.conf");
    write(&font_list, &fonts(&root, &place.file("fonts")))?;
    if !script.exists() {
        let apt = Apt::find(place.project)?.context("no apt here; please install it by hand")?;
        say("exports: Chromium: unpacking Debian's into target/exports/chromium");
        apt.unpack_with_dependencies(&[PACKAGE, FONT], &root)?;
        write(&script, &script_text(&root, &font_list)?)?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&script, mode).context("making Chromium's script a program")?;
    }
    let Err(error) = capture(Command::new(&script).arg("--version")) else { return Ok(script) };
    fs::remove_file(&script).with_context(|| format!("removing {}", script.display()))?;
    install().with_context(|| format!("Chromium does not run unpacked: {error:#}"))?;
    place.project.which(PACKAGE).context("Chromium was installed and is not on PATH")
}

/// The system's fonts and the unpacked one, which stands for the families that a page asks for by kind. Of its
/// faces the one for formulas is left out: fontconfig takes it for the first of all.
fn fonts(root: &Path, cache: &Path) -> String {
    let alias = |(kind, font)| {
        format!(
            "<alias binding=\"same\"><family>{kind}</family><prefer><family>{font}</family></prefer></alias>\n"
        )
    };
    let kinds = [
        ("system-ui", "DejaVu Sans"),
        ("sans-serif", "DejaVu Sans"),
        ("monospace", "DejaVu Sans Mono"),
    ];
    format!(
        "<?xml version=\"1.0\"?>\n\
         <!DOCTYPE fontconfig SYSTEM \"fonts.dtd\">\n\
         <fontconfig>\n\
         <include ignore_missing=\"yes\">/etc/fonts/fonts.conf</include>\n\
         <dir>{}/usr/share/fonts</dir>\n\
         <cachedir>{}</cachedir>\n\
         <selectfont><rejectfont><glob>*/DejaVuMath*</glob></rejectfont></selectfont>\n\
         {}\
         </fontconfig>\n",
        root.display(),
        cache.display(),
        kinds.map(alias).concat(),
    )
}

fn script_text(root: &Path, fonts: &Path) -> Result<String> {
    let base = root.join("usr/lib");
    let mut libraries = Vec::new();
    // Debian's directory for the architecture, and those below it: some libraries live one level down.
    for dir in directories(&base)?.into_iter().filter(|dir| is_of_architecture(dir)) {
        let below = directories(&dir)?;
        libraries.push(dir);
        libraries.extend(below);
    }
    let libraries: Vec<String> = libraries.iter().map(|dir| dir.display().to_string()).collect();
    Ok(format!(
        "#!/bin/sh\n\
         # Starts Chromium as unpacked from Debian's package; written by cargo xtask exports.\n\
         export LD_LIBRARY_PATH='{}' FONTCONFIG_FILE='{}'\n\
         exec '{}/chromium/chromium' \"$@\"\n",
        libraries.join(":"),
        fonts.display(),
        base.display(),
    ))
}

fn is_of_architecture(dir: &Path) -> bool {
    dir.file_name().is_some_and(|name| name.to_string_lossy().ends_with("-linux-gnu"))
}

fn directories(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

/// The last resort: it changes the system.
fn install() -> Result<()> {
    if !is_root() {
        bail!("please install it by hand: apt-get install {PACKAGE}");
    }
    say(format_args!("installing system-wide: apt-get install {PACKAGE}"));
    capture(Command::new("apt-get").arg("update"))?;
    run(Command::new("apt-get")
        .args(["install", "--assume-yes", "--no-install-recommends", PACKAGE])
        .env("DEBIAN_FRONTEND", "noninteractive"))
}
