package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/pingcap/kvproto/pkg/kvrpcpb"
)

func (e *engine) contextOf(key []byte) *kvrpcpb.Context {
	region, peer := e.regionOf(encodeKey(key))
	return &kvrpcpb.Context{RegionId: region.Id, RegionEpoch: region.RegionEpoch, Peer: peer}
}

func openTestEngine(t *testing.T, folder string) (*engine, *clock) {
	t.Helper()
	clock, err := openClock(folder)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := openEngine(folder, true, clock, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	return engine, clock
}

func timestamp(t *testing.T, clock *clock) uint64 {
	t.Helper()
	physical, logical, err := clock.take(1)
	if err != nil {
		t.Fatal(err)
	}
	return composeTimestamp(physical, logical)
}

// write prewrites a key, and commits it if it is told so.
func write(t *testing.T, e *engine, clock *clock, key, value string, commits bool) {
	t.Helper()
	start := timestamp(t, clock)
	response, err := e.server.KvPrewrite(context.Background(), &kvrpcpb.PrewriteRequest{
		Context:      e.contextOf([]byte(key)),
		Mutations:    []*kvrpcpb.Mutation{{Op: kvrpcpb.Op_Put, Key: []byte(key), Value: []byte(value)}},
		PrimaryLock:  []byte(key),
		StartVersion: start,
		LockTtl:      3000,
	})
	if err != nil || response.RegionError != nil || len(response.Errors) > 0 {
		t.Fatalf("prewrite of %s: %v %v", key, response, err)
	}
	if !commits {
		return
	}
	committed, err := e.server.KvCommit(context.Background(), &kvrpcpb.CommitRequest{
		Context: e.contextOf([]byte(key)), Keys: [][]byte{[]byte(key)}, StartVersion: start, CommitVersion: timestamp(t, clock),
	})
	if err != nil || committed.RegionError != nil || committed.Error != nil {
		t.Fatalf("commit of %s: %v %v", key, committed, err)
	}
}

func read(t *testing.T, e *engine, clock *clock, key string) *kvrpcpb.GetResponse {
	t.Helper()
	response, err := e.server.KvGet(context.Background(), &kvrpcpb.GetRequest{
		Context: e.contextOf([]byte(key)), Key: []byte(key), Version: timestamp(t, clock),
	})
	if err != nil || response.RegionError != nil {
		t.Fatalf("get of %s: %v %v", key, response, err)
	}
	return response
}

// copyFolder copies files, logs without the zeros at their end, which are there in advance.
func copyFolder(t *testing.T, to, from string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if filepath.Ext(path) == ".vlog" {
			content = bytes.TrimRight(content, "\x00")
		}
		return os.WriteFile(target, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What was answered is in the folder, locks and regions too: a copy of it is what a kill leaves behind.
func TestNothingIsLostByKills(t *testing.T) {
	folder := t.TempDir()
	for life := 0; life < 4; life++ {
		engine, clock := openTestEngine(t, folder)
		if life == 0 {
			if _, err := engine.split([]byte("m")); err != nil {
				t.Fatal(err)
			}
		} else {
			if regions := engine.listRegions(); len(regions) != 3 {
				t.Fatalf("life %d: regions %v", life, regions)
			}
			for _, side := range []string{"a", "z"} {
				for number := 0; number < 20; number++ {
					key := fmt.Sprintf("%s%d", side, number)
					expected := fmt.Sprintf("%d", life*10+9)
					if found := string(read(t, engine, clock, key).Value); found != expected {
						t.Errorf("life %d: %s is %q, not %q", life, key, found, expected)
					}
				}
			}
			locked := read(t, engine, clock, fmt.Sprintf("locked %d", life-1))
			if locked.Error.GetLocked() == nil {
				t.Errorf("life %d: a lock is lost: %v", life, locked)
			}
		}
		for round := 0; round < 10; round++ {
			for _, side := range []string{"a", "z"} {
				for number := 0; number < 20; number++ {
					write(t, engine, clock, fmt.Sprintf("%s%d", side, number), fmt.Sprintf("%d", (life+1)*10+round), true)
				}
			}
		}
		write(t, engine, clock, fmt.Sprintf("locked %d", life), "x", false)
		// The old engine stays open, as dead as a killed one is for the copy.
		next := t.TempDir()
		copyFolder(t, filepath.Join(next, "copy"), folder)
		folder = filepath.Join(next, "copy")
	}
}
