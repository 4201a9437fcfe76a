//! The keys of everything that the engine stores (see `docs/formats.md`).
//!
//! A key is `w 01 namespace 00 shard kind id`: the records of one shard are neighbours. The deployment's own records are
//! `w 00 name`. Instance ids hold no control characters, so a zero byte ends one.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use workflow_model::InstanceId;

/// How many shards a new deployment has. An instance's shard is a hash of its id.
pub(crate) const SHARDS: u16 = 64;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// An instance: workflow, input, time of its start.
    Instance = b'i',
    /// How an instance ended, or why it is blocked.
    Outcome = b'e',
    /// Where an open instance is, and its live variables.
    State = b's',
    /// A large value, written once: `id 00 number`.
    Side = b'c',
    /// Where the line of an `async` block is, and its live variables: `id 00 scope`.
    Position = b'o',
    /// The result of a branch that has ended: `id 00 scope`.
    Branch = b'b',
    /// Failed attempts of the pending task; those of a branch: `id 00 scope`.
    Attempts = b'a',
    /// The instance has something to do now.
    Ready = b'r',
    /// A message that was not received yet: `id 00 time count`.
    Message = b'm',
    /// The output that an operator gives in the place of the pending task's.
    Given = b'g',
    /// A request that was accepted: `id 00 token name`.
    Request = b'q',
    /// A link to a child: `id 00 child's id`.
    Child = b'k',
    /// Messages are kept for an id that no instance has: id.
    Early = b'y',
    /// An update that was accepted, and its reply: `id 00 token name`.
    Update = b'u',
    /// A value that the workflow has published: `id 00 name`.
    Published = b'p',
    /// A timer: `time id`.
    Timer = b'd',
    /// Who may run the shard's instances; one record per shard.
    Lease = b'l',
    /// Changed by whoever writes for an instance of the shard without having the shard; one record per shard.
    Bell = b'w',
    /// The instance is run, or to be run, by another node than the one that has its shard.
    Claim = b'x',
}

impl Kind {
    /// What a step may have in the store besides the state.
    pub(crate) const OF_STEPS: [Kind; 5] = [
        Kind::Position,
        Kind::Branch,
        Kind::Attempts,
        Kind::Side,
        Kind::Timer,
    ];
}

/// The key layout of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Bytes,
    shards: u16,
}

/// A key of the deployment itself.
pub(crate) fn meta(name: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(2 + name.len());
    key.put_slice(b"w\x00");
    key.put_slice(name.as_bytes());
    key.freeze()
}

impl Keys {
    pub(crate) fn new(namespace: &str, shards: u16) -> Self {
        let mut prefix = BytesMut::with_capacity(3 + namespace.len());
        prefix.put_slice(b"w\x01");
        prefix.put_slice(namespace.as_bytes());
        prefix.put_u8(0);
        Keys {
            prefix: prefix.freeze(),
            shards: shards.max(1),
        }
    }

