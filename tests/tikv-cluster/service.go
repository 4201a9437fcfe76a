package main

import (
	"context"
	"fmt"

	"github.com/pingcap/kvproto/pkg/errorpb"
	"github.com/pingcap/kvproto/pkg/kvrpcpb"
	"github.com/pingcap/kvproto/pkg/tikvpb"
	"github.com/pingcap/tidb/pkg/store/mockstore/unistore/tikv"
	"google.golang.org/grpc"
)

// TiKV's `raft-entry-max-size`. Unistore would crash on values beyond it.
const maxEntryBytes = 8 << 20

// tikvService serves unistore with what TiKV does and unistore does not.
type tikvService struct {
	*tikv.Server
	onePhase *inFlight
	latest   *latestRead
}

func newTikvService(engine *engine) *tikvService {
	return &tikvService{Server: engine.server, onePhase: newInFlight(), latest: engine.latest}
}

func registerStore(server *grpc.Server, service *tikvService) {
	tikvpb.RegisterTikvServer(server, service)
}

// KvGet implements tikvpb.TikvServer. Unistore never says that a key has no value.
func (s *tikvService) KvGet(ctx context.Context, request *kvrpcpb.GetRequest) (*kvrpcpb.GetResponse, error) {
	s.latest.note(request.Version)
	s.onePhase.waitForKeys([][]byte{request.Key})
	response, err := s.Server.KvGet(ctx, request)
	if err == nil && response.Error == nil && response.RegionError == nil {
		response.NotFound = len(response.Value) == 0
	}
	return response, err
}

// KvBatchGet implements tikvpb.TikvServer.
func (s *tikvService) KvBatchGet(ctx context.Context, request *kvrpcpb.BatchGetRequest) (*kvrpcpb.BatchGetResponse, error) {
	s.latest.note(request.Version)
	s.onePhase.waitForKeys(request.Keys)
	return s.Server.KvBatchGet(ctx, request)
}

// KvScan implements tikvpb.TikvServer.
func (s *tikvService) KvScan(ctx context.Context, request *kvrpcpb.ScanRequest) (*kvrpcpb.ScanResponse, error) {
	start, end := request.StartKey, request.EndKey
	if request.Reverse {
		start, end = end, start
	}
	s.latest.note(request.Version)
	s.onePhase.waitForRange(start, end)
	return s.Server.KvScan(ctx, request)
}

// KvPrewrite implements tikvpb.TikvServer.
func (s *tikvService) KvPrewrite(ctx context.Context, request *kvrpcpb.PrewriteRequest) (*kvrpcpb.PrewriteResponse, error) {
	keys := make([][]byte, len(request.Mutations))
	for index, mutation := range request.Mutations {
		keys[index] = mutation.Key
		if size := len(mutation.Key) + len(mutation.Value); size > maxEntryBytes {
			return &kvrpcpb.PrewriteResponse{RegionError: &errorpb.Error{
				Message: fmt.Sprintf("an entry of %d bytes", size),
				RaftEntryTooLarge: &errorpb.RaftEntryTooLarge{
					RegionId: request.Context.GetRegionId(), EntrySize: uint64(size),
				},
			}}, nil
		}
	}
	s.latest.note(request.StartVersion)
	if request.TryOnePc || request.UseAsyncCommit {
		defer s.onePhase.begin(keys)()
	} else {
		s.onePhase.waitForKeys(keys)
	}
	return s.Server.KvPrewrite(ctx, request)
}
