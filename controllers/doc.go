// Package controllers keeps Channels, ProductSyncs and OrderVouchers true: observe (ask
// the platform), decide (a pure function of what was seen to the whole status and when
// to look again), record (one status apply, and none when nothing changed). It knows
// the platforms only through the boundary's clients, and nothing of HTTP or of how
// pushes come in.
package controllers

// What the manager may do in the whole cluster, and nothing more. What it may do with Secrets is
// given namespace by namespace: config/rbac/channel_secrets_role.yaml.
//
// +kubebuilder:rbac:groups=channel.laidoulaile.online,resources=channels,verbs=get;list;watch
// +kubebuilder:rbac:groups=channel.laidoulaile.online,resources=productsyncs;ordervouchers,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=channel.laidoulaile.online,resources=channels/status;productsyncs/status;ordervouchers/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
