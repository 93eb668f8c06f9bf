//! Which outputs the inputs of each member were made from.
//!
//! An evaluation of its own, in which each string of an output carries a context
//! that names the output. Values never come from it: a context changes the
//! derivations that strings go into. Numbers and what becomes an attribute's name
//! carry none; a derivation hides what went into it.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;
use serde::Deserialize;

use super::{EvalError, Evaluator, Known, nix};
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
        let mut unmarked = BTreeSet::new();
        loop {
            match self.edges_without(done, &outputs, &unmarked).await {
                Err(error) if unmarked.len() < EXCEPTIONS => match number_in(&error.to_string()) {
                    // Nix takes no context there: in an attribute's name, say.
                    Some(index) if unmarked.insert(index) => {}
                    _ => return Err(error),
                },
                result => return result,
            }
        }
    }

    async fn edges_without(
        &self,
        done: &BTreeMap<MemberPath, Object>,
        outputs: &[OutputRef],
        unmarked: &BTreeSet<usize>,
    ) -> Result<Edges, EvalError> {
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
            writes: false,
        };
        let (found, _): (Vec<Origins>, _) = self.run(&request).await?;
        let edges = found.into_iter().map(|origins| {
            let from = origins
                .context
                .iter()
                .filter_map(|path| outputs.get(number_in(path)?))
                .filter(|output| output.path != origins.path)
                .cloned()
                .collect();
            (origins.path, from)
        });
        Ok(edges.collect())
    }
}

/// The number of the output that a text names.
fn number_in(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once(EDGE)?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}
