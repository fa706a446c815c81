//! Dividing a match among the parts of an expression, as PostgreSQL's `cdissect` does: each part takes as much or as little as
//! it prefers, the earlier ones first, so that the rest still matches.
//!
//! Parts in which nothing is kept and whose preferences agree are one lump: only their common span matters.

use super::Spans;
use super::nfa::{Automaton, Compiler};
use super::parse::{Node, Preference};
use orrery_base::Result;

/// What a part of an expression has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// It has a preference, for the longer.
    pub longer: bool,
    /// It has a preference, for the shorter.
    pub shorter: bool,
    /// Its parts' preferences differ.
    mixed: bool,
    /// Something in it is kept.
    keeps: bool,
    /// It has back references.
    pub back_references: bool,
}

impl Flags {
    fn prefers(self) -> bool {
        self.longer || self.shorter
    }

    /// Of something in front of something: the first preference counts.
    fn then(self, other: Flags) -> Flags {
        let first = if self.prefers() { self } else { other };
        let differ = (self.longer || other.longer) && (self.shorter || other.shorter);
        Flags {
            longer: first.longer,
            shorter: first.shorter,
            mixed: self.mixed || other.mixed || differ,
            keeps: self.keeps || other.keeps,
            back_references: self.back_references || other.back_references,
        }
    }

    fn is_messy(self) -> bool {
        self.mixed || self.keeps || self.back_references
    }
}

fn of_preference(preference: Option<Preference>) -> Flags {
    Flags {
        longer: preference == Some(Preference::Longer),
        shorter: preference == Some(Preference::Shorter),
        ..Flags::default()
    }
}

/// What an expression has in it.
pub fn flags(node: &Node) -> Flags {
    match node {
        Node::Empty | Node::One(_) | Node::Place(_) | Node::Look { .. } => Flags::default(),
        Node::Back(_) => Flags { back_references: true, ..Flags::default() },
        Node::Group(number, node) => {
            let inner = flags(node);
            Flags { keeps: inner.keeps || number.is_some(), ..inner }
        }
        Node::Alternatives(nodes) => {
            let all = nodes.iter().map(flags).fold(Flags::default(), |all, one| Flags {
                // The alternation itself prefers the longer.
                mixed: all.mixed || one.mixed || one.shorter,
                keeps: all.keeps || one.keeps,
                back_references: all.back_references || one.back_references,
                ..all
            });
            Flags { longer: true, shorter: false, ..all }
        }
        Node::Sequence(nodes) => nodes.iter().map(flags).fold(Flags::default(), Flags::then),
        Node::Repeat { node, prefers, .. } => of_preference(*prefers).then(flags(node)),
    }
}

/// A part, with the automaton of its spans.
#[derive(Debug)]
pub struct Part {
    automaton: Automaton,
    prefers_shorter: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Only its span matters.
    Lump,
    Keep(usize, Box<Part>),
    /// The parts, and the automata of what follows each but the last.
    Sequence(Vec<Part>, Vec<Automaton>),
    Alternatives(Vec<Part>),
    Back {
        number: usize,
        least: u32,
        most: Option<u32>,
    },
    /// With the groups inside, of which only the last repetition's count.
    Repeat {
        part: Box<Part>,
        groups: Vec<usize>,
        least: u32,
        most: Option<u32>,
    },
}

impl Part {
    /// Of an expression.
    pub fn of(node: &Node, compiler: &mut Compiler<'_>) -> Result<Part> {
        let own = flags(node);
        let automaton = compiler.automaton(node)?;
        let kind = match node {
            _ if !own.keeps && !own.back_references => Kind::Lump,
            Node::Group(None, node) => return Part::of(node, compiler),
            Node::Group(Some(number), node) => Kind::Keep(*number, Box::new(Part::of(node, compiler)?)),
            Node::Alternatives(nodes) => {
                let parts = nodes.iter().map(|node| Part::of(node, compiler)).collect::<Result<_>>()?;
                Kind::Alternatives(parts)
            }
            Node::Sequence(nodes) => sequence(nodes, compiler)?,
            Node::Back(number) => Kind::Back { number: *number, least: 1, most: Some(1) },
            Node::Repeat { .. } => return repeat(node, compiler),
            Node::Empty | Node::One(_) | Node::Place(_) | Node::Look { .. } => Kind::Lump,
        };
        Ok(Part { automaton, prefers_shorter: own.shorter, kind })
    }
}

