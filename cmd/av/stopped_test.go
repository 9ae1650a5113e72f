package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/av-project/av/netiso"
)

func TestWhatTheWallsCountedIsSaidInWordsAndNumbers(t *testing.T) {
	changed := fmt.Errorf("%w: a rule is gone", netiso.ErrWallsChanged)
	const none, unknown = `"host_dropped":0`, `"refused":null,"host_dropped":null`
	for _, c := range []struct {
		counted netiso.Refused
		err     error
		says    string
		holds   string // the receipt does
		alarms  []string
	}{
		{netiso.Refused{}, nil, "", `{"udp":0,"icmp":0,"other":0,"tcp_caught":0},` + none, nil},
		{netiso.Refused{CaughtTCP: 4}, nil, "", `{"udp":0,"icmp":0,"other":0,"tcp_caught":4},` + none, nil},
		{netiso.Refused{ICMP: 1}, nil, "; 1 ICMP packet refused", `{"udp":0,"icmp":1,"other":0,"tcp_caught":0},` + none, nil},
		{netiso.Refused{UDP: 12, ICMP: 3}, nil, "; 12 UDP and 3 ICMP packets refused", none, nil},
		{netiso.Refused{UDP: 1, ICMP: 1, Other: 2}, nil, "; 1 UDP, 1 ICMP and 2 other packets refused", none, nil},
		{netiso.Refused{UDP: 5, HostDropped: -1}, errors.New("no right"), "", unknown, nil},
		{netiso.Refused{}, errors.New("no right"), "", `"refused":null,"host_dropped":0`, nil},
		{netiso.Refused{HostDropped: 2}, changed, "", `"refused":null,"host_dropped":2`, []string{"are not what they were", "did not hold: 2 packets"}},
		{netiso.Refused{HostDropped: 1}, nil, "", `"host_dropped":1`, []string{"did not hold: 1 packet got"}},
	} {
		var r receipt
		r.stop(c.counted, c.err)
		if got := r.Refused.describe(); got != c.says {
			t.Errorf("%+v: says %q, want %q", c.counted, got, c.says)
		}
		if text, err := json.Marshal(r); err != nil || !strings.Contains(string(text), c.holds) {
			t.Errorf("%+v: %s, %v, want %s", c.counted, text, err, c.holds)
		}
		alarms := r.alarms()
		if len(alarms) != len(c.alarms) {
			t.Fatalf("%+v, %v: %q", c.counted, c.err, alarms)
		}
		for i, words := range c.alarms {
			if !strings.HasPrefix(alarms[i], "warning: ") || !strings.Contains(alarms[i], words) {
				t.Errorf("%q, want %q", alarms[i], words)
			}
		}
	}
}
