//! Automata: which spans of a text an expression, or a part of one, may have. Back references count as what their groups match:
//! a span that the automaton refuses is no match, one that it takes still has to be divided.

use super::invalid;
use super::parse::{Node, Parsed, Place, Set};
use orrery_base::Result;
use std::sync::Arc;

/// States an expression may have in all.
const STATE_COUNT_MAX: usize = 50_000;

#[derive(Debug)]
enum State {
    /// A character of a set, then on.
    One(Set, usize),
    /// On in two ways.
    Fork(usize, usize),
    Place(Place, usize),
    Look {
        ahead: bool,
        negated: bool,
        inner: Arc<Automaton>,
        next: usize,
    },
    Accept,
}

/// An automaton.
#[derive(Debug)]
pub struct Automaton {
    states: Vec<State>,
    start: usize,
}

/// Makes automata of the parts of one expression.
pub struct Compiler<'a> {
    groups: Vec<Option<&'a Node>>,
    state_count: usize,
    /// Whether what a back reference stands for is being added.
    is_repeating_group: bool,
}

impl<'a> Compiler<'a> {
    /// For an expression.
    pub fn new(parsed: &'a Parsed) -> Self {
        let mut groups = vec![None; parsed.group_count + 1];
        collect(&parsed.node, &mut groups);
        Compiler { groups, state_count: 0, is_repeating_group: false }
    }

    /// The automaton of a part. Errors: 2201B when it grows too large.
    pub fn automaton(&mut self, node: &Node) -> Result<Automaton> {
        self.sequence(std::slice::from_ref(node))
    }

    /// The automaton of parts one after the other.
    pub fn sequence(&mut self, nodes: &[Node]) -> Result<Automaton> {
        let mut states = vec![State::Accept];
        let mut next = 0;
        for node in nodes.iter().rev() {
            next = self.add(&mut states, node, next, 0)?;
        }
        Ok(Automaton { states, start: next })
    }

    fn push(&mut self, states: &mut Vec<State>, state: State) -> Result<usize> {
        self.state_count += 1;
        if self.state_count > STATE_COUNT_MAX {
            return Err(invalid("regular expression is too complex"));
        }
        states.push(state);
        Ok(states.len() - 1)
    }

    /// Adds what matches `node` and goes on to `next`; answers where it begins.
    fn add(&mut self, states: &mut Vec<State>, node: &Node, next: usize, depth: usize) -> Result<usize> {
        // Back references may stand for groups with back references in them.
        if depth > 1000 {
            return Err(invalid("regular expression is too complex"));
        }
        let depth = depth + 1;
        match node {
            Node::Empty => Ok(next),
            Node::One(set) => self.push(states, State::One(set.clone(), next)),
            // What a group's text has around it need not be around its repetition (`removeconstraints`).
            Node::Place(_) | Node::Look { .. } if self.is_repeating_group => Ok(next),
            Node::Place(place) => self.push(states, State::Place(*place, next)),
            Node::Look { ahead, negated, node } => {
                let inner = Arc::new(self.automaton(node)?);
                self.push(states, State::Look { ahead: *ahead, negated: *negated, inner, next })
            }
            Node::Back(number) => match self.groups.get(*number).copied().flatten() {
                Some(group) => {
                    let before = std::mem::replace(&mut self.is_repeating_group, true);
                    let begin = self.add(states, group, next, depth);
                    self.is_repeating_group = before;
                    begin
                }
                None => Err(invalid("invalid backreference number")),
            },
            Node::Group(_, node) => self.add(states, node, next, depth),
            Node::Sequence(nodes) => {
                nodes.iter().rev().try_fold(next, |next, node| self.add(states, node, next, depth))
            }
            Node::Alternatives(nodes) => {
                let mut begin = None;
                for node in nodes.iter().rev() {
                    let branch = self.add(states, node, next, depth)?;
                    begin = Some(match begin {
                        None => branch,
                        Some(other) => self.push(states, State::Fork(branch, other))?,
                    });
                }
                Ok(begin.unwrap_or(next))
            }
            Node::Repeat { node, least, most, .. } => {
                let mut begin = next;
                match most {
                    None => {
                        // A loop, entered at its fork.
                        let fork = self.push(states, State::Fork(next, next))?;
                        let body = self.add(states, node, fork, depth)?;
                        states[fork] = State::Fork(body, next);
                        begin = fork;
                    }
                    Some(most) => {
                        for _ in *least..*most {
                            let body = self.add(states, node, begin, depth)?;
                            begin = self.push(states, State::Fork(body, next))?;
                        }
                    }
                }
                for _ in 0..*least {
                    begin = self.add(states, node, begin, depth)?;
                }
                Ok(begin)
            }
        }
    }
}