/// The parts of a sequence: lumps, and between them what has to be divided.
fn sequence(nodes: &[Node], compiler: &mut Compiler<'_>) -> Result<Kind> {
    let mut parts: Vec<Part> = Vec::new();
    let mut tails: Vec<Automaton> = Vec::new();
    let mut lump: (usize, Flags) = (0, Flags::default());
    let end_lump = |from: usize, to: usize, flags: Flags, compiler: &mut Compiler<'_>| -> Result<Part> {
        let automaton = compiler.sequence(&nodes[from..to])?;
        Ok(Part { automaton, prefers_shorter: flags.shorter, kind: Kind::Lump })
    };
    for (index, node) in nodes.iter().enumerate() {
        let own = flags(node);
        let both = lump.1.then(own);
        if !both.is_messy() {
            lump.1 = both;
            continue;
        }
        if lump.0 < index {
            parts.push(end_lump(lump.0, index, lump.1, compiler)?);
            tails.push(compiler.sequence(&nodes[index..])?);
        }
        parts.push(Part::of(node, compiler)?);
        tails.push(compiler.sequence(&nodes[index + 1..])?);
        lump = (index + 1, Flags::default());
    }
    if lump.0 < nodes.len() {
        parts.push(end_lump(lump.0, nodes.len(), lump.1, compiler)?);
    } else {
        tails.pop();
    }
    Ok(Kind::Sequence(parts, tails))
}

fn groups_of(node: &Node, into: &mut Vec<usize>) {
    match node {
        Node::Group(number, inner) => {
            into.extend(number);
            groups_of(inner, into);
        }
        Node::Alternatives(nodes) | Node::Sequence(nodes) => nodes.iter().for_each(|it| groups_of(it, into)),
        Node::Repeat { node, .. } => groups_of(node, into),
        _ => {}
    }
}

fn repeat(whole: &Node, compiler: &mut Compiler<'_>) -> Result<Part> {
    let Node::Repeat { node, least, most, prefers } = whole else { return Part::of(whole, compiler) };
    let own = flags(whole);
    let inner = flags(node);
    let prefers_shorter = own.shorter;
    let automaton = compiler.automaton(whole)?;
    if let Node::Back(number) = **node {
        let kind = Kind::Back { number, least: *least, most: *most };
        return Ok(Part { automaton, prefers_shorter, kind });
    }
    let once = *least == 1 && *most == Some(1);
    if once
        && (prefers.is_none()
            || !inner.mixed && (!inner.prefers() || of_preference(*prefers).shorter == inner.shorter))
    {
        return Part::of(node, compiler);
    }
    if !inner.keeps && !inner.back_references {
        return Ok(Part { automaton, prefers_shorter, kind: Kind::Lump });
    }
    let kind = if *least > 0 && !inner.back_references {
        // What is kept comes from the last repetition: those before are a lump.
        let before = Node::Repeat {
            node: node.clone(),
            least: least - 1,
            most: most.map(|most| most - 1),
            prefers: *prefers,
        };
        let before = Part { automaton: compiler.automaton(&before)?, prefers_shorter, kind: Kind::Lump };
        let last = Part::of(node, compiler)?;
        Kind::Sequence(vec![before, last], vec![compiler.automaton(node)?])
    } else {
        let mut groups = Vec::new();
        groups_of(node, &mut groups);
        Kind::Repeat { part: Box::new(Part::of(node, compiler)?), groups, least: *least, most: *most }
    };
    Ok(Part { automaton, prefers_shorter, kind })
}

