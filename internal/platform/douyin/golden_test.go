package douyin

import (
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

const (
	testKey     = "aw6ufdiwwmx4x7tf"
	testAccount = "7376546762393143333"
	testSecret  = "test_client_secret_0123456789abc"
	oldSecret   = "test_client_secret_of_yesterday0"
)

// holder of the test account; change alters its settings.
func holder(change func(*Settings)) platform.Holder {
	settings := defaultSettings()
	settings.AccountID = testAccount
	if change != nil {
		change(&settings)
	}
	return platform.Holder{ID: testKey, Settings: settings, Credentials: platform.Credentials{
		keySecret: sealing.NewSecret(testSecret), keyPrevious: sealing.NewSecret(oldSecret),
	}}
}
