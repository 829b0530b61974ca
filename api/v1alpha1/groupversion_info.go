// Package v1alpha1 holds the three kinds of channel.laidoulaile.online/v1alpha1:
// Channel (an account on a platform), ProductSync (a product kept in step) and
// OrderVoucher (an order and its vouchers). It is types and validation markers
// only: it knows no client, no controller and no platform's wire format.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=channel.laidoulaile.online
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of this package.
const GroupName = "channel.laidoulaile.online"

var (
	// SchemeGroupVersion is the group and version of this package; the generated
	// apply configurations need it under this name.
	SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds of this package.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(SchemeGroupVersion,
		&Channel{}, &ChannelList{},
		&ProductSync{}, &ProductSyncList{},
		&OrderVoucher{}, &OrderVoucherList{},
	)
	metav1.AddToGroupVersion(scheme, SchemeGroupVersion)
	return nil
}
