package douyin

import (
	"strings"

	"github.com/laidoulaile/channel-operator/internal/platform"
	"github.com/laidoulaile/channel-operator/internal/platform/fields"
)

// memberInfo tells that a member's information changes: so far, the telephone number only
// (documented). The member waits for the answer, and is shown the reason of a refusal.
type memberInfo struct {
	scene
	openID, updateTime string
	// mobile is the new number, encrypted; empty if the change is of something else.
	mobile string
}

var _ platform.Inquiry = memberInfo{}

// openMemberInfo reads whose information changes. The page prints its sample under a label
// "content:"; that the body is the object itself is inferred, and both are taken.
func openMemberInfo(s scene) (platform.Message, error) {
	body := s.body
	if body.Has("content") && !body.Has("open_id") {
		body = body.Object("content")
		if id := body.Quiet().Text("account_id"); id != "" {
			s.merchants = append(s.merchants, id)
		}
	}
	body.Require("open_id", "update_time")
	return memberInfo{
		scene: s, openID: body.ID("open_id"), updateTime: body.Exact("update_time"),
		mobile: body.Object("info").Object("mobile").Text("new_mobile"),
	}, nil
}

// Asks for nothing.
func (m memberInfo) Asks() platform.Lookup { return platform.Lookup{} }

// Answer takes the change, or refuses it by the Channel's policy or because its number
// does not decrypt. The number is read to be checked only, and kept nowhere.
func (m memberInfo) Answer(holder platform.Holder, _ platform.Known) (platform.Answer, error) {
	settings := settingsOf(holder)
	if settings.MemberUpdates == MembersRefused {
		reason := settings.MemberReason
		if reason == "" {
			reason = "商家暂不支持修改会员信息"
		}
		return refusedChange(reason), nil
	}
	readable, err := m.readable(holder.Credentials)
	if err != nil {
		return platform.Answer{}, err
	}
	if !readable {
		return refusedChange("手机号无法解密"), nil
	}
	notice := &platform.Notice{
		MessageID: sceneID(sceneMemberInfo, m.openID, m.updateTime), PlatformType: sceneMemberInfo,
		Subject: m.openID, Detail: "a member's information changes",
	}
	if m.mobile != "" {
		notice.Detail = "a member's telephone number changes"
	}
	return platform.Answer{Events: []platform.Event{{Notice: notice}}, Reply: answered(success)}, nil
}

func refusedChange(reason string) platform.Answer {
	return platform.Answer{Reply: answered(status{codeNoMember, fields.Shorten(reason, fields.MaxID)})}
}

// readable reports whether the new number is one: encrypted for us by a secret of ours, or
// with the prefix of those that only the platform decrypts (documented).
func (m memberInfo) readable(credentials platform.Credentials) (bool, error) {
	if m.mobile == "" || strings.HasPrefix(m.mobile, platformEncrypted) {
		return true, nil
	}
	secrets, err := secretsOf(credentials)
	if err != nil {
		return false, err
	}
	for _, secret := range secrets {
		if _, ok := decryptLocal(m.mobile, secret); ok {
			return true, nil
		}
	}
	return false, nil
}
