//! The identifier of a workflow instance: a string that is safe in keys, URLs, logs and terminals.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest instance id, in bytes.
pub const MAX_INSTANCE_ID_BYTES: usize = 200;

/// The identifier of a workflow instance, unique within its namespace.
///
/// Any text of 1 to 200 bytes without control characters; often an identifier of the business, such as `order-1017`.
/// Cloning is cheap.
///
/// ```
/// use workflow_model::InstanceId;
///
/// let id = InstanceId::new("order-1017")?;
/// assert_eq!(id.as_str(), "order-1017");
/// assert!(InstanceId::new("").is_err());
/// # Ok::<(), workflow_model::InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Arc<str>);

/// Why a text is not an instance id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The text is empty.
    #[error("instance id \"\" is empty: give it 1 to {MAX_INSTANCE_ID_BYTES} bytes of text")]
    Empty,
    /// The text is too long.
    #[error(
        "instance id {start:?}.. is {length} bytes long, at most {MAX_INSTANCE_ID_BYTES} are allowed: shorten it or use \
         a hash of it"
    )]
    TooLong {
        /// The first characters of the text.
        start: String,
        /// Its length in bytes.
        length: usize,
    },
    /// The text contains a control character.
    #[error(
        "instance id {id:?} has the control character {character:?} at byte {offset}, which is not allowed: remove it"
    )]
    ControlCharacter {
        /// The text.
        id: String,
        /// The first control character in it.
        character: char,
        /// Where it stands.
        offset: usize,
    },
}

impl InstanceId {
    /// Checks the text and makes it an id.
    ///
    /// # Errors
    ///
    /// If the text is empty, longer than [`MAX_INSTANCE_ID_BYTES`], or contains a control character.
    pub fn new(id: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, InvalidId> {
        check(id.as_ref())?;
        Ok(Self(id.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check(id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        return Err(InvalidId::Empty);
    }
    if id.len() > MAX_INSTANCE_ID_BYTES {
        return Err(InvalidId::TooLong {
            start: id.chars().take(40).collect(),
            length: id.len(),
        });
    }
    match id.char_indices().find(|(_, character)| character.is_control()) {
        Some((offset, character)) => Err(InvalidId::ControlCharacter {
            id: id.to_owned(),
            character,
            offset,
        }),
        None => Ok(()),
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({:?})", &*self.0)
    }
}

impl AsRef<str> for InstanceId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for InstanceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InvalidId;

    fn from_str(id: &str) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl TryFrom<String> for InstanceId {
    type Error = InvalidId;

    fn try_from(id: String) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn ids_are_checked() {
        let long = "x".repeat(201);
        let cases = [
            ("a", Ok(())),
            ("order 10/17 — Zürich", Ok(())),
            (&long[1..], Ok(())),
            (
                "",
                Err("instance id \"\" is empty: give it 1 to 200 bytes of text"),
            ),
            (
                &long,
                Err(
                    "instance id \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\".. is 201 bytes long, at most 200 are \
                     allowed: shorten it or use a hash of it",
                ),
            ),
            (
                "a\nb",
                Err(
                    "instance id \"a\\nb\" has the control character '\\n' at byte 1, which is not allowed: remove it",
                ),
            ),
            (
                "é\u{7f}",
                Err(
                    "instance id \"é\\u{7f}\" has the control character '\\u{7f}' at byte 2, which is not allowed: \
                     remove it",
                ),
            ),
        ];
        for (text, expected) in cases {
            let result = InstanceId::new(text).map(drop).map_err(|error| error.to_string());
            assert_eq!(result, expected.map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn serde_uses_the_text_and_checks_it() {
        let id = InstanceId::new("order-1").unwrap();
        let bytes = codec::encode(&id).unwrap();
        assert_eq!(bytes, codec::encode("order-1").unwrap());
        assert_eq!(codec::decode::<InstanceId>(&bytes).unwrap(), id);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"order-1\"");
        let error = codec::decode::<InstanceId>(&codec::encode("").unwrap()).unwrap_err();
        assert!(error.to_string().contains("is empty"), "{error}");
    }

    #[test]
    fn a_map_can_be_searched_by_text() {
        let map = std::collections::BTreeMap::from([(InstanceId::new("a").unwrap(), 1)]);
        assert_eq!(map.get("a"), Some(&1));
        assert_eq!(
            format!("[{:>3}] {:?}", map.keys().next().unwrap(), map),
            "[  a] {InstanceId(\"a\"): 1}"
        );
    }
}
