package intruder

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
)

// forgedTokens are forged tokens in the name of the target's people. The
// intruder does not know the secret.
func forgedTokens(own string, t Target) []string {
	payload := func(role, id string, until time.Duration) string {
		return encodeSegment(fmt.Sprintf(`{"role":%q,"iss":"ridehail","sub":%q,"aud":["ridehail.v1"],"iat":%d,"exp":%d}`, role, id,
			time.Now().Unix(), time.Now().Add(until).Unix()))
	}
	const hs256, none = `{"alg":"HS256","typ":"JWT"}`, `{"alg":"none","typ":"JWT"}`
	body := payload("rider", t.Rider, time.Hour)
	out := []string{
		"nonsense",
		encodeSegment(none) + "." + body + ".",
		encodeSegment(`{"alg":"NoNe"}`) + "." + body + ".",
		signHS256(encodeSegment(hs256)+"."+body, ""),
		signHS256(encodeSegment(hs256)+"."+body, "secret"),
		signHS256(encodeSegment(hs256)+"."+payload("driver", t.Driver, time.Hour), "a secret of thirty-two bytes, guessed"),
		signHS256(encodeSegment(hs256)+"."+payload("system", "system", time.Hour), "secret"),
		strings.Repeat("x", 5000),
	}

	// Our own, with a foreign name in it, or altered.
	if p := strings.Split(own, "."); len(p) == 3 {
		out = append(out, p[0]+"."+body+"."+p[2], p[0]+"."+p[1]+".", p[0]+"."+p[1]+"."+p[2][:len(p[2])-2],
			encodeSegment(none)+"."+p[1]+"."+p[2])
	}

	return out
}

func encodeSegment(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func signHS256(what, secret string) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte(what))
	return what + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
