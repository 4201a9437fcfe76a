package main

import (
	"context"
	"fmt"
	"path"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// What a rule does to a request.
const (
	// The request is carried out, its answer is lost.
	loseAnswer = "lose-answer"
	// The request is lost.
	loseRequest = "lose-request"
	// The caller is told at once that the connection broke; the request is carried out later all the same.
	late = "late"
	// Nothing is carried out and nothing is answered, until the caller gives up or the time is over.
	hang = "hang"
	// The request is carried out after a while.
	delay = "delay"
	// The node says that it has too much to do.
	busy = "busy"
	// The node says that it does not lead the region.
	notLeader = "not-leader"
)

var kinds = []string{loseAnswer, loseRequest, late, hang, delay, busy, notLeader}

// rule is a fault to inject: skip requests of the method pass, then count requests are hit.
type rule struct {
	RPC   string        `json:"rpc"`
	Kind  string        `json:"kind"`
	Skip  int           `json:"skip"`
	Count int           `json:"count"`
	Time  time.Duration `json:"time"`
}

// faults injects faults into requests, and counts the requests.
type faults struct {
	mutex    sync.Mutex
	rules    []*rule
	requests map[string]int
	injected int
}

func newFaults() *faults {
	return &faults{requests: map[string]int{}}
}

func (f *faults) add(r rule) error {
	if !slices.Contains(kinds, r.Kind) {
		return fmt.Errorf("the kind of a fault is %q, it must be one of %v", r.Kind, kinds)
	}
	if r.RPC == "" || r.Count < 1 || r.Skip < 0 {
		return fmt.Errorf("a fault needs an rpc, a count of at least 1 and no negative skip")
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.rules = append(f.rules, &r)
	return nil
}

func (f *faults) clear() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.rules = nil
}

type statistics struct {
	Requests map[string]int `json:"requests"`
	Injected int            `json:"injected"`
	Pending  int            `json:"pending"`
}

func (f *faults) statistics() statistics {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	requests := make(map[string]int, len(f.requests))
	for name, count := range f.requests {
		requests[name] = count
	}
	return statistics{Requests: requests, Injected: f.injected, Pending: len(f.rules)}
}

// next counts a request and gives the fault that hits it.
func (f *faults) next(rpc string) *rule {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.requests[rpc]++
	for index, r := range f.rules {
		if r.RPC != rpc {
			continue
		}
		if r.Skip > 0 {
			r.Skip--
			continue
		}
		r.Count--
		if r.Count == 0 {
			f.rules = slices.Delete(f.rules, index, index+1)
		}
		f.injected++
		return r
	}
	return nil
}

func broken() error {
	return status.Error(codes.Unavailable, "an injected fault broke the connection")
}

// intercept is a grpc.UnaryServerInterceptor.
func (f *faults) intercept(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	name := path.Base(info.FullMethod)
	r := f.next(name)
	if r == nil {
		return handler(ctx, request)
	}
	switch r.Kind {
	case loseAnswer:
		_, _ = handler(ctx, request)
		return nil, broken()
	case loseRequest:
		return nil, broken()
	case late:
		go func() {
			time.Sleep(r.Time)
			_, _ = handler(context.WithoutCancel(ctx), request)
		}()
		return nil, broken()
	case hang:
		pause(ctx, r.Time)
		return nil, broken()
	case delay:
		pause(ctx, r.Time)
		return handler(ctx, request)
	case busy:
		return withRegionError(name, &errorpb.Error{
			Message: "injected", ServerIsBusy: &errorpb.ServerIsBusy{Reason: "injected"},
		})
	default:
		return withRegionError(name, &errorpb.Error{Message: "injected", NotLeader: &errorpb.NotLeader{}})
	}
}

// beforeStream injects a fault into a request of a stream: it can be delayed, or the stream breaks.
func (f *faults) beforeStream(name string) error {
	r := f.next(name)
	if r == nil {
		return nil
	}
	time.Sleep(r.Time)
	if r.Kind == delay {
		return nil
	}
	return broken()
}

func pause(ctx context.Context, time_ time.Duration) {
	timer := time.NewTimer(time_)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// The answers that can carry a region's error.
var regional = map[string]reflect.Type{
	"KvGet":            reflect.TypeFor[kvrpcpb.GetResponse](),
	"KvBatchGet":       reflect.TypeFor[kvrpcpb.BatchGetResponse](),
	"KvScan":           reflect.TypeFor[kvrpcpb.ScanResponse](),
	"KvPrewrite":       reflect.TypeFor[kvrpcpb.PrewriteResponse](),
	"KvCommit":         reflect.TypeFor[kvrpcpb.CommitResponse](),
	"KvBatchRollback":  reflect.TypeFor[kvrpcpb.BatchRollbackResponse](),
	"KvCheckTxnStatus": reflect.TypeFor[kvrpcpb.CheckTxnStatusResponse](),
	"KvResolveLock":    reflect.TypeFor[kvrpcpb.ResolveLockResponse](),
}

func withRegionError(name string, failure *errorpb.Error) (any, error) {
	answer, known := regional[name]
	if !known {
		return nil, broken()
	}
	response := reflect.New(answer)
	response.Elem().FieldByName("RegionError").Set(reflect.ValueOf(failure))
	return response.Interface(), nil
}
