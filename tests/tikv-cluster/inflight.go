package main

import (
	"bytes"
	"sync"
)

// inFlight knows the keys of one-phase and async commits that are under way.
//
// Such a commit takes no lock in unistore: between the moment when it chose its commit timestamp and the moment when the
// database has it, a reader with a later timestamp sees the old value, and a transaction that is built on that read
// overwrites the commit. TiKV has locks in memory for this. Here readers and writers wait.
//
// It suffices to wait for what was under way when the request came: a commit that begins later takes a commit timestamp
// behind that of the request (see latestRead).
type inFlight struct {
	mutex   sync.Mutex
	commits map[*commit]struct{}
}

type commit struct {
	keys  [][]byte
	ended chan struct{}
}

func newInFlight() *inFlight {
	return &inFlight{commits: map[*commit]struct{}{}}
}

// begin waits for the commits on these keys and registers a new one in the same moment. The result ends it.
func (f *inFlight) begin(keys [][]byte) func() {
	own := &commit{keys: keys, ended: make(chan struct{})}
	wanted := keySet(keys)
	for {
		f.mutex.Lock()
		other := f.find(func(key []byte) bool { return wanted[string(key)] })
		if other == nil {
			f.commits[own] = struct{}{}
			f.mutex.Unlock()
			break
		}
		f.mutex.Unlock()
		<-other.ended
	}
	return func() {
		f.mutex.Lock()
		delete(f.commits, own)
		f.mutex.Unlock()
		close(own.ended)
	}
}

func (f *inFlight) waitForKeys(keys [][]byte) {
	wanted := keySet(keys)
	f.wait(func(key []byte) bool { return wanted[string(key)] })
}

// waitForRange waits for the keys from start on, and before end unless it is empty.
func (f *inFlight) waitForRange(start, end []byte) {
	f.wait(func(key []byte) bool {
		return bytes.Compare(start, key) <= 0 && (len(end) == 0 || bytes.Compare(key, end) < 0)
	})
}

func (f *inFlight) wait(concerns func(key []byte) bool) {
	var concerned []*commit
	f.mutex.Lock()
	for commit := range f.commits {
		if commit.hasKey(concerns) {
			concerned = append(concerned, commit)
		}
	}
	f.mutex.Unlock()
	for _, commit := range concerned {
		<-commit.ended
	}
}

func (f *inFlight) find(concerns func(key []byte) bool) *commit {
	for commit := range f.commits {
		if commit.hasKey(concerns) {
			return commit
		}
	}
	return nil
}

func (c *commit) hasKey(concerns func(key []byte) bool) bool {
	for _, key := range c.keys {
		if concerns(key) {
			return true
		}
	}
	return false
}

func keySet(keys [][]byte) map[string]bool {
	set := make(map[string]bool, len(keys))
	for _, key := range keys {
		set[string(key)] = true
	}
	return set
}
