//! The names of one value: struct fields and enum variants, numbered in the order of their first occurrence.
//!
//! Equal text has one number, whatever its address, so that the output does not depend on how the program was linked.

use std::collections::BTreeMap;

const INLINE: usize = 16;
/// Up to this many names a scan is faster than a search tree.
const SCAN_MAX: usize = 32;

/// A list of names; the first few need no allocation.
pub(super) struct NameList<'a> {
    first: [&'a str; INLINE],
    length: usize,
    rest: Vec<&'a str>,
}

impl<'a> NameList<'a> {
    pub(super) fn new() -> Self {
        Self {
            first: [""; INLINE],
            length: 0,
            rest: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a str> {
        if index >= self.length {
            None
        } else if index < INLINE {
            Some(self.first[index])
        } else {
            self.rest.get(index - INLINE).copied()
        }
    }

    pub(super) fn push(&mut self, name: &'a str) {
        if self.length < INLINE {
            self.first[self.length] = name;
        } else {
            self.rest.push(name);
        }
        self.length += 1;
    }
}

/// The encoder's side: finds the number of a name.
pub(super) struct Interner {
    names: NameList<'static>,
    /// The number that follows the last one used: fields mostly come in the same order again.
    guess: usize,
    /// Filled once there are more than `SCAN_MAX` names.
    numbers: BTreeMap<&'static str, usize>,
}

impl Interner {
    pub(super) fn new() -> Self {
        Self {
            names: NameList::new(),
            guess: 0,
            numbers: BTreeMap::new(),
        }
    }

    /// The number of a name that occurred before; otherwise gives it the next number and returns `None`.
    pub(super) fn number(&mut self, name: &'static str) -> Option<usize> {
        if self.names.get(self.guess).is_some_and(|known| same(known, name)) {
            self.guess += 1;
            return Some(self.guess - 1);
        }
        let count = self.names.len();
        let found = if count <= SCAN_MAX {
            (0..count).find(|&number| self.names.get(number).is_some_and(|known| same(known, name)))
        } else {
            self.numbers.get(name).copied()
        };
        match found {
            Some(number) => {
                self.guess = number + 1;
                Some(number)
            }
            None => {
                self.names.push(name);
                self.guess = count + 1;
                if count == SCAN_MAX {
                    self.numbers = (0..=count)
                        .filter_map(|number| Some((self.names.get(number)?, number)))
                        .collect();
                } else if count > SCAN_MAX {
                    self.numbers.insert(name, count);
                }
                None
            }
        }
    }
}

fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && (std::ptr::eq(left.as_ptr(), right.as_ptr()) || left == right)
}
