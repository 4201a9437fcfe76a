package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	logicalBits = 18
	// How far ahead of the clock the stored limit is: so often the file is written.
	clockWindowMs = 3000
)

// clock is the timestamp oracle. Time never goes back, not over a restart either: a file holds a limit that no
// timestamp has reached, and the next process begins there.
type clock struct {
	mutex    sync.Mutex
	file     string
	physical int64
	logical  int64
	limit    int64
}

func openClock(folder string) (*clock, error) {
	c := &clock{file: filepath.Join(folder, "tso")}
	return c, c.reopen()
}

func (c *clock) reopen() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	stored := int64(0)
	switch text, err := os.ReadFile(c.file); {
	case os.IsNotExist(err):
	case err != nil:
		return err
	default:
		if stored, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return err
		}
	}
	c.physical = max(time.Now().UnixMilli(), stored)
	c.logical = 0
	return c.extend()
}

// extend stores a new limit before time comes near the old one.
func (c *clock) extend() error {
	c.limit = c.physical + clockWindowMs
	temporary := c.file + ".new"
	file, err := os.Create(temporary)
	if err != nil {
		return err
	}
	_, err = file.WriteString(strconv.FormatInt(c.limit, 10) + "\n")
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(temporary, c.file)
}

// take hands out count timestamps in a row and returns the last one.
func (c *clock) take(count int64) (physical, logical int64, err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if now := time.Now().UnixMilli(); now > c.physical {
		c.physical, c.logical = now, 0
	}
	if c.logical+count >= 1<<logicalBits {
		c.physical, c.logical = c.physical+1, 0
	}
	c.logical += count
	if c.physical+clockWindowMs/2 > c.limit {
		if err := c.extend(); err != nil {
			return 0, 0, err
		}
	}
	return c.physical, c.logical, nil
}

func composeTimestamp(physical, logical int64) uint64 {
	return uint64(physical)<<logicalBits + uint64(logical)
}
