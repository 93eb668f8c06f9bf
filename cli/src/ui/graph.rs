//! A graph of members as DOT and as Mermaid. Pure.
//!
//! What members are called may be anything. Each name is quoted as the format has it,
//! and is an identifier in neither: nothing in a name ends its quotes, opens a tag, or
//! means something to whoever draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::text;
use crate::member::MemberPath;
use crate::report::graph::GraphReport;

/// What is drawn: the same for every format.
struct Drawing<'a> {
    /// The composites, with what is in each.
    root: Composite<'a>,
    /// From who depends to what it depends on, each with the outputs.
    edges: BTreeMap<(&'a MemberPath, &'a MemberPath), Edge<'a>>,
    /// Each node's number.
    numbers: BTreeMap<&'a MemberPath, usize>,
}

#[derive(Default)]
struct Composite<'a> {
    composites: BTreeMap<&'a str, Self>,
    nodes: Vec<Node<'a>>,
}

struct Node<'a> {
    path: &'a MemberPath,
    /// Absent where nobody knows yet what is there.
    kind: Option<&'a str>,
}

#[derive(Default)]
struct Edge<'a> {
    outputs: BTreeSet<&'a str>,
    is_in_circle: bool,
}

impl<'a> Drawing<'a> {
    fn of(graph: &'a GraphReport) -> Self {
        let members = graph.members.iter().map(|member| Node {
            path: &member.path,
            kind: Some(&member.r#type),
        });
        let unknown = graph.unknown_members.iter().map(|unknown| Node {
            path: &unknown.path,
            kind: None,
        });
        let mut drawing = Self {
            root: Composite::default(),
            edges: BTreeMap::new(),
            numbers: BTreeMap::new(),
        };
        for node in members.chain(unknown) {
            let number = drawing.numbers.len();
            drawing.numbers.entry(node.path).or_insert(number);
            let names = node.path.names();
            let above = &names[..names.len().saturating_sub(1)];
            let place = above.iter().fold(&mut drawing.root, |place, name| {
                place.composites.entry(name).or_default()
            });
            place.nodes.push(node);
        }
        let of_members = graph.members.iter().flat_map(|member| {
            let outputs = member.depends_on.iter();
            outputs.map(|it| (&member.path, &it.path, it.output.as_deref()))
        });
        let of_unknown = graph.unknown_members.iter().flat_map(|unknown| {
            let outputs = unknown.waits_for.iter();
            outputs.map(|it| (&unknown.path, &it.path, Some(it.output.as_str())))
        });
        for (from, to, output) in of_members.chain(of_unknown) {
            // What is recorded may name what is recorded no more.
            if drawing.numbers.contains_key(to) {
                let edge = drawing.edges.entry((from, to)).or_default();
                edge.outputs.extend(output);
            }
        }
        for circle in &graph.circles {
            let next = circle.iter().cycle().skip(1);
            for edge in circle.iter().zip(next) {
                if let Some(edge) = drawing.edges.get_mut(&edge) {
                    edge.is_in_circle = true;
                }
            }
        }
        drawing
    }
}

impl Node<'_> {
    /// The last name, and the type below it.
    fn label(&self) -> (String, String) {
        let name = match self.path.names() {
            [.., last] => MemberPath(vec![last.clone()]).to_string(),
            [] => self.path.to_string(),
        };
        match self.kind {
            Some(kind) => (name, kind.to_owned()),
            None => (format!("{name}.*"), "members known after apply".to_owned()),
        }
    }
}

impl Edge<'_> {
    fn label(&self) -> String {
        let outputs: Vec<&str> = self.outputs.iter().copied().collect();
        outputs.join(", ")
    }
}

/// For Graphviz.
pub(crate) fn dot(graph: &GraphReport) -> String {
    let drawing = Drawing::of(graph);
    let mut text =
        "digraph deployment {\n  rankdir = \"LR\";\n  node [shape = \"box\"];\n".to_owned();
    dot_composite(&mut text, &drawing.root, &mut Vec::new());
    for ((from, to), edge) in &drawing.edges {
        let colour = if edge.is_in_circle {
            ", color = \"red\""
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "  {} -> {} [label = {}{colour}];",
            dot_text(&from.to_string()),
            dot_text(&to.to_string()),
            dot_text(&edge.label()),
        );
    }
    text.push_str("}\n");
    text
}

