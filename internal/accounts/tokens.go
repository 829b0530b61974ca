package accounts

import (
	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// tokens keeps the Channel's access token.
func (r *Registry) tokens(_ *v1alpha1.Channel, _ string) platform.Tokens { return nil }