    pub(crate) fn namespace(&self) -> &str {
        let name = self.prefix.get(2..self.prefix.len() - 1).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    /// A bulk order.
    pub(crate) fn bulk(&self, name: &InstanceId) -> Bytes {
        let mut key = BytesMut::with_capacity(self.prefix.len() + name.as_str().len());
        key.put_slice(b"w\x04");
        key.put_slice(&self.prefix[2..]);
        key.put_slice(name.as_str().as_bytes());
        key.freeze()
    }

    /// The records of a kind in a shard whose instances' ids begin with `prefix`.
    pub(crate) fn prefixed(&self, shard: u16, kind: Kind, prefix: &str) -> Range<Bytes> {
        let mut start = self.start(shard, kind, prefix.len());
        start.put_slice(prefix.as_bytes());
        // No UTF-8 has this byte.
        let mut end = start.clone();
        end.put_u8(0xff);
        start.freeze()..end.freeze()
    }

    pub(crate) fn shards(&self) -> Range<u16> {
        0..self.shards
    }

    pub(crate) fn shard(&self, id: &InstanceId) -> u16 {
        let hash = hash(id.as_str().as_bytes());
        u16::try_from(hash % u64::from(self.shards)).unwrap_or(0)
    }

    fn start(&self, shard: u16, kind: Kind, extra: usize) -> BytesMut {
        let mut key = BytesMut::with_capacity(self.prefix.len() + 3 + extra);
        key.put_slice(&self.prefix);
        key.put_u16(shard);
        key.put_u8(kind as u8);
        key
    }

    /// The key of an instance's only record of this kind.
    pub(crate) fn of(&self, kind: Kind, id: &InstanceId) -> Bytes {
        let mut key = self.start(self.shard(id), kind, id.as_str().len());
        key.put_slice(id.as_str().as_bytes());
        key.freeze()
    }

    /// What the keys of an instance's numbered records begin with.
    fn numbered(&self, kind: Kind, id: &InstanceId, extra: usize) -> BytesMut {
        let mut key = self.start(self.shard(id), kind, id.as_str().len() + 1 + extra);
        key.put_slice(id.as_str().as_bytes());
        key.put_u8(0);
        key
    }

    pub(crate) fn side(&self, id: &InstanceId, number: u32) -> Bytes {
        let mut key = self.numbered(Kind::Side, id, 4);
        key.put_u32(number);
        key.freeze()
    }

    /// A record of a branch.
    pub(crate) fn scoped(&self, kind: Kind, id: &InstanceId, scope: &[u8]) -> Bytes {
        let mut key = self.numbered(kind, id, scope.len());
        key.put_slice(scope);
        key.freeze()
    }

    /// What the record under a key of an instance is, of the kinds that a step has besides its state.
    pub(crate) fn kind_of(&self, key: &[u8]) -> Option<Kind> {
        let byte = key.strip_prefix(&self.prefix[..])?.get(2)?;
        Kind::OF_STEPS.into_iter().find(|kind| *kind as u8 == *byte)
    }

    /// The last part of a key from [`scoped`](Keys::scoped).
    pub(crate) fn scope_of<'k>(&self, id: &InstanceId, key: &'k [u8]) -> Option<&'k [u8]> {
        key.get(self.prefix.len() + 3 + id.as_str().len() + 1..)
    }

    /// The link from an instance to a child.
    pub(crate) fn child(&self, parent: &InstanceId, child: &InstanceId) -> Bytes {
        self.scoped(Kind::Child, parent, child.as_str().as_bytes())
    }

    /// The child of a key from [`child`](Keys::child).
    pub(crate) fn child_of(&self, parent: &InstanceId, key: &[u8]) -> Option<InstanceId> {
        InstanceId::new(std::str::from_utf8(self.scope_of(parent, key)?).ok()?).ok()
    }

    pub(crate) fn message(&self, id: &InstanceId, time_ms: u64, count: u64) -> Bytes {
        let mut key = self.numbered(Kind::Message, id, 16);
        key.put_u64(time_ms);
        key.put_u64(count);
        key.freeze()
    }

    /// A named request to the run of an instance that has this token.
    pub(crate) fn request(&self, id: &InstanceId, token: u64, name: &str) -> Bytes {
        let mut key = self.numbered(Kind::Request, id, 8 + name.len());
        key.put_u64(token);
        key.put_slice(name.as_bytes());
        key.freeze()
    }

    /// An update to the run of an instance that has this token.
    pub(crate) fn update(&self, id: &InstanceId, token: u64, request: &str) -> Bytes {
        let mut key = self.numbered(Kind::Update, id, 8 + request.len());
        key.put_u64(token);
        key.put_slice(request.as_bytes());
        key.freeze()
    }

    pub(crate) fn published(&self, id: &InstanceId, name: &str) -> Bytes {
        self.scoped(Kind::Published, id, name.as_bytes())
    }

    pub(crate) fn timer(&self, id: &InstanceId, due_ms: u64) -> Bytes {
        let mut key = self.start(self.shard(id), Kind::Timer, 8 + id.as_str().len());
        key.put_u64(due_ms);
        key.put_slice(id.as_str().as_bytes());
        key.freeze()
    }

    /// The lease record of a shard.
    pub(crate) fn lease(&self, shard: u16) -> Bytes {
        self.start(shard, Kind::Lease, 0).freeze()
    }

    /// The bell of a shard.
    pub(crate) fn bell(&self, shard: u16) -> Bytes {
        self.start(shard, Kind::Bell, 0).freeze()
    }

    // The cluster's own records: `w 02 namespace 00 kind rest`.

    fn cluster(&self, kind: u8, extra: usize) -> BytesMut {
        let mut key = BytesMut::with_capacity(self.prefix.len() + 1 + extra);
        key.put_slice(b"w\x02");
        key.put_slice(self.prefix.get(2..).unwrap_or_default());
        key.put_u8(kind);
        key
    }

    fn cluster_range(&self, kind: u8) -> Range<Bytes> {
        self.cluster(kind, 0).freeze()..self.cluster(kind + 1, 0).freeze()
    }

    /// What a node is.
    pub(crate) fn node(&self, number: u64) -> Bytes {
        let mut key = self.cluster(b'n', 8);
        key.put_u64(number);
        key.freeze()
    }

    /// A node's last heartbeat.
    pub(crate) fn beat(&self, number: u64) -> Bytes {
        let mut key = self.cluster(b'h', 8);
        key.put_u64(number);
        key.freeze()
    }

    /// All heartbeats.
    pub(crate) fn beats(&self) -> Range<Bytes> {
        self.cluster_range(b'h')
    }

    /// The number in a key from [`node`](Keys::node) or [`beat`](Keys::beat).
    pub(crate) fn number_of(key: &[u8]) -> Option<u64> {
        key.last_chunk::<8>().map(|number| u64::from_be_bytes(*number))
    }

    /// Changed by whoever changes the nodes, the leases or the orphans.
    pub(crate) fn roster(&self) -> Bytes {
        self.cluster(b'r', 0).freeze()
    }

    /// Says that an instance has a claim record.
    pub(crate) fn orphan(&self, id: &InstanceId) -> Bytes {
        let mut key = self.cluster(b'o', id.as_str().len());
        key.put_slice(id.as_str().as_bytes());
        key.freeze()
    }

    /// All orphans.
    pub(crate) fn orphans(&self) -> Range<Bytes> {
        self.cluster_range(b'o')
    }

    /// The instance of a key from [`orphan`](Keys::orphan).
    pub(crate) fn orphan_of(&self, key: &[u8]) -> Option<InstanceId> {
        let id = key.get(self.prefix.len() + 1..)?;
        InstanceId::new(std::str::from_utf8(id).ok()?).ok()
    }

    /// All numbered records of an instance.
    pub(crate) fn numbered_range(&self, kind: Kind, id: &InstanceId) -> Range<Bytes> {
        let start = self.numbered(kind, id, 0);
        let mut end = start.clone();
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        start.freeze()..end.freeze()
    }

    /// All records of a kind in a shard.
    pub(crate) fn range(&self, shard: u16, kind: Kind) -> Range<Bytes> {
        let start = self.start(shard, kind, 0);
        let mut end = start.clone();
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        start.freeze()..end.freeze()
    }

    /// The timers of a shard that are due at `now_ms`.
    pub(crate) fn due(&self, shard: u16, now_ms: u64) -> Range<Bytes> {
        let mut end = self.start(shard, Kind::Timer, 8);
        end.put_u64(now_ms.saturating_add(1));
        self.range(shard, Kind::Timer).start..end.freeze()
    }

    /// The last part of a key from [`of`](Keys::of): the instance's id.
    pub(crate) fn id_of(&self, key: &[u8]) -> Option<InstanceId> {
        let id = key.get(self.prefix.len() + 3..)?;
        InstanceId::new(std::str::from_utf8(id).ok()?).ok()
    }

    /// Time and instance of a timer's key.
    pub(crate) fn timer_of(&self, key: &[u8]) -> Option<(u64, InstanceId)> {
        let rest = key.get(self.prefix.len() + 3..)?;
        let (due, id) = rest.split_first_chunk::<8>()?;
        Some((
            u64::from_be_bytes(*due),
            InstanceId::new(std::str::from_utf8(id).ok()?).ok()?,
        ))
    }

    /// The number of a key from [`side`](Keys::side).
    pub(crate) fn side_of(key: &[u8]) -> Option<u32> {
        key.last_chunk::<4>().map(|number| u32::from_be_bytes(*number))
    }
}

/// FNV-1a, folded: stable over builds and platforms, which `std`'s hashers do not promise.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^ (hash >> 32)
}

/// The value of a ready record that a message changes: the end of the message's key, which no other message has.
pub(crate) fn nonce(message: &[u8]) -> Bytes {
    Bytes::copy_from_slice(&message[message.len().saturating_sub(16)..])
}

/// The smallest key behind `key`.
pub(crate) fn after(key: &[u8]) -> Bytes {
    let mut next = BytesMut::with_capacity(key.len() + 1);
    next.put_slice(key);
    next.put_u8(0);
    next.freeze()
}
