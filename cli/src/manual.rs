//! Manual pages, made from what `--help` says.

use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::args::Arguments;
use crate::failure::Failure;

/// Writes a page for the command and one for each subcommand.
pub(crate) fn write(folder: &Path) -> Result<(), Failure> {
    let failed = |error| {
        let what = format!("cannot write manual pages into {}", folder.display());
        Failure::Io(what, error)
    };
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)
}

/// The page of the command, or of the subcommand that these names lead to.
pub(crate) fn page(names: &[String]) -> Result<String, Failure> {
    let mut here = Arguments::command().disable_help_subcommand(true);
    here.build();
    for name in names {
        let Some(found) = here.find_subcommand(name) else {
            let there = here.get_subcommands().map(Command::get_name);
            let there: Vec<&str> = there.collect();
            return Err(Failure::Usage(format!(
                "there is no command '{name}' here; there are {}",
                there.join(", ")
            )));
        };
        here = found.clone();
    }
    let mut page = Vec::new();
    Man::new(here)
        .render(&mut page)
        .map_err(|error| Failure::Io("cannot write the page".to_owned(), error))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man1");
        super::write(&pages).unwrap();
        for name in [
            "nixops4-resources.1",
            "nixops4-resources-apply.1",
            "nixops4-resources-state-mv.1",
            "nixops4-resources-secret-show.1",
        ] {
            assert!(pages.join(name).is_file(), "{name}");
        }
        let page = super::page(&["plan".to_owned()]).unwrap();
        assert!(page.contains("detailed\\-exitcode"), "{page}");
        let error = super::page(&["nonsense".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("there are plan"), "{error}");
    }
}
