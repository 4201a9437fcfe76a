package main

import (
	"context"
	"errors"
	"io"

	"github.com/pingcap/kvproto/pkg/metapb"
	"github.com/pingcap/kvproto/pkg/pdpb"
	"github.com/pingcap/tidb/pkg/util/codec"
	"google.golang.org/grpc"
)

// pdService is the part of PD that clients of TiKV use: members, timestamps, regions, stores.
type pdService struct {
	pdpb.UnimplementedPDServer
	cluster *cluster
}

func registerPD(server *grpc.Server, service *pdService) {
	pdpb.RegisterPDServer(server, service)
}

// encodeKey gives the form in which PD and its clients name the bounds of regions.
func encodeKey(key []byte) []byte {
	return codec.EncodeBytes(nil, key)
}

func decodeKey(encoded []byte) ([]byte, error) {
	if len(encoded) == 0 {
		return nil, nil
	}
	_, key, err := codec.DecodeBytes(encoded, nil)
	return key, err
}

func header() *pdpb.ResponseHeader {
	return &pdpb.ResponseHeader{ClusterId: clusterID}
}

// GetMembers implements pdpb.PDServer.
func (s *pdService) GetMembers(context.Context, *pdpb.GetMembersRequest) (*pdpb.GetMembersResponse, error) {
	member := &pdpb.Member{Name: "pd", MemberId: 1, ClientUrls: []string{"http://" + s.cluster.pd.address()}}
	return &pdpb.GetMembersResponse{
		Header: header(), Members: []*pdpb.Member{member}, Leader: member, EtcdLeader: member,
	}, nil
}

// Tso implements pdpb.PDServer.
func (s *pdService) Tso(stream pdpb.PD_TsoServer) error {
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.cluster.faults.beforeStream("Tso"); err != nil {
			return err
		}
		physical, logical, err := s.cluster.clock.take(int64(request.Count))
		if err != nil {
			return err
		}
		response := &pdpb.TsoResponse{
			Header: header(), Count: request.Count, Timestamp: &pdpb.Timestamp{Physical: physical, Logical: logical},
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func regionResponse(region *metapb.Region, leader *metapb.Peer) *pdpb.GetRegionResponse {
	return &pdpb.GetRegionResponse{Header: header(), Region: region, Leader: leader}
}

// GetRegion implements pdpb.PDServer.
func (s *pdService) GetRegion(_ context.Context, request *pdpb.GetRegionRequest) (*pdpb.GetRegionResponse, error) {
	return regionResponse(s.cluster.engine.regionOf(request.RegionKey)), nil
}

// GetPrevRegion implements pdpb.PDServer.
func (s *pdService) GetPrevRegion(_ context.Context, request *pdpb.GetRegionRequest) (*pdpb.GetRegionResponse, error) {
	return regionResponse(s.cluster.engine.regions.GetRegionByEndKey(request.RegionKey)), nil
}

// GetRegionByID implements pdpb.PDServer.
func (s *pdService) GetRegionByID(ctx context.Context, request *pdpb.GetRegionByIDRequest) (*pdpb.GetRegionResponse, error) {
	region, err := s.cluster.engine.pd.GetRegionByID(ctx, request.RegionId)
	if err != nil || region == nil {
		return regionResponse(nil, nil), err
	}
	return regionResponse(region.Meta, region.Leader), nil
}

// ScanRegions implements pdpb.PDServer.
func (s *pdService) ScanRegions(_ context.Context, request *pdpb.ScanRegionsRequest) (*pdpb.ScanRegionsResponse, error) {
	start := request.StartKey
	if len(start) == 0 {
		start = []byte{0}
	}
	response := &pdpb.ScanRegionsResponse{Header: header()}
	for _, region := range s.cluster.engine.regions.ScanRegions(start, request.EndKey, int(request.Limit)) {
		response.Regions = append(response.Regions, &pdpb.Region{Region: region.Meta, Leader: region.Leader})
		response.RegionMetas = append(response.RegionMetas, region.Meta)
		response.Leaders = append(response.Leaders, region.Leader)
	}
	return response, nil
}

// GetStore implements pdpb.PDServer.
func (s *pdService) GetStore(_ context.Context, request *pdpb.GetStoreRequest) (*pdpb.GetStoreResponse, error) {
	response := &pdpb.GetStoreResponse{Header: header()}
	for _, store := range s.cluster.engine.regions.GetAllStores() {
		if store.Id == request.StoreId {
			response.Store = store
			return response, nil
		}
	}
	response.Header.Error = &pdpb.Error{Type: pdpb.ErrorType_UNKNOWN, Message: "no such store"}
	return response, nil
}

// GetAllStores implements pdpb.PDServer.
func (s *pdService) GetAllStores(context.Context, *pdpb.GetAllStoresRequest) (*pdpb.GetAllStoresResponse, error) {
	return &pdpb.GetAllStoresResponse{Header: header(), Stores: s.cluster.engine.regions.GetAllStores()}, nil
}

// AllocID implements pdpb.PDServer.
func (s *pdService) AllocID(context.Context, *pdpb.AllocIDRequest) (*pdpb.AllocIDResponse, error) {
	return &pdpb.AllocIDResponse{Header: header(), Id: s.cluster.engine.regions.AllocID()}, nil
}

// IsBootstrapped implements pdpb.PDServer.
func (s *pdService) IsBootstrapped(context.Context, *pdpb.IsBootstrappedRequest) (*pdpb.IsBootstrappedResponse, error) {
	return &pdpb.IsBootstrappedResponse{Header: header(), Bootstrapped: true}, nil
}

// GetGCSafePoint implements pdpb.PDServer.
func (s *pdService) GetGCSafePoint(ctx context.Context, _ *pdpb.GetGCSafePointRequest) (*pdpb.GetGCSafePointResponse, error) {
	point, err := s.cluster.engine.pd.GetGCSafePoint(ctx)
	return &pdpb.GetGCSafePointResponse{Header: header(), SafePoint: point}, err
}

// UpdateGCSafePoint implements pdpb.PDServer. Nothing is collected here: the point is only kept.
func (s *pdService) UpdateGCSafePoint(ctx context.Context, request *pdpb.UpdateGCSafePointRequest) (*pdpb.UpdateGCSafePointResponse, error) {
	point, err := s.cluster.engine.pd.UpdateGCSafePoint(ctx, request.SafePoint)
	return &pdpb.UpdateGCSafePointResponse{Header: header(), NewSafePoint: point}, err
}
