//! Changes to inputs: of JSON as a tree, where it is some, and of bytes.

use serde_json::{Map, Value, json};

/// SplitMix64: the same numbers for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`; 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

/// Pieces that parsers stumble over.
const TOKENS: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "0",
    "-1",
    "1e999",
    "1E+17",
    "18446744073709551616",
    "\\u0000",
    "\\ud83d",
    "\\ude00",
    "\u{feff}",
    "é",
    "\u{2028}",
    "\n",
    "\r\n",
    "\t",
    " ",
    "\"id\":",
    "\"data\":",
    "sha256=",
    "v1,",
    "whsec_",
    "https://",
    "@",
    "#",
    "%00",
    "[::1]",
    "=",
];

/// An input made of the samples by a few changes.
pub(crate) fn mutated(samples: &[Vec<u8>], random: &mut Random, most: usize) -> Vec<u8> {
    let sample = random.one(samples);
    let changes = 1 + random.below(4);
    let mut input = match tree(sample).filter(|_| random.below(4) > 0) {
        Some((before, mut tree)) => {
            let other: &Vec<u8> = random.one(samples);
            let other = self::tree(other).map(|(_, tree)| tree).unwrap_or_default();
            for _ in 0..changes {
                change_tree(&mut tree, &other, random);
            }
            [before, &serde_json::to_vec(&tree).unwrap()].concat()
        }
        None => sample.clone(),
    };
    if random.below(3) == 0 || &input == sample {
        for _ in 0..changes {
            change_bytes(&mut input, samples, random);
        }
    }
    input.truncate(most);
    input
}

/// A sample as a tree, with the bytes before it: a stored event has two that choose its shape and field.
fn tree(sample: &[u8]) -> Option<(&[u8], Value)> {
    [0, 2].into_iter().find_map(|at| {
        let (before, json) = sample.split_at_checked(at)?;
        Some((before, serde_json::from_slice(json).ok()?))
    })
}

fn change_tree(tree: &mut Value, other: &Value, random: &mut Random) {
    let node = some_node(tree, random);
    match random.below(10) {
        0 => *node = Value::Null,
        1 => *node = scalar(random),
        2 => *node = some_node(&mut other.clone(), random).clone(),
        3 => *node = json!([node.take()]),
        4 => *node = json!({"data": node.take()}),
        5 => *node = Value::String(node.to_string()),
        _ => match node {
            Value::Array(list) => change_list(list, random),
            Value::Object(map) => change_map(map, other, random),
            Value::Number(number) if random.below(2) == 0 => *node = Value::String(number.to_string()),
            Value::String(text) if random.below(2) == 0 => match text.parse::<i64>() {
                Ok(number) => *node = number.into(),
                Err(_) => text.push_str(token(random)),
            },
            _ => *node = scalar(random),
        },
    }
}

fn change_list(list: &mut Vec<Value>, random: &mut Random) {
    if list.is_empty() {
        return list.push(scalar(random));
    }
    let at = random.below(list.len());
    match random.below(4) {
        0 => drop(list.remove(at)),
        1 => list.swap(0, at),
        2 => list.push(list[at].clone()),
        _ => {
            let many = vec![list[at].clone(); random.below(50)];
            list.extend(many);
        }
    }
}

fn change_map(map: &mut Map<String, Value>, other: &Value, random: &mut Random) {
    let names: Vec<String> = map.keys().cloned().collect();
    let others: Vec<String> = other.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    let Some(name) = names.get(random.below(names.len())).cloned() else { return };
    match random.below(4) {
        0 => drop(map.remove(&name)),
        1 => {
            let value = map.remove(&name).unwrap_or_default();
            map.insert(random.one(&names).clone(), value);
        }
        2 if !others.is_empty() => {
            let taken = random.one(&others).clone();
            map.insert(taken.clone(), other[&taken].clone());
        }
        _ => {
            let value = map[&name].clone();
            map.insert(format!("{name}{}", random.one(&["_str", "s", "", "\u{1}"])), value);
        }
    }
}

/// A node of the tree, a deep one as likely as a shallow one.
fn some_node<'a>(tree: &'a mut Value, random: &mut Random) -> &'a mut Value {
    let mut left = random.below(count(tree));
    let mut node = tree;
    while left > 0 {
        left -= 1;
        let children: Vec<&mut Value> = match node {
            Value::Array(list) => list.iter_mut().collect(),
            Value::Object(map) => map.values_mut().collect(),
            _ => unreachable!("a leaf has no more nodes than itself"),
        };
        let mut inside = None;
        for child in children {
            let size = count(child);
            if left < size {
                inside = Some(child);
                break;
            }
            left -= size;
        }
        node = inside.expect("the children have the nodes that were counted");
    }
    node
}

fn count(tree: &Value) -> usize {
    1 + match tree {
        Value::Array(list) => list.iter().map(count).sum::<usize>(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn token(random: &mut Random) -> &'static str {
    TOKENS[random.below(TOKENS.len())]
}

fn scalar(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(random.next()),
        4 => json!(i64::MIN),
        5 => json!(1e300),
        6 => json!(1_795_262_405_123_i64),
        7 => json!("2026-11-21T12:00:05+0000"),
        8 => json!(""),
        9 => json!("x".repeat(random.below(3000))),
        10 => json!("\u{1}".repeat(random.below(300))),
        _ => json!(token(random)),
    }
}

fn change_bytes(input: &mut Vec<u8>, samples: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let to = (at + random.below(40)).min(input.len());
    match random.below(7) {
        0 => drop(input.drain(at..to)),
        1 => input.truncate(at),
        2 => {
            let token = token(random).as_bytes().to_vec();
            input.splice(at..at, token);
        }
        3 if at < input.len() => input[at] ^= 1 << random.below(8),
        4 => {
            let part = input[at..to].repeat(1 + random.below(20));
            input.splice(at..at, part);
        }
        5 => {
            let other = random.one(samples);
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        _ => input.insert(at, u8::try_from(random.below(256)).unwrap_or(0)),
    }
}
