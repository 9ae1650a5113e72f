package vault_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestRecordComesBackAsItWas(t *testing.T) {
	v, _ := newVault(t, newClock())
	want := vault.Entry{
		Time: newClock().Now(), Session: "s", Run: "r", Method: "GET", Host: "api.test", Port: 443, Path: "/v1/x", Service: "api",
		Keys: []string{"A", "B"}, Allowed: true, Rule: "service api", Reason: "why", Upstream: "203.0.113.10:443", Status: 200,
		BytesIn: 1 << 40, BytesOut: 2, Duration: 3 * time.Millisecond, Proto: "HTTP/1.1", UpstreamProto: "HTTP/2.0", Scheme: "https",
		Queue: 1, Dial: 2, TLS: 3, FirstByte: 4, Count: 1,
	}
	v.Record(want)
	v.Record(vault.Entry{Time: want.Time, Run: "other"})
	got, err := v.Requests(t.Context(), owner, "r", 0)
	if diff := cmp.Diff([]vault.Entry{want}, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
}

func TestNoRecordIsLost(t *testing.T) {
	c := newClock()
	_, o := newVault(t, c)
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const writers, each = 8, 1000 // more than the queue holds
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				v.Record(vault.Entry{Time: c.Now(), Run: "r", Host: fmt.Sprintf("h%d.test", w), Port: 443, Path: fmt.Sprintf("/%d", i), Allowed: true})
			}
		})
	}
	wg.Wait()
	if err := v.Close(); err != nil { // which flushes
		t.Fatal(err)
	}
	v = openVault(t, o)
	sum, err := v.Summary(t.Context(), owner, "r")
	if err != nil || sum.Requests != writers*each || len(sum.Hosts) != writers || sum.Lost != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	entries, err := v.Requests(t.Context(), owner, "r", writers*each)
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for _, e := range entries {
		if want := fmt.Sprintf("/%d", next[e.Host]); e.Path != want {
			t.Fatalf("%s: %s, want %s: out of order", e.Host, e.Path, want)
		}
		next[e.Host]++
	}
}