fn collect<'a>(node: &'a Node, groups: &mut [Option<&'a Node>]) {
    match node {
        Node::Group(number, inner) => {
            if let Some(number) = number {
                groups[*number] = Some(inner);
            }
            collect(inner, groups);
        }
        Node::Alternatives(nodes) | Node::Sequence(nodes) => {
            nodes.iter().for_each(|node| collect(node, groups));
        }
        Node::Repeat { node, .. } => collect(node, groups),
        _ => {}
    }
}

fn is_word(c: Option<&char>) -> bool {
    c.is_some_and(|c| c.is_ascii_alphanumeric() || *c == '_')
}

fn holds(place: Place, text: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|at| text.get(at));
    let after = text.get(at);
    match place {
        Place::Begin(lines) => at == 0 || lines && before == Some(&'\n'),
        Place::End(lines) => at == text.len() || lines && after == Some(&'\n'),
        Place::WordBegin => !is_word(before) && is_word(after),
        Place::WordEnd => is_word(before) && !is_word(after),
        Place::WordEdge => is_word(before) != is_word(after),
        Place::NoWordEdge => is_word(before) == is_word(after),
    }
}

/// The states an automaton is in at one place.
struct Active {
    list: Vec<usize>,
    /// For each state the step it was entered in.
    seen: Vec<usize>,
    accepts: bool,
}

impl Active {
    fn new(count: usize) -> Self {
        Active { list: Vec::new(), seen: vec![usize::MAX; count], accepts: false }
    }
}

impl Automaton {
    fn enter(&self, active: &mut Active, stack: &mut Vec<usize>, state: usize, text: &[char], at: usize) {
        stack.push(state);
        while let Some(state) = stack.pop() {
            if std::mem::replace(&mut active.seen[state], at) == at {
                continue;
            }
            match &self.states[state] {
                State::Accept => active.accepts = true,
                State::One(..) => active.list.push(state),
                State::Fork(a, b) => stack.extend([*b, *a]),
                State::Place(place, next) => {
                    if holds(*place, text, at) {
                        stack.push(*next);
                    }
                }
                State::Look { ahead, negated, inner, next } => {
                    let found = if *ahead { inner.begins_at(text, at) } else { inner.ends_at(text, at) };
                    if found != *negated {
                        stack.push(*next);
                    }
                }
            }
        }
    }

    /// Runs from `begin`, entering anew at each place if `anywhere`; `visit` hears of each place where it accepts, and says
    /// whether to go on.
    fn run(
        &self,
        text: &[char],
        begin: usize,
        limit: usize,
        anywhere: bool,
        mut visit: impl FnMut(usize) -> bool,
    ) {
        let (mut now, mut then) = (Active::new(self.states.len()), Active::new(self.states.len()));
        let mut stack = Vec::new();
        self.enter(&mut now, &mut stack, self.start, text, begin);
        for at in begin..=limit {
            if at > begin && anywhere {
                self.enter(&mut now, &mut stack, self.start, text, at);
            }
            if now.accepts && !visit(at) {
                return;
            }
            if at == limit || now.list.is_empty() && !anywhere {
                return;
            }
            let c = text[at];
            then.list.clear();
            then.accepts = false;
            for &state in &now.list {
                if let State::One(set, next) = &self.states[state]
                    && set.contains(c)
                {
                    self.enter(&mut then, &mut stack, *next, text, at + 1);
                }
            }
            std::mem::swap(&mut now, &mut then);
        }
    }

    /// All places up to `limit` where a match that begins at `begin` may end, ascending.
    pub fn ends(&self, text: &[char], begin: usize, limit: usize) -> Vec<usize> {
        let mut ends = Vec::new();
        self.run(text, begin, limit, false, |at| {
            ends.push(at);
            true
        });
        ends
    }

    /// Whether a span matches.
    pub fn matches(&self, text: &[char], (begin, end): (usize, usize)) -> bool {
        let mut last = None;
        self.run(text, begin, end, false, |at| {
            last = Some(at);
            true
        });
        last == Some(end)
    }

    /// Whether there is a match at or behind a place.
    pub fn matches_somewhere(&self, text: &[char], from: usize) -> bool {
        let mut found = false;
        self.run(text, from, text.len(), true, |_| {
            found = true;
            false
        });
        found
    }

    fn begins_at(&self, text: &[char], at: usize) -> bool {
        let mut found = false;
        self.run(text, at, text.len(), false, |_| {
            found = true;
            false
        });
        found
    }

    fn ends_at(&self, text: &[char], end: usize) -> bool {
        (0..=end).rev().any(|begin| self.matches(text, (begin, end)))
    }
}
