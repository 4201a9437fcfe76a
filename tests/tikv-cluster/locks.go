package main

import (
	"bytes"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/pingcap/badger"
	"github.com/pingcap/badger/y"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/tikv/mvcc"
)

// Unistore keeps locks in memory alone, so that a kill of the process tears the transactions that were between their two
// phases: the primary is committed, and the locks of the secondaries are gone. lockingWriter writes each change of a lock
// into the same database transaction as the data that goes with it, and loadLocks brings the locks back.

// Behind all user keys, beside unistore's own records.
var lockPrefix = []byte("\xfflock/")

func lockKey(key []byte) []byte {
	return append(append([]byte{}, lockPrefix...), key...)
}

// loadLocks fills the lock store from the database.
func loadLocks(bundle *mvcc.DBBundle) error {
	return bundle.DB.View(func(txn *badger.Txn) error {
		iterator := txn.NewIterator(badger.DefaultIteratorOptions)
		defer iterator.Close()
		for iterator.Seek(lockPrefix); iterator.ValidForPrefix(lockPrefix); iterator.Next() {
			item := iterator.Item()
			lock, err := item.ValueCopy(nil)
			if err != nil {
				return err
			}
			bundle.LockStore.Put(bytes.TrimPrefix(item.KeyCopy(nil), lockPrefix), lock)
		}
		return nil
	})
}

type lockChange struct {
	key []byte
	// Nil removes the lock.
	lock []byte
}

// writeBatch collects what one request changes.
type writeBatch struct {
	writer   *lockingWriter
	startTS  uint64
	commitTS uint64
	entries  []*badger.Entry
	locks    []lockChange
}

var _ mvcc.WriteBatch = (*writeBatch)(nil)

func (b *writeBatch) put(key []byte, version uint64, value []byte, meta mvcc.DBUserMeta) {
	b.entries = append(b.entries, &badger.Entry{Key: y.KeyWithTs(key, version), Value: value, UserMeta: meta})
}

func (b *writeBatch) setLock(key []byte, lock *mvcc.Lock) {
	change := lockChange{key: bytes.Clone(key), lock: lock.MarshalBinary()}
	b.locks = append(b.locks, change)
}

func (b *writeBatch) removeLock(key []byte) {
	// A one-phase commit has no locks: nothing to remove, and no tombstones to heap up. The key's latch is held.
	if len(b.writer.bundle.LockStore.Get(key, nil)) > 0 {
		b.locks = append(b.locks, lockChange{key: bytes.Clone(key)})
	}
}

// Prewrite implements mvcc.WriteBatch.
func (b *writeBatch) Prewrite(key []byte, lock *mvcc.Lock) { b.setLock(key, lock) }

// Commit implements mvcc.WriteBatch.
func (b *writeBatch) Commit(key []byte, lock *mvcc.Lock) {
	meta := mvcc.NewDBUserMeta(b.startTS, b.commitTS)
	switch kvrpcpb.Op(lock.Op) {
	case kvrpcpb.Op_PessimisticLock:
		// It was never prewritten: there is nothing to write.
	case kvrpcpb.Op_Lock:
		// Only the primary's record is needed, by those who ask what became of the transaction.
		if bytes.Equal(key, lock.Primary) {
			b.put(mvcc.EncodeExtraTxnStatusKey(key, b.startTS), b.startTS, nil, meta)
		}
	default:
		b.put(bytes.Clone(key), b.commitTS, lock.Value, meta)
	}
	b.removeLock(key)
}

// Rollback implements mvcc.WriteBatch.
func (b *writeBatch) Rollback(key []byte, deleteLock bool) {
	b.put(mvcc.EncodeExtraTxnStatusKey(key, b.startTS), b.startTS, nil, mvcc.NewDBUserMeta(b.startTS, 0))
	if deleteLock {
		b.removeLock(key)
	}
}

// PessimisticLock implements mvcc.WriteBatch.
func (b *writeBatch) PessimisticLock(key []byte, lock *mvcc.Lock) { b.setLock(key, lock) }

// PessimisticRollback implements mvcc.WriteBatch.
func (b *writeBatch) PessimisticRollback(key []byte) { b.removeLock(key) }

// lockingWriter commits each batch in a database transaction of its own. The database writes and syncs those together
// that come at once.
//
// A database transaction must not hold two batches: when the database is opened after a kill, all entries of one of its
// transactions get the timestamps of the last entry. Those of one batch are the same.
type lockingWriter struct {
	bundle *mvcc.DBBundle
	// The lock store takes one writer at a time.
	mutex sync.Mutex
}

var _ mvcc.DBWriter = (*lockingWriter)(nil)

func newLockingWriter(bundle *mvcc.DBBundle) *lockingWriter {
	return &lockingWriter{bundle: bundle}
}

// Open implements mvcc.DBWriter.
func (w *lockingWriter) Open() {}

// Close implements mvcc.DBWriter.
func (w *lockingWriter) Close() {}

// NewWriteBatch implements mvcc.DBWriter.
func (w *lockingWriter) NewWriteBatch(startTS, commitTS uint64, _ *kvrpcpb.Context) mvcc.WriteBatch {
	return &writeBatch{writer: w, startTS: startTS, commitTS: commitTS}
}

// DeleteRange implements mvcc.DBWriter.
func (w *lockingWriter) DeleteRange([]byte, []byte, mvcc.LatchHandle) error {
	return errors.New("deleting ranges is not served")
}

// Write implements mvcc.DBWriter. The caller holds the latches of the batch's keys, so no other batch has one of them.
func (w *lockingWriter) Write(batch mvcc.WriteBatch) error {
	b := batch.(*writeBatch)
	if len(b.entries) == 0 && len(b.locks) == 0 {
		return nil
	}
	if err := w.bundle.DB.Update(b.write); err != nil {
		return err
	}
	// Data first, then the locks: a reader looks at the locks first, so it misses neither.
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, change := range b.locks {
		if change.lock == nil {
			w.bundle.LockStore.Delete(change.key)
		} else {
			w.bundle.LockStore.Put(change.key, change.lock)
		}
	}
	return nil
}

func (b *writeBatch) write(txn *badger.Txn) error {
	for _, entry := range b.entries {
		if err := txn.SetEntry(entry); err != nil {
			return err
		}
	}
	for _, change := range b.locks {
		version := atomic.AddUint64(&b.writer.bundle.StateTS, 1)
		entry := &badger.Entry{Key: y.KeyWithTs(lockKey(change.key), version), Value: change.lock}
		if change.lock == nil {
			entry.SetDelete()
		}
		if err := txn.SetEntry(entry); err != nil {
			return err
		}
	}
	return nil
}