func TestSummaryCountsWhatARunDid(t *testing.T) {
	c := newClock()
	v, _ := newVault(t, c)
	for _, e := range []vault.Entry{
		{Host: "api.test", Port: 443, Allowed: true, Rule: "service api", BytesIn: 20, BytesOut: 3},
		{Host: "no.test", Port: 443, Rule: policy.RuleUnmatchedDeny},
		{Host: "no.test", Port: 443, Rule: policy.RuleUnmatchedDeny},
		{Host: "no.test", Port: 8080, Rule: policy.RuleUnmatchedDeny},
		{Host: "api.test", Port: 443, Allowed: true, Rule: "service api", BytesIn: 20, BytesOut: 3},
		// Policy let it pass, the egress guard did not: --allow would not help.
		{Host: "private.test", Port: 443, Rule: "allow private.test:443", Reason: "private address"},
		// Tunnels that came to nothing. That of a raw target, or of a service, stays so.
		{Host: "mine.test", Port: 443, Allowed: true, Method: "CONNECT", Rule: "unmatched allow", Proto: "HTTP/1.1", Reason: "older"},
		{Host: "mine.test", Port: 443, Allowed: true, Method: "CONNECT", Rule: "unmatched allow", Proto: "HTTP/1.1", Reason: "no trust"},
		{Host: "mine.test", Port: 443, Allowed: true, Method: "GET", Rule: "unmatched allow", Reason: "broken off"},
		{Host: "db.test", Port: 5432, Allowed: true, Method: "CONNECT", Rule: "allow tcp://db.test:5432", Proto: "tcp", Reason: "unreachable"},
		{Host: "db.test", Port: 5433, Allowed: true, Method: "CONNECT", Rule: "allow tcp://db.test:5433", Proto: "tcp", BytesIn: 1, Reason: "broken off"},
		{Host: "api.test", Port: 444, Allowed: true, Method: "CONNECT", Rule: "service api", Service: "api", Proto: "HTTP/1.1", Reason: "no trust"},
	} {
		e.Time, e.Run = c.Now(), "r"
		v.Record(e)
	}
	v.Record(vault.Entry{Time: c.Now(), Run: "other", Host: "x.test", Port: 443})
	got, err := v.Summary(t.Context(), owner, "r")
	want := vault.Summary{Requests: 12, Denied: 4, Hosts: []vault.HostCount{
		{Target: policy.Target{Host: "api.test", Port: 443}, Requests: 2, BytesIn: 40, BytesOut: 6},
		{Target: policy.Target{Host: "no.test", Port: 443}, Requests: 2, Denied: 2, Hint: "av run --allow no.test ..."},
		{Target: policy.Target{Host: "no.test", Port: 8080}, Requests: 1, Denied: 1, Hint: "av run --allow no.test:8080 ..."},
		{Target: policy.Target{Host: "private.test", Port: 443}, Requests: 1, Denied: 1, Reason: "private address"},
		{Target: policy.Target{Host: "mine.test", Port: 443}, Requests: 3, Failed: 2, RawHint: "av run --allow tcp://mine.test:443 ...", Reason: "no trust"},
		{Target: policy.Target{Host: "db.test", Port: 5432}, Requests: 1, Failed: 1, Reason: "unreachable"},
		{Target: policy.Target{Host: "db.test", Port: 5433}, Requests: 1, BytesIn: 1},
		{Target: policy.Target{Host: "api.test", Port: 444}, Requests: 1, Failed: 1, Reason: "no trust"},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v\n%s", err, diff)
	}
	if none, err := v.Summary(t.Context(), owner, "none"); err != nil || none.Requests != 0 {
		t.Fatalf("%+v, %v", none, err)
	}
}

func TestRecordsAreBoundedAndHoldNoQuery(t *testing.T) {
	v, _ := newVault(t, newClock())
	long := strings.Repeat("é", 100_000)
	v.Record(vault.Entry{Run: "r", Path: "/p?token=secret", Method: long, Host: long, Reason: long})
	v.Record(vault.Entry{Run: "r", Path: "/p#secret", Host: "other.test"})
	v.Record(vault.Entry{Run: "r", Path: "/" + long + "\xff", Host: "third.test"})
	v.Record(vault.Entry{Run: "r", Path: "/" + long, Allowed: true})
	got, err := v.Requests(t.Context(), owner, "r", 0)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d, %v", len(got), err)
	}
	if got[0].Path != "/p" || got[1].Path != "/p" {
		t.Errorf("%q, %q", got[0].Path, got[1].Path)
	}
	for _, e := range got {
		limit := 256
		if e.Allowed {
			limit = 1024
		}
		if len(e.Path) > limit+3 || len(e.Method) > 256+3 || len(e.Host) > 256+3 || len(e.Reason) > 1024+3 {
			t.Errorf("path %d, method %d, host %d, reason %d bytes", len(e.Path), len(e.Method), len(e.Host), len(e.Reason))
		}
	}
}

func TestRequestsAreTheNewest(t *testing.T) {
	v, _ := newVault(t, newClock())
	for i := range 10 {
		v.Record(vault.Entry{Run: "r", Status: i})
	}
	got, err := v.Requests(t.Context(), owner, "r", 3)
	if err != nil || len(got) != 3 || got[0].Status != 7 || got[2].Status != 9 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestVaultThatIsClosedTakesNoRecordAndDoesNotHang(t *testing.T) {
	_, o := newVault(t, newClock())
	v, err := vault.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	v.Record(vault.Entry{Run: "r"})
	if _, err := v.Summary(t.Context(), owner, "r"); err == nil {
		t.Error("a closed vault answers")
	}
	if err := v.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}
