package controlplane

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// clusterSuffix ends the names of Services: SERVICE.NAMESPACE.svc.cluster.local.
const clusterSuffix = ".svc.cluster.local."

// dnsServer answers for the names of Services, as a cluster's DNS does. It asks the API
// server for each, and nobody for other names.
type dnsServer struct {
	c       *ControlPlane
	packets net.PacketConn
	streams net.Listener
}

// serveDNS serves on the bridge, where pods look for it.
func (c *ControlPlane) serveDNS(ctx context.Context) (*dnsServer, error) {
	var listen net.ListenConfig
	packets, err := listen.ListenPacket(ctx, "udp", podBridgeIP+":53")
	if err != nil {
		return nil, fmt.Errorf("serving DNS: %w", err)
	}
	streams, err := listen.Listen(ctx, "tcp", podBridgeIP+":53")
	if err != nil {
		packets.Close()
		return nil, fmt.Errorf("serving DNS: %w", err)
	}
	s := &dnsServer{c: c, packets: packets, streams: streams}
	go s.servePackets()
	go s.serveStreams()
	return s, nil
}

// Close ends the server.
func (s *dnsServer) Close() error {
	s.packets.Close()
	return s.streams.Close()
}

func (s *dnsServer) servePackets() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := s.packets.ReadFrom(buffer)
		if err != nil {
			return
		}
		query := append([]byte(nil), buffer[:n]...)
		go func() {
			if answer, err := s.answer(query); err == nil {
				_, _ = s.packets.WriteTo(answer, from) // who got no answer asks again
			}
		}()
	}
}

func (s *dnsServer) serveStreams() {
	for {
		conn, err := s.streams.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			var size uint16
			for binary.Read(conn, binary.BigEndian, &size) == nil {
				query := make([]byte, size)
				if _, err := io.ReadFull(conn, query); err != nil {
					return
				}
				answer, err := s.answer(query)
				if err != nil {
					return
				}
				if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
					return
				}
			}
		}()
	}
}

// answer answers one message.
func (s *dnsServer) answer(query []byte) ([]byte, error) {
	var parser dnsmessage.Parser
	header, err := parser.Start(query)
	if err != nil {
		return nil, err
	}
	question, err := parser.Question()
	if err != nil {
		return nil, err
	}
	message := dnsmessage.Message{
		Header: dnsmessage.Header{
			ID: header.ID, Response: true, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true,
		},
		Questions: []dnsmessage.Question{question},
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	records, found, err := s.resolve(ctx, question.Name, 4)
	switch {
	case err != nil:
		message.RCode = dnsmessage.RCodeServerFailure
	case !found:
		message.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		message.Answers = records
	}
	return message.Pack()
}

// resolve finds the addresses of a Service, through other names up to a depth.
func (s *dnsServer) resolve(ctx context.Context, name dnsmessage.Name, depth int) ([]dnsmessage.Resource, bool, error) {
	path, ok := strings.CutSuffix(strings.ToLower(name.String()), clusterSuffix)
	parts := strings.Split(path, ".")
	if !ok || len(parts) != 2 || depth == 0 {
		return nil, false, nil
	}
	service, err := s.c.client.Resource(coreServices).Namespace(parts[1]).Get(ctx, parts[0], metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 1}
	if alias, _, _ := unstructured.NestedString(service.Object, "spec", "externalName"); alias != "" {
		target, err := dnsmessage.NewName(strings.TrimSuffix(alias, ".") + ".")
		if err != nil {
			return nil, false, err
		}
		records, _, err := s.resolve(ctx, target, depth-1)
		link := dnsmessage.Resource{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: target}}
		return append([]dnsmessage.Resource{link}, records...), true, err
	}
	addresses, _, _ := unstructured.NestedStringSlice(service.Object, "spec", "clusterIPs")
	var records []dnsmessage.Resource
	for _, address := range addresses {
		if ip, err := netip.ParseAddr(address); err == nil && ip.Is4() {
			records = append(records, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}})
		}
	}
	return records, true, nil
}
