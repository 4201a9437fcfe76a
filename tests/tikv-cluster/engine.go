package main

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/pingcap/badger"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/config"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/lockstore"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/tikv"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/tikv/mvcc"
)

const (
	// A lock holds the value that its transaction writes, and must fit into one block of the lock store.
	lockBlockBytes = 32 << 20
	memtableBytes  = 64 << 20
)

// engine is unistore over its database.
type engine struct {
	server  *tikv.Server
	regions *tikv.MockRegionManager
	pd      *tikv.MockPD
	latest  *latestRead
}

// onePhasePD gives the commit timestamps of one-phase commits, as TiKV chooses them: the one behind the latest timestamp
// that this node has read with.
type onePhasePD struct {
	*tikv.MockPD
	latest *latestRead
}

func (pd onePhasePD) GetTS(context.Context) (int64, int64, error) {
	next := pd.latest.timestamp.Load() + 1
	return int64(next >> logicalBits), int64(next & (1<<logicalBits - 1)), nil
}

// latestRead is the latest timestamp that something was read with. A request notes its own before it looks for commits
// that are under way; a commit is registered before it takes its timestamp. So either the request waits for the commit,
// or the commit comes behind it.
type latestRead struct{ timestamp atomic.Uint64 }

func (l *latestRead) note(timestamp uint64) {
	for {
		latest := l.timestamp.Load()
		// The greatest number stands for the newest data, not for a time.
		if timestamp <= latest || timestamp == math.MaxUint64 || l.timestamp.CompareAndSwap(latest, timestamp) {
			return
		}
	}
}

func openEngine(folder string, sync bool, clock *clock, address string) (*engine, error) {
	folder = filepath.Join(folder, "kv")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	database, err := badger.Open(databaseOptions(folder, sync))
	if err != nil {
		return nil, err
	}
	physical, logical, err := clock.take(1)
	if err != nil {
		return nil, err
	}
	bundle := &mvcc.DBBundle{
		DB:        database,
		LockStore: lockstore.NewMemStore(lockBlockBytes),
		StateTS:   composeTimestamp(physical, logical),
	}
	if err := loadLocks(bundle); err != nil {
		return nil, err
	}
	regions, err := tikv.NewMockRegionManager(bundle, clusterID, tikv.RegionOptions{StoreAddr: address})
	if err != nil {
		return nil, err
	}
	e := &engine{regions: regions, pd: tikv.NewMockPD(regions), latest: &latestRead{}}
	e.latest.note(bundle.StateTS)
	if err := e.bootstrap(address); err != nil {
		return nil, err
	}
	settings := config.DefaultConf
	settings.Engine.DBPath = folder
	settings.Server.StoreAddr = address
	writer, pd := newLockingWriter(bundle), onePhasePD{e.pd, e.latest}
	store := tikv.NewMVCCStore(&settings, bundle, folder, &tikv.SafePoint{}, writer, pd)
	store.DeadlockDetectSvr.ChangeRole(tikv.Leader)
	store.StartDeadlockDetection(false)
	e.server = tikv.NewServer(regions, store, tikv.NewStandAlongInnerServer(bundle))
	return e, nil
}

func databaseOptions(folder string, sync bool) badger.Options {
	options := badger.DefaultOptions
	options.ManagedTxns = true
	options.Dir = folder
	options.ValueDir = folder
	options.SyncWrites = sync
	options.MaxMemTableSize = memtableBytes
	options.ValueLogWriteOptions.WriteBufferSize = 4 << 20
	// Unistore's own compaction filter takes keys that begin with `n` or `u` for TiDB's bookkeeping and drops them.
	// Without a filter nothing is dropped.
	options.CompactionFilterFactory = nil
	return options
}

// bootstrap makes the first regions, or tells the stored ones where the node listens now.
func (e *engine) bootstrap(address string) error {
	store := &metapb.Store{Id: storeID, Address: address, State: metapb.StoreState_Up, Version: "8.5.0"}
	bootstrapped, err := e.regions.IsBootstrapped()
	if err != nil {
		return err
	}
	if bootstrapped {
		return e.pd.PutStore(context.Background(), store)
	}
	region := &metapb.Region{
		Id:          2,
		RegionEpoch: &metapb.RegionEpoch{ConfVer: 1, Version: 1},
		Peers:       []*metapb.Peer{{Id: 3, StoreId: storeID}},
	}
	if err := e.regions.Bootstrap([]*metapb.Store{store}, region); err != nil {
		return err
	}
	// AllocID must not give these numbers again.
	for e.regions.AllocID() < 3 {
	}
	// The database keeps its own records, the locks among them, behind the byte ff. A region that was loaded from the
	// disk does not know that it must not read them, so none that holds data may reach so far.
	_, err = e.split([]byte{0xfe})
	return err
}

// split splits the region that holds the key, so that a region begins with it.
func (e *engine) split(key []byte) ([]*metapb.Region, error) {
	// Another split may come in between.
	for {
		region, peer := e.regionOf(encodeKey(key))
		response := e.regions.SplitRegion(&kvrpcpb.SplitRegionRequest{
			Context:   &kvrpcpb.Context{RegionId: region.Id, RegionEpoch: region.RegionEpoch, Peer: peer},
			SplitKeys: [][]byte{key},
		})
		switch failure := response.RegionError; {
		case failure == nil:
			return response.Regions, nil
		case failure.EpochNotMatch == nil && failure.RegionNotFound == nil:
			return nil, errors.New(failure.Message)
		}
	}
}

// regionOf finds the region of a key in the form that PD and its clients use.
func (e *engine) regionOf(encoded []byte) (*metapb.Region, *metapb.Peer) {
	if len(encoded) == 0 {
		// The region manager takes an empty key for the end of all keys.
		encoded = []byte{0}
	}
	region, peer, _, _ := e.regions.GetRegionByKey(encoded)
	return region, peer
}

func (e *engine) listRegions() []*metapb.Region {
	found := e.regions.ScanRegions([]byte{0}, nil, math.MaxInt)
	regions := make([]*metapb.Region, len(found))
	for index, region := range found {
		regions[index] = region.Meta
	}
	return regions
}

func (e *engine) close() {
	e.server.Stop()
}