fn dot_composite<'a>(text: &mut String, composite: &Composite<'a>, above: &mut Vec<&'a str>) {
    let indent = "  ".repeat(above.len() + 1);
    for node in &composite.nodes {
        let (name, kind) = node.label();
        let style = if node.kind.is_none() {
            ", style = \"dashed\""
        } else {
            ""
        };
        // `\n` is a line end here, and every backslash of a name is written twice.
        let label = format!("\"{}\\n{}\"", dot_escaped(&name), dot_escaped(&kind));
        let _ = writeln!(
            text,
            "{indent}{} [label = {label}{style}];",
            dot_text(&node.path.to_string())
        );
    }
    for (name, inner) in &composite.composites {
        above.push(name);
        let names = above.iter().map(|&name| name.to_owned()).collect();
        let path = MemberPath(names).to_string();
        let _ = writeln!(
            text,
            "{indent}subgraph {} {{",
            dot_text(&format!("cluster {path}"))
        );
        let label = MemberPath(vec![(*name).to_owned()]).to_string();
        let _ = writeln!(text, "{indent}  label = {};", dot_text(&label));
        dot_composite(text, inner, above);
        let _ = writeln!(text, "{indent}}}");
        above.pop();
    }
}

/// A text in quotes. In labels a backslash begins an escape, and in names it stands for
/// itself: written twice, it is only ever a backslash.
fn dot_text(text: &str) -> String {
    format!("\"{}\"", dot_escaped(text))
}

fn dot_escaped(text: &str) -> String {
    text::line(text).replace('\\', "\\\\").replace('"', "\\\"")
}

/// For Mermaid, as GitHub and GitLab draw it.
pub(crate) fn mermaid(graph: &GraphReport) -> String {
    let drawing = Drawing::of(graph);
    let mut text = "flowchart LR\n".to_owned();
    let mut clusters = 0;
    mermaid_composite(&mut text, &drawing.root, &drawing.numbers, 1, &mut clusters);
    let mut red = Vec::new();
    for (index, ((from, to), edge)) in drawing.edges.iter().enumerate() {
        let (from, to) = (drawing.numbers[from], drawing.numbers[to]);
        let label = edge.label();
        let arrow = if label.is_empty() {
            "-->".to_owned()
        } else {
            format!("-->|{}|", mermaid_text(&label))
        };
        let _ = writeln!(text, "  n{from} {arrow} n{to}");
        if edge.is_in_circle {
            red.push(index.to_string());
        }
    }
    if !red.is_empty() {
        let _ = writeln!(text, "  linkStyle {} stroke:red", red.join(","));
    }
    text
}

fn mermaid_composite(
    text: &mut String,
    composite: &Composite<'_>,
    numbers: &BTreeMap<&MemberPath, usize>,
    depth: usize,
    clusters: &mut usize,
) {
    let indent = "  ".repeat(depth);
    for node in &composite.nodes {
        let (name, kind) = node.label();
        let number = numbers[node.path];
        let label = format!(
            "\"{}<br/>{}\"",
            mermaid_escaped(&name),
            mermaid_escaped(&kind)
        );
        let shape = if node.kind.is_some() {
            format!("[{label}]")
        } else {
            format!("({label})")
        };
        let _ = writeln!(text, "{indent}n{number}{shape}");
    }
    for (name, inner) in &composite.composites {
        let label = MemberPath(vec![(*name).to_owned()]).to_string();
        let _ = writeln!(
            text,
            "{indent}subgraph c{clusters}[{}]",
            mermaid_text(&label)
        );
        *clusters += 1;
        mermaid_composite(text, inner, numbers, depth + 1, clusters);
        let _ = writeln!(text, "{indent}end");
    }
}

fn mermaid_text(text: &str) -> String {
    format!("\"{}\"", mermaid_escaped(text))
}

/// Whatever is not plain is written as its number: Mermaid takes quotes for the end,
/// backticks for Markdown and angles for HTML.
fn mermaid_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | ',' | '*' | '\'') {
            escaped.push(c);
        } else {
            let _ = write!(escaped, "#{};", u32::from(c));
        }
    }
    escaped
}
