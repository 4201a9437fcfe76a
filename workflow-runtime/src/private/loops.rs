//! What a durable `for` loop keeps: the rest of a range, a position in a collection that stays where it is, or all
//! items, stored once, and a position in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Range, RangeFrom, RangeInclusive};
use std::vec;

use serde::{Deserialize, Serialize};

use super::machine::Codec;
use crate::Durable;
use crate::context::{Saver, WorkflowContext};
use crate::halt::Halt;

/// What a loop keeps across awaits.
#[diagnostic::on_unimplemented(
    message = "this loop awaits, so what it still has to visit is stored; `{Self}` cannot be stored",
    label = "cannot be stored",
    note = "loop over a range, over `&collection`, or over owned items whose type implements serde's `Serialize` and `Deserialize`"
)]
pub trait LoopState: Sized + Send {
    /// Writes the state under `name`.
    fn save(&self, saver: &mut Saver<'_>, name: &'static str, slot: u32);
    /// Reads it back.
    ///
    /// # Errors
    /// When the stored value does not fit.
    fn restore(context: &mut WorkflowContext, name: &'static str) -> Result<Self, Halt>;
    /// How it is stored.
    fn codec(slot: u32) -> Codec<Self> {
        Codec::new(Self::save, Self::restore, slot)
    }
}

/// A number that a durable loop can count with.
pub trait Counter: Copy + PartialOrd + Durable {
    /// The next number, if there is one.
    fn successor(self) -> Option<Self>;
}

macro_rules! counters {
    ($($number:ty),*) => { $(impl Counter for $number {
        fn successor(self) -> Option<Self> { self.checked_add(1) }
    })* };
}
counters!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl Counter for char {
    fn successor(self) -> Option<Self> {
        match self {
            '\u{D7FF}' => Some('\u{E000}'),
            other => char::from_u32(u32::from(other) + 1),
        }
    }
}

/// The rest of a range: from `next`, to `last` at most; `next` is `None` at its end.
#[derive(Debug, Serialize, Deserialize)]
pub struct RangeLoop<T> {
    next: Option<T>,
    last: Option<T>,
    inclusive: bool,
}

impl<T: Counter> RangeLoop<T> {
    /// The next number of the range.
    #[expect(clippy::should_implement_trait, reason = "called by generated code only")]
    pub fn next(&mut self) -> Option<T> {
        let current = self.next?;
        let inside = match self.last {
            None => true,
            Some(last) if self.inclusive => current <= last,
            Some(last) => current < last,
        };
        if !inside {
            self.next = None;
            return None;
        }
        self.next = current.successor();
        Some(current)
    }
}

impl<T: Counter> LoopState for RangeLoop<T> {
    fn save(&self, saver: &mut Saver<'_>, name: &'static str, _: u32) {
        saver.variable(name, self);
    }
    fn restore(context: &mut WorkflowContext, name: &'static str) -> Result<Self, Halt> {
        context.restore(name)
    }
}

/// Owned items: all of them are stored once, then only the position changes.
#[derive(Debug)]
pub struct ItemsLoop<T> {
    items: vec::IntoIter<T>,
    /// The encoding of all items, or why they cannot be encoded.
    encoded: Result<bytes::Bytes, String>,
    position: usize,
}

impl<T> ItemsLoop<T> {
    /// The next item.
    #[expect(clippy::should_implement_trait, reason = "called by generated code only")]
    pub fn next(&mut self) -> Option<T> {
        let item = self.items.next();
        self.position += usize::from(item.is_some());
        item
    }
}

/// Names under which the two parts of an [`ItemsLoop`] are stored, derived from the loop's name.
fn part(name: &'static str, what: &str) -> String {
    format!("{name}.{what}")
}

impl<T: LoopItem> LoopState for ItemsLoop<T> {
    fn save(&self, saver: &mut Saver<'_>, name: &'static str, slot: u32) {
        match &self.encoded {
            Ok(encoded) => saver.constant_encoded(&part(name, "items"), slot, encoded),
            Err(error) => saver.fail(name, error),
        }
        saver.variable(&part(name, "position"), &self.position);
    }
    fn restore(context: &mut WorkflowContext, name: &'static str) -> Result<Self, Halt> {
        let encoded = context.restore_encoded(&part(name, "items"))?;
        let items: Vec<T> = context.restore(&part(name, "items"))?;
        let position: usize = context.restore(&part(name, "position"))?;
        let mut items = items.into_iter();
        if let Some(last) = position.checked_sub(1) {
            items.nth(last);
        }
        Ok(ItemsLoop {
            items,
            encoded: Ok(encoded),
            position,
        })
    }
}

/// Chooses how a loop over a range is kept.
#[derive(Debug)]
pub struct RangeStart;

/// Found for ranges of numbers.
pub trait RangeKind {
    /// How it is kept.
    fn __loop_kind(&self) -> RangeStart {
        RangeStart
    }
}

impl<T: Counter> RangeKind for Range<T> {}
impl<T: Counter> RangeKind for RangeInclusive<T> {}
impl<T: Counter> RangeKind for RangeFrom<T> {}

/// A range that a [`RangeLoop`] can run over.
pub trait IntoRangeLoop<T> {
    /// The state before the first number.
    fn into_range_loop(self) -> RangeLoop<T>;
}

impl<T: Counter> IntoRangeLoop<T> for Range<T> {
    fn into_range_loop(self) -> RangeLoop<T> {
        RangeLoop {
            next: Some(self.start),
            last: Some(self.end),
            inclusive: false,
        }
    }
}

impl<T: Counter> IntoRangeLoop<T> for RangeFrom<T> {
    fn into_range_loop(self) -> RangeLoop<T> {
        RangeLoop {
            next: Some(self.start),
            last: None,
            inclusive: false,
        }
    }
}

impl<T: Counter> IntoRangeLoop<T> for RangeInclusive<T> {
    fn into_range_loop(self) -> RangeLoop<T> {
        let (start, end) = (*self.start(), *self.end());
        // A range that was already run to its end is empty, although its bounds do not show it.
        let next = if self.is_empty() { None } else { Some(start) };
        RangeLoop {
            next,
            last: Some(end),
            inclusive: true,
        }
    }
}

impl RangeStart {
    /// The loop's state before its first number.
    pub fn start<T: Counter>(self, range: impl IntoRangeLoop<T>) -> RangeLoop<T> {
        range.into_range_loop()
    }
}

/// Chooses how a loop over any other iterator is kept: its items are collected first.
#[derive(Debug)]
pub struct ItemsStart;

/// Found for everything else.
pub trait ItemsKind {
    /// How it is kept.
    fn __loop_kind(&self) -> ItemsStart {
        ItemsStart
    }
}

impl<I> ItemsKind for &I {}

impl ItemsStart {
    /// The loop's state before its first item. All items are taken from the iterator now.
    pub fn start<I: IntoIterator>(self, source: I) -> ItemsLoop<I::Item>
    where
        I::Item: LoopItem,
    {
        let items: Vec<I::Item> = source.into_iter().collect();
        let encoded = crate::run::Outbox::storing(|| workflow_model::codec::encode(&items))
            .map(bytes::Bytes::from)
            .map_err(|error| error.to_string());
        ItemsLoop {
            items: items.into_iter(),
            encoded,
            position: 0,
        }
    }
}

/// An item that a loop can keep across an await.
#[diagnostic::on_unimplemented(
    message = "this loop awaits, so the items that it still has to visit are stored, but `{Self}` cannot be stored",
    label = "gives items of type `{Self}`",
    note = "references: loop over `&collection` itself, or own the items (`.cloned()`, `.into_iter()`, `.map(str::to_owned)`)",
    note = "your own type: derive serde's `Serialize` and `Deserialize` for it"
)]
pub trait LoopItem: Durable {}

