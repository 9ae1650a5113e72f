package inject

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
)

func TestSlotHoldsTheCredentialExactlyOnce(t *testing.T) {
	apiKey := Slot{Header: "X-Api-Key", Prefix: "key-"}
	for _, c := range []struct {
		name string
		slot Slot
		sent http.Header
		want http.Header
	}{
		{"nothing sent", Bearer(), http.Header{}, http.Header{"Authorization": {"Bearer s3cret"}}},
		{"the client's own", Bearer(), http.Header{"Authorization": {"Basic x"}}, http.Header{"Authorization": {"Bearer s3cret"}}},
		{"repeated", Bearer(), http.Header{"Authorization": {"a", "b"}}, http.Header{"Authorization": {"Bearer s3cret"}}},
		{"in another case", Bearer(), http.Header{"authorization": {"a"}, "AUTHORIZATION": {"b"}}, http.Header{"Authorization": {"Bearer s3cret"}}},
		{"underscores", apiKey, http.Header{"X_api_key": {"a"}, "X-Api_Key": {"b"}}, http.Header{"X-Api-Key": {"key-s3cret"}}},
		{"other separators", apiKey, http.Header{"X.api.key": {"a"}, "x~API!key": {"b"}}, http.Header{"X-Api-Key": {"key-s3cret"}}},
		{"its neighbours stay", apiKey,
			http.Header{"X-Api-Key2": {"a"}, "Api-Key": {"b"}, "X-Apikey": {"c"}, "Authorization": {"d"}},
			http.Header{"X-Api-Key2": {"a"}, "Api-Key": {"b"}, "X-Apikey": {"c"}, "Authorization": {"d"}, "X-Api-Key": {"key-s3cret"}}},
		{"a slot named in lower case", Slot{Header: "x-api-key"}, http.Header{"X-Api-Key": {"a"}}, http.Header{"X-Api-Key": {"s3cret"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &http.Request{Header: c.sent, Trailer: http.Header{c.slot.Header: {"t"}, "Digest": {"d"}}}
			filling, err := c.slot.Fill(vault.NewValue([]byte("s3cret")))
			if err != nil {
				t.Fatal(err)
			}
			Put(r, []Filling{filling})
			if diff := cmp.Diff(c.want, r.Header); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(http.Header{"Digest": {"d"}}, r.Trailer); diff != "" {
				t.Errorf("trailers: %s", diff)
			}
		})
	}
}

func TestCredentialThatWouldBreakTheHeaderIsRefused(t *testing.T) {
	for _, secret := range []string{"s3cret\r\nX-Evil: 1", "s3cret\n", "s3\x00cret", "s3\x7fcret"} {
		filling, err := Bearer().Fill(vault.NewValue([]byte(secret)))
		if !errors.Is(err, ErrUnfit) || strings.Contains(err.Error(), "s3cret") || filling.value != nil {
			t.Errorf("%q: error %v", secret, err)
		}
	}
	if _, err := Bearer().Fill(vault.Value{}); !errors.Is(err, ErrUnfit) {
		t.Errorf("no value at all: %v", err)
	}
}

func TestReadyCredentialDoesNotPrint(t *testing.T) {
	filling, err := Bearer().Fill(vault.NewValue([]byte("s3cret")))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(verb, struct{ filling any }{filling}); strings.Contains(got, "s3cret") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}
