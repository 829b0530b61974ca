package douyin

import (
	"context"

	"github.com/laidoulaile/channel-operator/internal/platform"
)

const maxStatus = 64 // runes of a platform's own status

// Client asks Douyin with one account.
type Client struct{}

func newClient(account platform.Account, _ *platform.Transport) (*Client, error) {
	_, err := secretsOf(account.Credentials)
	return &Client{}, err
}

// Check is still to be written.
func (c *Client) Check(context.Context) error { return nil }