/// Divides a span among the parts of `part`; `false` where that cannot be, which only a back reference is a reason for.
pub fn divide(part: &Part, text: &[char], span: (usize, usize), spans: &mut Spans) -> bool {
    match &part.kind {
        Kind::Lump => true,
        Kind::Keep(number, inner) => {
            let done = divide(inner, text, span, spans);
            if done {
                spans[*number] = Some(span);
            }
            done
        }
        Kind::Alternatives(parts) => parts.iter().any(|part| {
            let before = spans.clone();
            let done = part.automaton.matches(text, span) && divide(part, text, span, spans);
            if !done {
                *spans = before;
            }
            done
        }),
        Kind::Sequence(parts, tails) => divide_sequence(parts, tails, text, span, spans),
        Kind::Back { number, least, most } => repeats(text, span, spans[*number], *least, *most),
        Kind::Repeat { part, groups, least, most } => {
            Iteration { part, groups, least: *least as usize, most: *most, text }.divide(span, spans)
        }
    }
}

fn divide_sequence(
    parts: &[Part],
    tails: &[Automaton],
    text: &[char],
    (begin, end): (usize, usize),
    spans: &mut Spans,
) -> bool {
    let Some((first, rest)) = parts.split_first() else { return begin == end };
    let Some((tail, tails)) = tails.split_first() else { return divide(first, text, (begin, end), spans) };
    let mut middles = first.automaton.ends(text, begin, end);
    if !first.prefers_shorter {
        middles.reverse();
    }
    for middle in middles {
        if !tail.matches(text, (middle, end)) {
            continue;
        }
        let before = spans.clone();
        if divide(first, text, (begin, middle), spans)
            && divide_sequence(rest, tails, text, (middle, end), spans)
        {
            return true;
        }
        *spans = before;
    }
    false
}

/// Whether a span is what a group matched, so and so many times.
fn repeats(
    text: &[char],
    (begin, end): (usize, usize),
    group: Option<(usize, usize)>,
    least: u32,
    most: Option<u32>,
) -> bool {
    let Some((from, to)) = group else { return false };
    let (length, piece) = (end - begin, &text[from..to]);
    if piece.is_empty() {
        return length == 0;
    }
    if length % piece.len() != 0 {
        return false;
    }
    let count = length / piece.len();
    count >= least as usize
        && most.is_none_or(|most| count <= most as usize)
        && text[begin..end].chunks(piece.len()).all(|chunk| chunk == piece)
}

/// A repeated part. How its spans are sought depends on what the part prefers, not the repetition (`citerdissect`,
/// `creviterdissect`).
struct Iteration<'a> {
    part: &'a Part,
    groups: &'a [usize],
    least: usize,
    most: Option<u32>,
    text: &'a [char],
}

impl Iteration<'_> {
    /// Divides a span among repetitions. An empty one counts only where it is needed. Where the whole span is
    /// empty, none comes first if the part prefers the shorter, else one.
    fn divide(&self, (begin, end): (usize, usize), spans: &mut Spans) -> bool {
        let may_be_none = self.least == 0 && begin == end;
        if may_be_none && self.part.prefers_shorter {
            return true;
        }
        let least = self.least.max(1);
        let most = self.most.map_or(end - begin, |most| (end - begin).min(most as usize)).max(least);
        self.next((begin, end), 1, (least, most), spans) || may_be_none
    }

    /// Repetition `number` and those behind it.
    fn next(
        &self,
        (begin, end): (usize, usize),
        number: usize,
        (least, most): (usize, usize),
        spans: &mut Spans,
    ) -> bool {
        let mut middles = self.part.automaton.ends(self.text, begin, end);
        if !self.part.prefers_shorter {
            middles.reverse();
        }
        for middle in middles {
            let is_last = middle == end;
            let is_needed = number < least && least - number >= end - middle;
            if !is_last && (number >= most || middle == begin && !is_needed) || is_last && number < least {
                continue;
            }
            let before = spans.clone();
            self.groups.iter().for_each(|group| spans[*group] = None);
            if divide(self.part, self.text, (begin, middle), spans)
                && (is_last || self.next((middle, end), number + 1, (least, most), spans))
            {
                return true;
            }
            *spans = before;
        }
        false
    }
}
