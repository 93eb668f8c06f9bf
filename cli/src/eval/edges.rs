//! Which outputs the inputs of each member were made from.
//!
//! An evaluation of its own, in which each string of an output carries a context
//! that names the output. Values never come from it: a context changes the
//! derivations that strings go into. Numbers and what becomes an attribute's name
//! carry none. What went into a derivation stands in its file in the store, for
//! which those that differ from the real ones are written there, once more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use nixops4_protocol::Object;
use serde::Deserialize;

use super::{EvalError, Evaluation, Evaluator, Known, nix};
use crate::member::{MemberPath, OutputRef};

/// Begins the name of each store path that stands for an output.
const EDGE: &str = "nixops4-resources-edge-";
/// How many outputs are left out because Nix refuses their context somewhere.
const EXCEPTIONS: usize = 16;

/// What the driver found of one member.
#[derive(Debug, Deserialize)]
struct Origins {
    path: MemberPath,
    /// Store paths.
    context: Vec<String>,
}

/// What members were made from, by member.
pub(crate) type Edges = BTreeMap<MemberPath, BTreeSet<OutputRef>>;

impl Evaluator {
    /// Finds the edges, given the outputs of everything that is done. A member
    /// that is missing from the answer could not be evaluated.
    pub(crate) async fn edges(
        &self,
        done: &BTreeMap<MemberPath, Object>,
        evaluation: &Evaluation,
    ) -> Result<Edges, EvalError> {
        let outputs: Vec<OutputRef> = done
            .iter()
            .flat_map(|(path, outputs)| {
                outputs.keys().map(|output| OutputRef {
                    path: path.clone(),
                    output: output.clone(),
                })
            })
            .collect();
        let members = evaluation.members.values();
        let paths = members.flat_map(|member| &member.input_paths);
        // Into what is the same with marks and without them, nothing went.
        let real: BTreeSet<&str> = paths
            .map(|path| path.split('!').next().unwrap_or(path))
            .collect();
        let is_marked = |path: &String| is_derivation(path) && !real.contains(path.as_str());

        let mut unmarked = BTreeSet::new();
        let mut origins = self.origins(done, &outputs, &mut unmarked, false).await?;
        let has_marked = origins.iter().any(|it| it.context.iter().any(is_marked));
        if has_marked {
            origins = self.origins(done, &outputs, &mut unmarked, true).await?;
        }
        let mut derivations = Derivations::default();
        let edges = origins.into_iter().map(|origins| {
            let mut numbers = BTreeSet::new();
            for path in &origins.context {
                numbers.extend(number_in(path));
                if is_marked(path) {
                    numbers.extend(derivations.numbers_below(path));
                }
            }
            let from = numbers
                .into_iter()
                .filter_map(|number| outputs.get(number))
                .filter(|output| output.path != origins.path)
                .cloned()
                .collect();
            (origins.path, from)
        });
        Ok(edges.collect())
    }

    /// What strings say of themselves, without the marks that Nix refuses.
    async fn origins(
        &self,
        done: &BTreeMap<MemberPath, Object>,
        outputs: &[OutputRef],
        unmarked: &mut BTreeSet<usize>,
        writes: bool,
    ) -> Result<Vec<Origins>, EvalError> {
        loop {
            match self.origins_without(done, outputs, unmarked, writes).await {
                Err(error) if unmarked.len() < EXCEPTIONS => match number_in(&error.to_string()) {
                    // Nix takes no context there: in an attribute's name, say.
                    Some(index) if unmarked.insert(index) => {}
                    _ => return Err(error),
                },
                result => return result,
            }
        }
    }

    async fn origins_without(
        &self,
        done: &BTreeMap<MemberPath, Object>,
        outputs: &[OutputRef],
        unmarked: &BTreeSet<usize>,
        writes: bool,
    ) -> Result<Vec<Origins>, EvalError> {
        let mut known = Known::default();
        for (path, outputs) in done {
            known.add(path, outputs.clone(), false);
        }
        for (index, output) in outputs.iter().enumerate() {
            if !unmarked.contains(&index) {
                let here = known.at(&output.path);
                here.marks.insert(output.output.clone(), index);
            }
        }
        let request = nix::Request {
            root: self.root()?,
            mark: nix::MARK,
            known: &known,
            catch: true,
            look: "edges",
            places: &[],
            edge: EDGE,
            writes,
        };
        let (found, _) = self.run(&request).await?;
        Ok(found)
    }
}

/// The files of derivations, as far as they were read.
#[derive(Default)]
struct Derivations {
    /// What stands in each: other derivations, and the numbers of outputs.
    read: BTreeMap<String, (Vec<String>, Vec<usize>)>,
}

impl Derivations {
    /// The outputs that went into a derivation, or into what it is made from.
    fn numbers_below(&mut self, path: &str) -> BTreeSet<usize> {
        let mut numbers = BTreeSet::new();
        let mut seen = BTreeSet::from([path.to_owned()]);
        let mut pending = vec![path.to_owned()];
        while let Some(path) = pending.pop() {
            let (derivations, found) = self.read.entry(path).or_insert_with_key(|path| read(path));
            numbers.extend(found.iter().copied());
            let new = derivations
                .iter()
                .filter(|path| seen.insert((*path).clone()));
            pending.extend(new.cloned());
        }
        numbers
    }
}

fn is_derivation(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == "drv")
}

/// The quoted store paths in the file of a derivation that matter here. One that
/// can't be read tells nothing, as with a store that is somewhere else.
fn read(path: &str) -> (Vec<String>, Vec<usize>) {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let quoted: BTreeSet<&str> = text.split('"').filter(|it| it.starts_with('/')).collect();
    let derivations = quoted.iter().filter(|it| is_derivation(it));
    let numbers = quoted.iter().filter_map(|path| number_in(path));
    (
        derivations.map(|path| (*path).to_owned()).collect(),
        numbers.collect(),
    )
}

/// The number of the output that a text names.
fn number_in(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once(EDGE)?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}
