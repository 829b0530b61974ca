//go:build deps

package deps

import (
	_ "filippo.io/age"
	_ "filippo.io/age/armor"
	_ "github.com/go-logr/logr"
	_ "github.com/go-logr/logr/testr"
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/go-cmp/cmp/cmpopts"
	_ "github.com/prometheus/client_golang/prometheus/testutil"
	_ "github.com/shopspring/decimal"
	_ "github.com/sony/gobreaker/v2"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/text/currency"
	_ "golang.org/x/time/rate"
	_ "k8s.io/api/core/v1"
	_ "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	_ "k8s.io/client-go/util/cert"
	_ "k8s.io/client-go/tools/clientcmd"
	_ "k8s.io/utils/ptr"
	_ "pgregory.net/rapid"
	_ "sigs.k8s.io/controller-runtime"
	_ "sigs.k8s.io/controller-runtime/pkg/envtest"
	_ "sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	_ "sigs.k8s.io/yaml"
)
