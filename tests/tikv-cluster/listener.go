package main

import (
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
)

// Larger than any request of a client whose transactions are within TiKV's limits.
const maxRequestBytes = 256 << 20

// listener is a loopback port that outlives the server behind it.
type listener struct {
	port   int
	socket net.Listener
	server *grpc.Server
}

func newListener(port int) *listener {
	return &listener{port: port}
}

// open takes the port: the one that was asked for, or the one that it had before.
func (l *listener) open() error {
	var err error
	// The port of a server that has just ended may be taken for a moment.
	for attempt := 0; attempt < 50; attempt++ {
		l.socket, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", l.port))
		if err == nil {
			l.port = l.socket.Addr().(*net.TCPAddr).Port
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func (l *listener) address() string {
	return fmt.Sprintf("127.0.0.1:%d", l.port)
}

func (l *listener) serve(server *grpc.Server) {
	l.server = server
	socket := l.socket
	// It ends with an error when the server is stopped; the process lives on.
	go func() { _ = server.Serve(socket) }()
}

// close breaks all connections.
func (l *listener) close() {
	if l.server != nil {
		l.server.Stop()
		l.server = nil
	}
}

func newServer(faults *faults) *grpc.Server {
	return grpc.NewServer(
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.UnaryInterceptor(faults.intercept),
	)
}
