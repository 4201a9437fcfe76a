//! Queries: what an instance has published, and its live variables, read from the store without waking it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use workflow_model::{InstanceId, codec};

use super::WorkflowEngine;
use super::core::Core;
use super::handle::WorkflowHandle;
use crate::keys::{Keys, Kind};
use crate::record::{StateRecord, Value};
use crate::store;
use crate::workflow::Workflow;

/// Why a query has no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no such instance.
    #[error("there is no instance `{id}`")]
    NotFound {
        /// The id.
        id: InstanceId,
    },
    /// The instance has no value of this name now.
    #[error(
        "the instance `{id}` has no `{name}` now: it has published {published:?}, and its live variables are {variables:?}"
    )]
    NoSuchValue {
        /// The instance.
        id: InstanceId,
        /// The name that was asked for.
        name: String,
        /// The names of its published values.
        published: Vec<String>,
        /// The names of its live variables.
        variables: Vec<String>,
    },
    /// The value is not one of the expected type.
    #[error("`{name}` of the instance `{id}` cannot be read as a `{wanted}`: {error}")]
    Type {
        /// The instance.
        id: InstanceId,
        /// The name that was asked for.
        name: String,
        /// The expected type.
        wanted: &'static str,
        /// Why.
        error: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The values of an instance as of its last step: what it has published, and its live variables. The check of an
/// [`Update`](crate::Update) sees them.
#[derive(Debug, Clone, Default)]
pub struct Values {
    published: BTreeMap<String, Bytes>,
    variables: BTreeMap<String, Bytes>,
}

impl Values {
    /// The published value of this name, otherwise the live variable; `None` when there is none, or when it is no `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        codec::decode(self.encoded(name)?).ok()
    }

    fn encoded(&self, name: &str) -> Option<&Bytes> {
        self.published.get(name).or_else(|| self.variables.get(name))
    }

    /// Reads the values of an instance.
    pub(super) async fn read(core: &Core, id: &InstanceId) -> Result<Self, store::Error> {
        let published = core
            .read_all(core.keys.numbered_range(Kind::Published, id))
            .await?;
        let name = |key: &Bytes| {
            let name = core.keys.scope_of(id, key)?;
            Some(String::from_utf8_lossy(name).into_owned())
        };
        let published = published
            .into_iter()
            .filter_map(|(key, value)| Some((name(&key)?, value)))
            .collect();
        let state_key = core.keys.of(Kind::State, id);
        // A step between the two reads may remove a side record that the state mentions.
        for _ in 0..3 {
            let state = core.read_one(&state_key).await?;
            let Some(Ok(state)) = state.map(StateRecord::read) else {
                break;
            };
            let in_side = |value: &(String, Value)| matches!(value.1, Value::Side(_));
            let sides = match state.variables.iter().any(in_side) {
                true => core.read_all(core.keys.numbered_range(Kind::Side, id)).await?,
                false => Vec::new(),
            };
            let side = |number| sides.iter().find(|(key, _)| Keys::side_of(key) == Some(number));
            let variables: Option<BTreeMap<String, Bytes>> = state
                .variables
                .into_iter()
                .map(|(name, value)| match value {
                    Value::Inline(bytes) => Some((name, bytes)),
                    Value::Side(number) => side(number).map(|(_, bytes)| (name, bytes.clone())),
                })
                .collect();
            if let Some(variables) = variables {
                return Ok(Values { published, variables });
            }
        }
        Ok(Values {
            published,
            variables: BTreeMap::new(),
        })
    }
}

async fn query<T>(
    core: &Core,
    id: &InstanceId,
    name: &str,
    read: impl Fn(&[u8]) -> Result<T, codec::Error>,
) -> Result<T, QueryError> {
    let keys = [core.keys.of(Kind::Instance, id), core.keys.published(id, name)];
    let found = core.store.get(&keys).await?;
    let [Some(_), published] = &found[..] else {
        return Err(QueryError::NotFound { id: id.clone() });
    };
    let decode = |encoded: &Bytes| {
        read(encoded).map_err(|error| QueryError::Type {
            id: id.clone(),
            name: name.to_owned(),
            wanted: std::any::type_name::<T>(),
            error: error.to_string(),
        })
    };
    if let Some(published) = published {
        return decode(published);
    }
    let values = Values::read(core, id).await?;
    match values.encoded(name) {
        Some(encoded) => decode(encoded),
        None => Err(QueryError::NoSuchValue {
            id: id.clone(),
            name: name.to_owned(),
            published: values.published.into_keys().collect(),
            variables: values.variables.into_keys().collect(),
        }),
    }
}

pub(super) async fn query_typed<T: DeserializeOwned>(
    core: &Arc<Core>,
    id: &InstanceId,
    name: &str,
) -> Result<T, QueryError> {
    query(core, id, name, |encoded| codec::decode(encoded)).await
}

/// What an instance has published, as JSON.
pub(super) async fn published(core: &Core, id: &InstanceId) -> Result<BTreeMap<String, Bytes>, store::Error> {
    Ok(Values::read(core, id).await?.published)
}

impl<W: Workflow> WorkflowHandle<W> {
    /// The value that the instance has [published](crate::publish) under this name, otherwise its live variable of this
    /// name. It is read from the store: the instance is not woken, and may be running, waiting or blocked. What it has
    /// published last stays when it has ended.
    ///
    /// ```
    /// use workflow_runtime::prelude::*;
    ///
    /// #[workflow]
    /// async fn import(files: Vec<String>) -> usize {
    ///     let mut done = 0;
    ///     for file in files {
    ///         publish!("progress", format!("{file} is number {done}"));
    ///         sleep("30d").await;
    ///         done += 1;
    ///     }
    ///     done
    /// }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let engine = WorkflowEngine::<import>::builder().in_memory().build().await.unwrap();
    /// let handle = engine.start(import(vec!["a.csv".into()])).await.unwrap();
    /// assert_eq!(handle.query::<String>("progress").await.unwrap(), "a.csv is number 0");
    /// assert_eq!(handle.query::<usize>("done").await.unwrap(), 0);
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`QueryError`] says why there is no answer.
    pub async fn query<T: DeserializeOwned>(&self, name: &str) -> Result<T, QueryError> {
        query_typed(self.core(), self.id(), name).await
    }
}

impl<R> WorkflowEngine<R> {
    /// As [`WorkflowHandle::query`], for whoever has neither the workflow's type nor the value's.
    ///
    /// # Errors
    /// [`QueryError`] says why there is no answer.
    pub async fn query_json(&self, id: &InstanceId, name: &str) -> Result<Json, QueryError> {
        query(self.core(), id, name, codec::to_json).await
    }
}
