package main

import (
	"context"
	"net/http"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// mountSCTT mounts SCTT's fake, with its own seeded state.
func mountSCTT(_ context.Context, o options, mux *http.ServeMux) error {
	fake, err := platformtest.NewSCTT(platformtest.SCTTConfig{
		Account: o.scttAccount, Signature: o.scttSignature, Zone: o.scttZone, ChannelPath: o.scttChannelPath,
		PushBase: o.pushBase, PushToken: o.pushToken, Logger: o.logger})
	if err != nil {
		return err
	}
	if o.scttSecretOut != "" {
		if err := writeFile(o.scttSecretOut, fake.Secret()+"\n", 0o600); err != nil {
			return err
		}
	}
	mux.Handle("/v1/", fake)
	mux.Handle("/admin/sctt/", http.StripPrefix("/admin/sctt", fake.AdminAllowing(loopbackURL)))
	return nil
}