#[diagnostic::do_not_recommend]
impl<T: Durable> LoopItem for T {}

/// A position in a collection that is itself a variable of the workflow.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Cursor {
    position: usize,
}

impl Cursor {
    /// Before the first item.
    pub fn new() -> Self {
        Cursor::default()
    }
}

impl LoopState for Cursor {
    fn save(&self, saver: &mut Saver<'_>, name: &'static str, _: u32) {
        saver.variable(name, self);
    }
    fn restore(context: &mut WorkflowContext, name: &'static str) -> Result<Self, Halt> {
        context.restore(name)
    }
}

/// A collection whose items have positions that survive storing and loading it.
#[diagnostic::on_unimplemented(
    message = "a loop that awaits cannot keep a position in `{Self}`",
    label = "the order of `{Self}` is not known to survive a restart",
    note = "loop over owned items instead: `collection.clone()`, or collect what the loop needs into a `Vec` first"
)]
pub trait Ordered {
    /// A reference to an item.
    type Item<'a>
    where
        Self: 'a;
    /// The item at `position`, counted from 0.
    fn nth_item(&self, position: usize) -> Option<Self::Item<'_>>;
    /// A reference to the next item.
    fn next_item(&self, cursor: &mut Cursor) -> Option<Self::Item<'_>> {
        let item = self.nth_item(cursor.position);
        cursor.position += usize::from(item.is_some());
        item
    }
    /// A reference to the item that came last.
    fn this_item(&self, cursor: &Cursor) -> Option<Self::Item<'_>> {
        self.nth_item(cursor.position.checked_sub(1)?)
    }
}

