package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The longest time that a fault or a restart may take.
const maxPause = 60 * time.Second

type admin struct{ cluster *cluster }

// startAdmin serves the admin interface and returns its address.
//
//	GET  /stats                                   requests by name, injected and pending faults
//	GET  /regions                                 regions with their bounds, in hexadecimal
//	POST /split?key=HEX                           a region begins with the key
//	POST /fault?rpc=NAME&kind=KIND&count=N&skip=N&ms=N
//	POST /clear                                   forgets the pending faults
//	POST /restart?service=store|pd&ms=N           breaks all connections, and listens again after a while
func startAdmin(cluster *cluster, port int) (string, error) {
	socket, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return "", err
	}
	a := &admin{cluster: cluster}
	routes := http.NewServeMux()
	routes.HandleFunc("GET /stats", a.stats)
	routes.HandleFunc("GET /regions", a.regions)
	routes.HandleFunc("POST /split", checked(a.split))
	routes.HandleFunc("POST /fault", checked(a.fault))
	routes.HandleFunc("POST /clear", checked(a.clear))
	routes.HandleFunc("POST /restart", checked(a.restart))
	go func() { _ = http.Serve(socket, routes) }()
	return socket.Addr().String(), nil
}

// checked turns an error into an answer with its text.
func checked(handle func(*http.Request) error) http.HandlerFunc {
	return func(writer http.ResponseWriter, request *http.Request) {
		if err := handle(request); err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintln(writer, "done")
	}
}

func (a *admin) stats(writer http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(writer).Encode(a.cluster.faults.statistics())
}

func (a *admin) regions(writer http.ResponseWriter, _ *http.Request) {
	type line struct {
		ID    uint64 `json:"id"`
		Start string `json:"start"`
		End   string `json:"end"`
	}
	lines := []line{}
	for _, region := range a.cluster.engine.listRegions() {
		start, startErr := decodeKey(region.StartKey)
		end, endErr := decodeKey(region.EndKey)
		if startErr != nil || endErr != nil {
			http.Error(writer, "a region's bound is not an encoded key", http.StatusInternalServerError)
			return
		}
		lines = append(lines, line{region.Id, hex.EncodeToString(start), hex.EncodeToString(end)})
	}
	_ = json.NewEncoder(writer).Encode(lines)
}

func (a *admin) split(request *http.Request) error {
	key, err := hex.DecodeString(request.FormValue("key"))
	if err != nil {
		return fmt.Errorf("the key %q is not in hexadecimal", request.FormValue("key"))
	}
	if len(key) == 0 || key[0] >= 0xfe {
		return fmt.Errorf("regions can begin with keys from 00 to fd ff.., not with %x", key)
	}
	_, err = a.cluster.engine.split(key)
	return err
}

func (a *admin) fault(request *http.Request) error {
	count, err := number(request, "count", 1)
	if err != nil {
		return err
	}
	skip, err := number(request, "skip", 0)
	if err != nil {
		return err
	}
	pause, err := milliseconds(request)
	if err != nil {
		return err
	}
	return a.cluster.faults.add(rule{
		RPC: request.FormValue("rpc"), Kind: request.FormValue("kind"), Count: count, Skip: skip, Time: pause,
	})
}

func (a *admin) clear(*http.Request) error {
	a.cluster.faults.clear()
	return nil
}

func (a *admin) restart(request *http.Request) error {
	pause, err := milliseconds(request)
	if err != nil {
		return err
	}
	switch service := request.FormValue("service"); service {
	case "store":
		return a.cluster.restartStore(pause)
	case "pd":
		return a.cluster.restartPD(pause)
	default:
		return fmt.Errorf("the service is %q, it must be store or pd", service)
	}
}

func number(request *http.Request, name string, otherwise int) (int, error) {
	text := request.FormValue(name)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 {
		return 0, fmt.Errorf("%s is %q, it must be a number", name, text)
	}
	return value, nil
}

func milliseconds(request *http.Request) (time.Duration, error) {
	value, err := number(request, "ms", 0)
	pause := time.Duration(value) * time.Millisecond
	if pause > maxPause {
		return 0, fmt.Errorf("ms is %d, the limit is %d", value, maxPause.Milliseconds())
	}
	return pause, err
}
