// Command tikv-cluster serves the TiKV protocol from one process, for tests: unistore (the store that TiDB's own tests
// run on) as the TiKV node, a small front as PD, and an admin port that splits regions, injects faults and restarts
// either of them.
//
// It is a fixture, not TiKV: one node, no replication, no Raft. What it keeps is what clients rely on: Percolator
// transactions, durable across a kill of the process, over regions that split.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/pingcap/log"
)

func main() {
	data := flag.String("data", "", "folder of the data; created where it is missing (required)")
	pdPort := flag.Int("pd-port", 0, "port of PD; 0 takes a free one")
	storePort := flag.Int("store-port", 0, "port of the TiKV node; 0 takes a free one")
	adminPort := flag.Int("admin-port", 0, "port of the admin interface (HTTP); 0 takes a free one")
	sync := flag.Bool("sync", false, "sync each group of writes to the disk before it is answered")
	withStdin := flag.Bool("with-stdin", false, "end when the standard input ends, so that no test leaves a cluster behind")
	flag.Parse()
	if *data == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: tikv-cluster -data FOLDER [options]")
		flag.PrintDefaults()
		os.Exit(2)
	}
	if err := run(*data, *pdPort, *storePort, *adminPort, *sync, *withStdin); err != nil {
		fmt.Fprintln(os.Stderr, "tikv-cluster:", err)
		os.Exit(1)
	}
}

func run(data string, pdPort, storePort, adminPort int, sync, withStdin bool) error {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return err
	}
	if err := logTo(filepath.Join(data, "log")); err != nil {
		return err
	}
	cluster, err := startCluster(clusterConfig{
		data: data, pdPort: pdPort, storePort: storePort, sync: sync,
	})
	if err != nil {
		return err
	}
	admin, err := startAdmin(cluster, adminPort)
	if err != nil {
		return err
	}
	fmt.Printf("ready pd=%s store=%s admin=%s\n", cluster.pd.address(), cluster.store.address(), admin)

	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	if withStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			end <- syscall.SIGTERM
		}()
	}
	<-end
	cluster.stop()
	return nil
}

// The libraries log to the standard output unless told; the ready line must stand alone there.
func logTo(file string) error {
	logger, properties, err := log.InitLogger(&log.Config{Level: "warn", File: log.FileLogConfig{Filename: file}})
	if err != nil {
		return err
	}
	log.ReplaceGlobals(logger, properties)
	return nil
}
