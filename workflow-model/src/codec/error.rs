//! Why a value could not be encoded or decoded: the rule that was broken, the byte, and the place inside the value.
//!
//! The detail is boxed, so that the `Result` of every encoding step stays one word.

use std::fmt;

use serde::{de, ser};

/// Why a value could not be encoded or decoded.
///
/// The message names the broken rule, the byte at which the offending node starts, and the way to it inside the value.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use workflow_model::codec;
///
/// #[derive(Serialize)]
/// struct Old { items: Vec<&'static str> }
/// #[derive(Debug, Deserialize)]
/// struct New { #[expect(dead_code)] items: Vec<u32> }
///
/// let bytes = codec::encode(&Old { items: vec!["one"] }).unwrap();
/// let error = codec::decode::<New>(&bytes).unwrap_err();
/// assert_eq!(error.to_string(), "invalid type: string \"one\", expected u32, at byte 9, in items[0]");
/// assert_eq!(error.offset(), Some(9));
/// ```
pub struct Error(Box<Detail>);

struct Detail {
    kind: ErrorKind,
    offset: Option<usize>,
    /// Innermost first: errors gain their place on the way out.
    path: Vec<Segment>,
}

/// One step of the way from the value to the node that an error is about.
pub(super) enum Segment {
    /// A field of a struct, or a variant of an enum.
    Name(String),
    /// An element of a sequence, counted from 0.
    Index(usize),
    /// An entry of a map whose key is a string.
    Key(String),
    /// Any other entry of a map, counted from 0.
    Entry(usize),
}

/// The rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The first byte is not a format that this build can read.
    #[error("unknown format {found:#04x}: this build reads format 0xd1")]
    UnknownFormat {
        /// The first byte of the input.
        found: u8,
    },
    /// The input stops inside a node.
    #[error("the input ends where {expected} was expected")]
    UnexpectedEnd {
        /// What should have followed.
        expected: &'static str,
    },
    /// A tag that no node starts with.
    #[error("tag {tag:#04x} is not assigned")]
    UnknownTag {
        /// The byte that was read.
        tag: u8,
    },
    /// A length or count that the rest of the input cannot hold.
    #[error("{what} claims {claimed} but only {remaining} bytes follow")]
    LengthBeyondInput {
        /// The kind of node.
        what: &'static str,
        /// The length or count that was read.
        claimed: u64,
        /// The number of bytes that are left.
        remaining: usize,
    },
    /// A variable-length number that does not end, or does not fit its type.
    #[error("variable-length number is larger than {limit}")]
    NumberTooLarge {
        /// The type that limits it.
        limit: &'static str,
    },
    /// A string or name that is not UTF-8.
    #[error("{what} is not valid UTF-8")]
    InvalidUtf8 {
        /// The kind of node.
        what: &'static str,
    },
    /// A number that is not a Unicode scalar value where a character stands.
    #[error("{code:#x} is not a character")]
    InvalidCharacter {
        /// The number that was read.
        code: u64,
    },
    /// A reference to a name that has not been defined before it.
    #[error("name {index} is used but only {known} are defined before it")]
    UnknownName {
        /// The index that was read.
        index: u64,
        /// How many names are defined so far.
        known: usize,
    },
    /// A sequence, tuple or map of another length than the type takes.
    #[error("expected {read} elements, found {count}")]
    LengthMismatch {
        /// How many the type reads.
        read: usize,
        /// How many are stored.
        count: usize,
    },
    /// A value that is nested too deeply.
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// The largest number of levels.
        limit: u32,
    },
    /// Bytes after the end of the value.
    #[error("{count} bytes follow the end of the value")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// A `Serialize` implementation that wrote a map key without its value, or the reverse.
    #[error("a map was given a key without a value, or a value without a key")]
    UnpairedMapEntry,
    /// A `Serialize` implementation that went on after an element had failed.
    #[error("serialization went on after an element had failed")]
    Abandoned,
    /// A message from `serde` or from a user's `Serialize` or `Deserialize`.
    #[error("{0}")]
    Custom(String),
}

impl Error {
    /// The rule that was broken.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The byte at which the offending node starts; `None` if the error arose while encoding.
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }

    /// The way to the offending node, such as `order.items[3].price`; empty if it is the value itself.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.0.path.iter().rev() {
            match segment {
                Segment::Name(name) if path.is_empty() => path.push_str(name),
                Segment::Name(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
                Segment::Key(key) => path.push_str(&format!("[{key:?}]")),
                Segment::Entry(index) => path.push_str(&format!("[entry {index}]")),
            }
        }
        path
    }

    #[cold]
    pub(super) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Detail {
            kind,
            offset: None,
            path: Vec::new(),
        }))
    }

    /// Sets the offset unless a more precise one is known.
    #[cold]
    pub(super) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Adds one step to the way, on the way out.
    #[cold]
    pub(super) fn within(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.kind)?;
        if let Some(offset) = self.0.offset {
            write!(f, ", at byte {offset}")?;
        }
        if !self.0.path.is_empty() {
            write!(f, ", in {}", self.path())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("offset", &self.0.offset)
            .field("path", &self.path())
            .finish()
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ErrorKind::Custom(message.to_string()))
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ErrorKind::Custom(message.to_string()))
    }
}
