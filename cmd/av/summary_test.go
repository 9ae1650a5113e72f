package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestSummaryIsOneLineThatCanBeTyped(t *testing.T) {
	host := func(name string, port uint16, requests, denied int, hint string) vault.HostCount {
		return vault.HostCount{Target: policy.Target{Host: name, Port: port}, Requests: requests, Denied: denied, Hint: hint}
	}
	because := func(h vault.HostCount, failed int, reason string) vault.HostCount {
		h.Failed, h.Reason = failed, reason
		return h
	}
	raw := func(h vault.HostCount) vault.HostCount {
		h.RawHint = "yes"
		return h
	}
	var many []vault.HostCount
	for i := range 9 {
		many = append(many, host(fmt.Sprintf("h%d.test", i), 443, 1, 1, "yes"))
	}
	for _, c := range []struct {
		summary vault.Summary
		want    string
	}{
		{vault.Summary{}, "0 requests to 0 hosts, none denied"},
		{vault.Summary{Requests: 3, Hosts: []vault.HostCount{host("a.test", 443, 2, 0, ""), host("a.test", 80, 1, 0, "")}},
			"3 requests to 1 host, none denied"},
		{vault.Summary{Requests: 4, Denied: 2, Hosts: []vault.HostCount{host("a.test", 443, 2, 0, ""), host("b.test", 443, 1, 1, "yes"), host("b.test", 80, 1, 1, "yes")}},
			"4 requests to 2 hosts, 2 denied: b.test:443, b.test:80; to allow, add --allow b.test --allow b.test:80"},
		{vault.Summary{Requests: 2, Denied: 2, Hosts: []vault.HostCount{host("", 0, 1, 1, ""), because(host("a.test", 443, 1, 1, ""), 0, "the vault has no TOKEN")}},
			"2 requests to 1 host, 2 denied: what could not be read, a.test:443 (the vault has no TOKEN)"},
		{vault.Summary{Requests: 1, Denied: 1, Hosts: []vault.HostCount{host("127.0.0.1", 14323, 1, 1, "yes")}},
			"1 request to 1 host, 1 denied: 127.0.0.1:14323"},
		{vault.Summary{Requests: 1, NotKept: 3, Hosts: []vault.HostCount{host("a.test", 443, 1, 0, "")}},
			"1 request to 1 host (and 3 more, too many to keep a record of), none denied"},
		{vault.Summary{Requests: 9, Denied: 9, Hosts: many},
			"9 requests to 9 hosts, 9 denied: h0.test:443, h1.test:443, h2.test:443, h3.test:443, h4.test:443, and 4 more" +
				"; to allow, add --allow h0.test --allow h1.test --allow h2.test --allow h3.test --allow h4.test and 4 more"},
		// What a port is for tells which flag is meant.
		{vault.Summary{Requests: 1, Denied: 1, Hosts: []vault.HostCount{host("db.test", 3306, 1, 1, "yes")}},
			"1 request to 1 host, 1 denied: db.test:3306; to allow, add --allow tcp://db.test:3306"},
		{vault.Summary{Requests: 3, Denied: 1, Hosts: []vault.HostCount{
			raw(because(host("a.test", 443, 2, 0, ""), 1, "the client does not trust us")), because(host("b.test", 443, 1, 1, ""), 0, "not TLS")}},
			"3 requests to 2 hosts, 1 denied: b.test:443 (not TLS); 1 tunnel carried nothing: a.test:443 (the client does not trust us)" +
				"; to carry it unread, add --allow tcp://a.test:443"},
		{vault.Summary{Requests: 1, Hosts: []vault.HostCount{because(host("a.test", 443, 1, 0, ""), 1, "the client does not trust us")}},
			"1 request to 1 host, none denied; 1 tunnel carried nothing: a.test:443 (the client does not trust us)"},
		// One that was not needed is no news, unless it is all there was.
		{vault.Summary{Requests: 2, Hosts: []vault.HostCount{raw(because(host("a.test", 2525, 2, 0, ""), 1, unused[0]))}},
			"2 requests to 1 host, none denied"},
		{vault.Summary{Requests: 2, Hosts: []vault.HostCount{raw(because(host("a.test", 2525, 2, 0, ""), 2, unused[0]))}},
			"2 requests to 1 host, none denied; 2 tunnels carried nothing: a.test:2525 (" + unused[0] + "); to carry it unread, add --allow tcp://a.test:2525"},
		{vault.Summary{Requests: 1, Hosts: []vault.HostCount{raw(because(host("a.test", 443, 1, 0, ""), 1, unused[1]))}},
			"1 request to 1 host, none denied; 1 tunnel carried nothing: a.test:443 (" + unused[1] + ")"},
	} {
		if got := describe(c.summary); got != c.want || strings.Contains(got, "\n") {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

// Otherwise a full disk would look like a run that asked for little.
func TestLostRecordsAreAnError(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	opts := vault.Options{Home: home, Now: time.Now}
	if err := vault.Init(t.Context(), opts, nil); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	b := &broker{vault: v, run: "r"}
	v.Record(vault.Entry{Run: "r", Host: "a.test", Port: 443, Allowed: true})
	if s, err := b.summary(t.Context()); err != nil || s.Requests != 1 {
		t.Fatalf("control: %+v, %v", s, err)
	}
	db, err := sql.Open("sqlite", filepath.Join(home, "vault.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TRIGGER full BEFORE INSERT ON requests BEGIN SELECT RAISE(FAIL, 'full'); END"); err != nil {
		t.Fatal(err)
	}
	v.Record(vault.Entry{Run: "r", Host: "b.test", Port: 443, Allowed: true})
	s, err := b.summary(t.Context())
	if s.Requests != 1 || err == nil || err.Error() != "1 request could not be recorded" {
		t.Errorf("%+v, %v", s, err)
	}
	var r receipt
	if r.count(s); r.Lost != 1 {
		t.Errorf("the receipt says that %d were lost", r.Lost)
	}
	if v.Close() == nil {
		t.Error("closing says nothing of it")
	}
}
