// Command gpus is a device plug-in: it gives a node GPUs that are only numbers.
//
// A container that is given some learns their numbers in GPU_IDS, and a socket in GPU_SOCKET,
// to which its program stays connected as long as it runs. So the plug-in knows at any moment
// which GPUs are in use, from the kernel, and not from what anybody says: GET /use on its
// HTTP address says how many are, and how many were at most.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

func main() {
	resource := flag.String("resource", "nvidia.com/gpu", "`name` of the resource")
	count := flag.Int("count", 8, "`number` of GPUs")
	dir := flag.String("dir", "/run/gpus", "`folder` for the socket of containers")
	address := flag.String("http", "", "`address` that tells about the use of GPUs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *resource, *count, *dir, *address); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, resource string, count int, dir, address string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	w := &witness{used: map[string]string{}}
	containers, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		return err
	}
	// Containers run as other users.
	if err := os.Chmod(filepath.Join(dir, "socket"), 0o666); err != nil {
		return err
	}
	go w.serve(containers)
	http.Handle("GET /use", w)
	go func() { log.Print(http.ListenAndServe(address, nil)) }()

	const name = "gpus.sock"
	listener, err := net.Listen("unix", filepath.Join(plugin.DevicePluginPath, name))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	plugin.RegisterDevicePluginServer(server, &devices{count: count, dir: dir, ctx: ctx})
	go func() { log.Print(server.Serve(listener)) }()
	defer server.Stop()
	kubelet, err := grpc.NewClient("unix://"+plugin.KubeletSocket,
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer kubelet.Close()
	registering, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if _, err := plugin.NewRegistrationClient(kubelet).Register(registering, &plugin.RegisterRequest{
		Version: plugin.Version, Endpoint: name, ResourceName: resource,
	}, grpc.WaitForReady(true)); err != nil {
		return fmt.Errorf("registering at the kubelet: %w", err)
	}
	<-ctx.Done()
	return nil
}

// devices are what the kubelet asks for.
type devices struct {
	plugin.UnimplementedDevicePluginServer
	count int
	dir   string
	ctx   context.Context // of the process
}

// GetDevicePluginOptions says that the kubelet has nothing else to call.
func (d *devices) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

// ListAndWatch says once that all GPUs are healthy.
func (d *devices) ListAndWatch(_ *plugin.Empty, stream plugin.DevicePlugin_ListAndWatchServer) error {
	var list []*plugin.Device
	for i := range d.count {
		list = append(list, &plugin.Device{ID: fmt.Sprintf("gpu-%d", i), Health: plugin.Healthy})
	}
	if err := stream.Send(&plugin.ListAndWatchResponse{Devices: list}); err != nil {
		return err
	}
	select {
	case <-stream.Context().Done():
	case <-d.ctx.Done():
	}
	return nil
}

// Allocate tells containers their GPUs.
func (d *devices) Allocate(_ context.Context, r *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	response := &plugin.AllocateResponse{}
	for _, container := range r.ContainerRequests {
		response.ContainerResponses = append(response.ContainerResponses, &plugin.ContainerAllocateResponse{
			Envs: map[string]string{
				"GPU_IDS": strings.Join(container.DevicesIds, ","), "GPU_SOCKET": "/run/gpus/socket",
			},
			Mounts: []*plugin.Mount{{HostPath: d.dir, ContainerPath: "/run/gpus", ReadOnly: true}},
		})
	}
	return response, nil
}

// Use is what the witness has seen.
type Use struct {
	// Now is the number of GPUs in use, Most the largest number since the last reset.
	Now  int `json:"now"`
	Most int `json:"most"`
	// Containers is the number of programs that have used a GPU so far.
	Containers int `json:"containers"`
	// Twice says which GPUs two programs used at the same time.
	Twice []string `json:"twice,omitempty"`
}

// witness knows which GPUs are in use.
type witness struct {
	mu   sync.Mutex
	used map[string]string // program by GPU
	use  Use
}

func (w *witness) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go w.watch(conn)
	}
}

// watch counts the GPUs of a program until it ends.
func (w *witness) watch(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		return
	}
	ids, program, _ := strings.Cut(lines.Text(), " ")
	list := strings.Split(ids, ",")
	w.mu.Lock()
	w.use.Containers++
	for _, id := range list {
		if other, ok := w.used[id]; ok {
			w.use.Twice = append(w.use.Twice, fmt.Sprintf("%s by %s and %s", id, other, program))
		}
		w.used[id] = program
	}
	w.use.Now += len(list)
	w.use.Most = max(w.use.Most, w.use.Now)
	w.mu.Unlock()
	lines.Scan() // returns when the program has ended
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range list {
		if w.used[id] == program {
			delete(w.used, id)
		}
	}
	w.use.Now -= len(list)
}

// ServeHTTP says what was seen, and begins anew with ?reset.
func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	use := w.use
	if r.URL.Query().Has("reset") {
		w.use.Most, w.use.Containers, w.use.Twice = w.use.Now, 0, nil
	}
	w.mu.Unlock()
	if err := json.NewEncoder(rw).Encode(use); err != nil {
		log.Print(err)
	}
}
