package main

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/laidoulaile/channel-operator/api/v1alpha1"
	"github.com/laidoulaile/channel-operator/internal/platform"
)

// replyReader reads the codes made here out of the answer that gave them.
type replyReader interface {
	RepliedCodes(body []byte) ([]platform.Code, error)
}

// namedCodes are the codes that a notification names, in clear and in its own order. The
// answer that gave codes made here names them itself; all others stand in the body.
func namedCodes(adapter platform.Adapter, orderID string, n *v1alpha1.Notification, open func(string) ([]byte, error)) ([]platform.Code, error) {
	if n.Reply != nil && n.Reply.Sealed != "" {
		reader, ok := adapter.(replyReader)
		if !ok {
			return nil, errors.New("its answer: this version reads none of this platform's")
		}
		answer, err := open(n.Reply.Sealed)
		if err != nil {
			return nil, fmt.Errorf("its answer: %w", err)
		}
		return reader.RepliedCodes(answer)
	}
	if n.Sealed == "" {
		return nil, errors.New("it has no body")
	}
	body, err := open(n.Sealed)
	if err != nil {
		return nil, err
	}
	return readBody(adapter, orderID, n.PlatformType, body)
}

// readBody reads a body as the push it was. Which path it came by is not kept: it is one by
// which it says something of this order under this name.
func readBody(adapter platform.Adapter, orderID, platformType string, body []byte) ([]platform.Code, error) {
	var failed []string
	for _, tail := range likelyPaths(adapter, platformType) {
		codes, err := readPush(adapter, orderID, platformType, platform.Push{Path: tail, Body: body})
		if err == nil {
			return codes, nil
		}
		failed = append(failed, fmt.Sprintf("as %s: %v", tail, err))
	}
	return nil, fmt.Errorf("its body opens, and cannot be read: %s", strings.Join(failed, "; "))
}

// likelyPaths are the platform's push paths, those first that are called as the push is.
func likelyPaths(adapter platform.Adapter, platformType string) []string {
	called := func(tail string) int {
		if path.Base(tail) == platformType {
			return 0
		}
		return 1
	}
	return slices.SortedStableFunc(slices.Values(adapter.Paths()), func(a, b string) int { return called(a) - called(b) })
}

func readPush(adapter platform.Adapter, orderID, platformType string, push platform.Push) ([]platform.Code, error) {
	message, err := adapter.Open(push)
	if err != nil {
		return nil, err
	}
	events, err := eventsOf(message)
	if err != nil {
		return nil, err
	}
	said := false
	var codes []platform.Code
	for _, event := range events {
		if told := event.Order; told != nil && told.OrderID == orderID && told.PlatformType == platformType {
			said = true
			codes = append(codes, told.Codes...)
		}
	}
	if !said {
		return nil, errors.New("it says nothing of this order")
	}
	return codes, nil
}

// eventsOf are what a push says. What an inquiry says comes with its answer: of a Channel
// without settings, to somebody who knows nothing.
func eventsOf(message platform.Message) ([]platform.Event, error) {
	inquiry, ok := message.(platform.Inquiry)
	if !ok {
		return message.Events()
	}
	answer, err := inquiry.Answer(platform.Holder{}, platform.Known{})
	return answer.Events, err
}
