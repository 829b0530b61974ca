package main

import (
	"context"
	"net/http"

	"github.com/laidoulaile/channel-operator/internal/platform/platformtest"
)

// mountDouyin mounts Douyin's fake, with its own seeded state, and lets it do by itself
// what is due until the context ends.
func mountDouyin(ctx context.Context, o options, mux *http.ServeMux) error {
	fake, err := platformtest.NewDouyin(platformtest.DouyinConfig{
		ClientKey: o.douyinClientKey, AccountID: o.douyinAccount, RetryScale: o.douyinRetryScale,
		PushBase: o.pushBase, PushToken: o.pushToken, Logger: o.logger})
	if err != nil {
		return err
	}
	if o.douyinClientSecretOut != "" {
		if err := writeFile(o.douyinClientSecretOut, fake.ClientSecret()+"\n", 0o600); err != nil {
			return err
		}
	}
	mux.Handle("/oauth/client_token/", fake)
	mux.Handle("/goodlife/v1/", fake)
	mux.Handle("/admin/douyin/", http.StripPrefix("/admin/douyin", fake.AdminAllowing(loopbackURL)))
	go fake.Run(ctx)
	return nil
}
