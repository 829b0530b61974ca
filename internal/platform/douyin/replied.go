package douyin

import (
	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
	"github.com/laidoulaile/channel-operator/internal/sealing"
)

// RepliedCodes reads the codes made here out of an answer that gave them, in its order. An
// answer that holds none gives an error that wraps platform.ErrMalformed.
func (Adapter) RepliedCodes(body []byte) ([]platform.Code, error) {
	answer, ok := fields.Parse(body)
	if !ok {
		return nil, malformedText("the answer is not one JSON object")
	}
	data := answer.Object("data")
	var codes []platform.Code
	for _, certificate := range data.Objects("certificates") {
		codes = append(codes, readCode(certificate))
	}
	for _, text := range data.IDs("codes") {
		codes = append(codes, platform.Code{Text: sealing.NewSecret(text)})
	}
	if err := malformed(answer); err != nil {
		return nil, err
	}
	if len(codes) == 0 {
		return nil, malformedText("the answer holds no codes")
	}
	return codes, nil
}
