//! Where everything of this command is: below `target/exports`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::project::Project;

pub struct Place<'a> {
    pub project: &'a Project,
    dir: PathBuf,
}

impl<'a> Place<'a> {
    pub fn new(project: &'a Project) -> Result<Self> {
        let dir = project.target.join("exports");
        fs::create_dir_all(&dir).with_context(|| format!("creating {}", dir.display()))?;
        Ok(Self { project, dir })
    }

    /// A file or directory of that name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The recording that is exported.
    pub fn recording(&self) -> PathBuf {
        self.file("recording.trace")
    }

    /// What the recorder said that it recorded; not there for a recording that was made elsewhere.
    pub fn recorders_word(&self) -> PathBuf {
        self.file("recorded.txt")
    }

    /// The export in `form`.
    pub fn export(&self, form: &str) -> PathBuf {
        self.file(&format!("recording.{form}"))
    }

    /// npm's packages, and the scripts that use them: they find what lies beside them.
    pub fn npm(&self) -> PathBuf {
        self.file("npm")
    }

    /// Python's packages.
    pub fn python(&self) -> PathBuf {
        self.file("py")
    }
}
