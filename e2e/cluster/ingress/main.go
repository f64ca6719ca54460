// An ingress controller for tests: Traefik reads Ingresses and matches requests, and the proxy of Go's library forwards them
// as they are, Host included. All of Traefik takes long to build, and more modules than its published go.mod can fetch.
//
// It finds the API server by the variable KUBECONFIG, and takes Ingresses without a class. Where it runs, pods may be out of
// reach: a port of theirs can be had by way of another address.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/traefik/traefik/v3/pkg/config/dynamic"
	"github.com/traefik/traefik/v3/pkg/middlewares/requestdecorator"
	muxer "github.com/traefik/traefik/v3/pkg/muxer/http"
	"github.com/traefik/traefik/v3/pkg/provider/kubernetes/ingress"
	"github.com/traefik/traefik/v3/pkg/safe"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to take requests at")
	namespace := flag.String("namespace", "", "take Ingresses of this namespace only")
	reach := reachable{}
	flag.Func("reach", "PORT=ADDRESS: have connections to this port of pods go there", reach.add)
	flag.Parse()

	provider := &ingress.Provider{}
	if *namespace != "" {
		provider.Namespaces = []string{*namespace}
	}
	configurations := make(chan dynamic.Message)
	if err := provider.Provide(configurations, safe.NewPool(context.Background())); err != nil {
		log.Fatal(err)
	}

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = reach.dial

	var routes atomic.Pointer[muxer.Muxer]
	go func() {
		for message := range configurations {
			next, err := routesOf(message.Configuration.HTTP, transport)
			if err != nil {
				log.Print(err)
				continue
			}
			routes.Store(next)
			log.Printf("%d routes", len(message.Configuration.HTTP.Routers))
		}
	}()

	decorator := requestdecorator.New(nil)
	log.Fatal(http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		current := routes.Load()
		if current == nil {
			http.Error(w, "no Ingresses have been read yet", http.StatusServiceUnavailable)
			return
		}
		decorator.ServeHTTP(w, r, current.ServeHTTP)
	})))
}

// By which address a port of pods is reached.
type reachable map[string]string

func (r reachable) add(text string) error {
	port, address, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("write PORT=ADDRESS")
	}
	r[port] = address
	return nil
}

func (r reachable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if _, port, err := net.SplitHostPort(address); err == nil && r[port] != "" {
		address = r[port]
	}
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}

func routesOf(configuration *dynamic.HTTPConfiguration, transport http.RoundTripper) (*muxer.Muxer, error) {
	parser, err := muxer.NewSyntaxParser()
	if err != nil {
		return nil, err
	}
	routes := muxer.NewMuxer(parser, nil)
	for name, router := range configuration.Routers {
		service := configuration.Services[router.Service]
		if service == nil || service.LoadBalancer == nil || len(service.LoadBalancer.Servers) == 0 {
			return nil, fmt.Errorf("%s leads to no server", name)
		}
		target, err := url.Parse(service.LoadBalancer.Servers[0].URL)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(target)
			request.Out.Host = request.In.Host
			request.SetXForwarded()
		}}
		if err := routes.AddRoute(router.Rule, router.RuleSyntax, muxer.GetRulePriority(router.Rule), "", proxy); err != nil {
			return nil, err
		}
	}
	return routes, nil
}
