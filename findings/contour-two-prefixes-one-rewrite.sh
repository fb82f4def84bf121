#!/usr/bin/env bash
# Contour 1.33.8, HTTPRoute: one rule with two PathPrefix matches and URLRewrite with ReplacePrefixMatch "/".
#
# Guess: the Gateway API replaces "the prefix match of the request", so each match has its own prefix taken away
#        (/books/1 -> /1, /ledger/1 -> /1).
# Seen:  both matches share one rewrite, which takes away the prefix of one of them alone. Requests by the other path
#        reach the backend with their prefix untouched, or, where one prefix begins with the other, with a rest of it:
#        the backend answers 404. Accepted and ResolvedRefs are True all the while.
# Cure:  a rule of its own for each path: the rewrite is one a rule.
#
# Output on 2026-12-01 (Go 1.26):
#   one rule, two prefixes: /books -> ^/books/*   /ledger -> ^/books/*
#   a rule for each prefix: /books -> ^/books/*   /ledger -> ^/ledger/*
# The script builds Contour's own route graph from such a route, without a cluster. It fails if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
source=$(go mod download -json github.com/projectcontour/contour@v1.33.8 | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
cp -r "$source" "$work/contour"
chmod -R u+w "$work/contour"
cat > "$work/contour/internal/dag/two_prefixes_test.go" <<'GO'
package dag

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	core_v1 "k8s.io/api/core/v1"
	meta_v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	gw "sigs.k8s.io/gateway-api/apis/v1"
)

func rule(prefixes ...string) gw.HTTPRouteRule {
	rule := gw.HTTPRouteRule{
		Filters: []gw.HTTPRouteFilter{{
			Type: gw.HTTPRouteFilterURLRewrite,
			URLRewrite: &gw.HTTPURLRewriteFilter{Path: &gw.HTTPPathModifier{
				Type: gw.PrefixMatchHTTPPathModifier, ReplacePrefixMatch: ptr.To("/"),
			}},
		}},
		BackendRefs: []gw.HTTPBackendRef{{BackendRef: gw.BackendRef{
			BackendObjectReference: gw.BackendObjectReference{Name: "ledger", Port: ptr.To(gw.PortNumber(80))},
		}}},
	}
	for _, prefix := range prefixes {
		path := gw.HTTPPathMatch{Type: ptr.To(gw.PathMatchPathPrefix), Value: ptr.To(prefix)}
		rule.Matches = append(rule.Matches, gw.HTTPRouteMatch{Path: &path})
	}
	return rule
}

func rewrites(rules ...gw.HTTPRouteRule) string {
	log := logrus.New()
	all := gw.NamespacesFromAll
	meta := func(name string) meta_v1.ObjectMeta { return meta_v1.ObjectMeta{Name: name, Namespace: "shop"} }
	builder := Builder{
		Source: KubernetesCache{
			FieldLogger: log,
			gatewayclass: &gw.GatewayClass{
				ObjectMeta: meta_v1.ObjectMeta{Name: "class"},
				Spec:       gw.GatewayClassSpec{ControllerName: "projectcontour.io/contour"},
				Status: gw.GatewayClassStatus{Conditions: []meta_v1.Condition{{
					Type: string(gw.GatewayClassConditionStatusAccepted), Status: meta_v1.ConditionTrue,
				}}},
			},
			gateway: &gw.Gateway{
				ObjectMeta: meta("front"),
				Spec: gw.GatewaySpec{GatewayClassName: "class", Listeners: []gw.Listener{{
					Name: "http", Port: 80, Protocol: gw.HTTPProtocolType,
					AllowedRoutes: &gw.AllowedRoutes{Namespaces: &gw.RouteNamespaces{From: &all}},
				}}},
			},
		},
		Processors: []Processor{
			&ListenerProcessor{HTTPAddress: "0.0.0.0", HTTPSAddress: "0.0.0.0"},
			&GatewayAPIProcessor{FieldLogger: log},
		},
	}
	builder.Source.Insert(&core_v1.Service{
		ObjectMeta: meta("ledger"),
		Spec: core_v1.ServiceSpec{Ports: []core_v1.ServicePort{{Port: 80, Protocol: "TCP", TargetPort: intstr.FromInt32(80)}}},
	})
	builder.Source.Insert(&gw.HTTPRoute{
		ObjectMeta: meta("ledger"),
		Spec: gw.HTTPRouteSpec{
			CommonRouteSpec: gw.CommonRouteSpec{ParentRefs: []gw.ParentReference{{Name: "front"}}},
			Hostnames:       []gw.Hostname{"shop.example.com"},
			Rules:           rules,
		},
	})
	var found []string
	for _, listener := range builder.Build().Listeners {
		for _, host := range listener.VirtualHosts {
			for _, route := range host.Routes {
				prefix := route.PathMatchCondition.(*PrefixMatchCondition).Prefix
				found = append(found, fmt.Sprintf("%s -> %s", prefix, route.PathRewritePolicy.PrefixRegexRemove))
			}
		}
	}
	sort.Strings(found)
	return strings.Join(found, "   ")
}

func TestTwoPrefixes(t *testing.T) {
	fmt.Println("one rule, two prefixes:", rewrites(rule("/books", "/ledger")))
	fmt.Println("a rule for each prefix:", rewrites(rule("/books"), rule("/ledger")))
}
GO
cd "$work/contour"
seen=$(go test -v -mod=mod -count=1 -run TestTwoPrefixes ./internal/dag | grep prefix)
printf '%s\n' "$seen"
expected='one rule, two prefixes: /books -> ^/books/*   /ledger -> ^/books/*
a rule for each prefix: /books -> ^/books/*   /ledger -> ^/ledger/*'
[ "$seen" = "$expected" ] || { echo 'it has changed' >&2; exit 1; }
