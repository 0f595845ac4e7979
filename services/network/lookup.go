package network

import (
	"context"
	"time"

	"github.com/miekg/dns"

	"parley/services/network/networkapi"
	"parley/services/network/resolver"
)

// lookup is networkapi.API.Lookup by r.
func lookup(ctx context.Context, r *resolver.Resolver, kind, name string) (networkapi.Answer, error) {
	start := time.Now()
	res, err := r.Lookup(ctx, kind, name)
	if err != nil {
		return networkapi.Answer{}, err
	}
	a := networkapi.Answer{
		Server:  res.Server,
		Source:  res.Source,
		Records: []string{},
		Code:    dns.RcodeToString[res.Code],
		Took:    time.Since(start),
	}
	for _, rr := range res.Answer {
		a.Records = append(a.Records, rr.String())
	}
	return a, nil
}