/// An [`Ordered`] collection whose items can be changed in place.
#[diagnostic::on_unimplemented(
    message = "a loop that awaits cannot keep a position in `&mut {Self}`",
    label = "the order of `{Self}` is not known to survive a restart",
    note = "loop over indexes (`for i in 0..items.len()`)"
)]
pub trait OrderedMut {
    /// A mutable reference to an item.
    type ItemMut<'a>
    where
        Self: 'a;
    /// The item at `position`, counted from 0.
    fn nth_item_mut(&mut self, position: usize) -> Option<Self::ItemMut<'_>>;
    /// A mutable reference to the next item.
    fn next_item(&mut self, cursor: &mut Cursor) -> Option<Self::ItemMut<'_>> {
        let position = cursor.position;
        let item = self.nth_item_mut(position);
        cursor.position += usize::from(item.is_some());
        item
    }
    /// A mutable reference to the item that came last.
    fn this_item(&mut self, cursor: &Cursor) -> Option<Self::ItemMut<'_>> {
        self.nth_item_mut(cursor.position.checked_sub(1)?)
    }
}

macro_rules! ordered {
    ($([$($generics:tt)*] $collection:ty, $item:ty, $item_mut:ty, $get:ident, $get_mut:ident;)*) => { $(
        impl<$($generics)*> Ordered for $collection {
            type Item<'a> = $item where Self: 'a;
            fn nth_item(&self, position: usize) -> Option<Self::Item<'_>> { self.$get(position) }
        }
        impl<$($generics)*> OrderedMut for $collection {
            type ItemMut<'a> = $item_mut where Self: 'a;
            fn nth_item_mut(&mut self, position: usize) -> Option<Self::ItemMut<'_>> { self.$get_mut(position) }
        }
    )* };
}
ordered! {
    [T] [T], &'a T, &'a mut T, get, get_mut;
    [T] Vec<T>, &'a T, &'a mut T, get, get_mut;
    [T] VecDeque<T>, &'a T, &'a mut T, get, get_mut;
}

impl<T, const N: usize> Ordered for [T; N] {
    type Item<'a>
        = &'a T
    where
        Self: 'a;
    fn nth_item(&self, position: usize) -> Option<&T> {
        self.get(position)
    }
}

impl<T, const N: usize> OrderedMut for [T; N] {
    type ItemMut<'a>
        = &'a mut T
    where
        Self: 'a;
    fn nth_item_mut(&mut self, position: usize) -> Option<&mut T> {
        self.get_mut(position)
    }
}

impl<T> Ordered for Option<T> {
    type Item<'a>
        = &'a T
    where
        Self: 'a;
    fn nth_item(&self, position: usize) -> Option<&T> {
        self.iter().nth(position)
    }
}

impl<T> Ordered for BTreeSet<T> {
    type Item<'a>
        = &'a T
    where
        Self: 'a;
    fn nth_item(&self, position: usize) -> Option<&T> {
        self.iter().nth(position)
    }
}

impl<K, V> Ordered for BTreeMap<K, V> {
    type Item<'a>
        = (&'a K, &'a V)
    where
        Self: 'a;
    fn nth_item(&self, position: usize) -> Option<(&K, &V)> {
        self.iter().nth(position)
    }
}

impl<K, V> OrderedMut for BTreeMap<K, V> {
    type ItemMut<'a>
        = (&'a K, &'a mut V)
    where
        Self: 'a;
    fn nth_item_mut(&mut self, position: usize) -> Option<(&K, &mut V)> {
        self.iter_mut().nth(position)
    }
}

impl<C: Ordered + ?Sized> Ordered for &C {
    type Item<'a>
        = C::Item<'a>
    where
        Self: 'a;
    fn nth_item(&self, position: usize) -> Option<Self::Item<'_>> {
        (**self).nth_item(position)
    }
}

impl<C: Ordered + ?Sized> Ordered for Box<C> {
    type Item<'a>
        = C::Item<'a>
    where
        Self: 'a;
    fn nth_item(&self, position: usize) -> Option<Self::Item<'_>> {
        (**self).nth_item(position)
    }
}
