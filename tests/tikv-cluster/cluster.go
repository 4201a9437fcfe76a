package main

import (
	"fmt"
	"sync"
	"time"
)

// The identifiers of the only cluster, and of the parts that it is created with.
const (
	clusterID = 7_201_908_001
	storeID   = 1
)

type clusterConfig struct {
	data      string
	pdPort    int
	storePort int
	sync      bool
}

// cluster is one TiKV node and its PD. The two listen on ports of their own and can be restarted one by one.
type cluster struct {
	config clusterConfig
	clock  *clock
	faults *faults
	engine *engine
	pd     *listener
	store  *listener

	// Restarts and the end of the process exclude each other.
	restarting sync.Mutex
}

func startCluster(config clusterConfig) (*cluster, error) {
	clock, err := openClock(config.data)
	if err != nil {
		return nil, err
	}
	c := &cluster{config: config, clock: clock, faults: newFaults()}
	c.pd = newListener(config.pdPort)
	c.store = newListener(config.storePort)
	// The node's address is part of what PD tells, so both ports are taken before anything is served.
	for _, listener := range []*listener{c.pd, c.store} {
		if err := listener.open(); err != nil {
			return nil, err
		}
	}
	if err := c.openEngine(); err != nil {
		return nil, err
	}
	c.servePD()
	c.serveStore()
	return c, nil
}

func (c *cluster) openEngine() error {
	engine, err := openEngine(c.config.data, c.config.sync, c.clock, c.store.address())
	if err != nil {
		return fmt.Errorf("open the store in %s: %w", c.config.data, err)
	}
	c.engine = engine
	return nil
}

func (c *cluster) servePD() {
	server := newServer(c.faults)
	registerPD(server, &pdService{cluster: c})
	c.pd.serve(server)
}

func (c *cluster) serveStore() {
	server := newServer(c.faults)
	registerStore(server, newTikvService(c.engine))
	c.store.serve(server)
}

// restartStore breaks all connections, closes the database, and opens it again from its folder after a pause.
func (c *cluster) restartStore(down time.Duration) error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	c.store.close()
	c.engine.close()
	time.Sleep(down)
	if err := c.store.open(); err != nil {
		return err
	}
	if err := c.openEngine(); err != nil {
		return err
	}
	c.serveStore()
	return nil
}

// restartPD breaks all connections to PD and takes new ones after a pause. The clock goes on from its stored limit, as
// after the death of the process.
func (c *cluster) restartPD(down time.Duration) error {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	c.pd.close()
	time.Sleep(down)
	if err := c.clock.reopen(); err != nil {
		return err
	}
	if err := c.pd.open(); err != nil {
		return err
	}
	c.servePD()
	return nil
}

func (c *cluster) stop() {
	c.restarting.Lock()
	c.pd.close()
	c.store.close()
	c.engine.close()
}
