package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/runner"
)

func TestPublishNamesThePortOfTheBoxFirst(t *testing.T) {
	for text, want := range map[string]runner.Publish{
		"3000":          {Port: 3000, Host: 3000},
		"3000:8080":     {Port: 3000, Host: 8080},
		"3000:0":        {Port: 3000, Host: 0},
		"3000:8080/tcp": {Port: 3000, Host: 8080},
		"65535":         {Port: 65535, Host: 65535},
	} {
		got, err := parsePublish(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestPublishThatCannotBeMeantIsRefused(t *testing.T) {
	for text, says := range map[string]string{
		"":                    `"" is no port of the box`,
		"http":                `"http" is no port of the box`,
		"0":                   `"0" is no port of the box`,
		"65536":               `"65536" is no port of the box`,
		"-1":                  "a range",
		"3000:":               `"" is no port of this machine`,
		"3000:x":              `"x" is no port of this machine`,
		":3000":               `"" is no port of the box`,
		"3000-3010":           "a range is not taken",
		"53/udp":              "only TCP",
		"127.0.0.1:3000:8080": "there is no address to name",
		"0.0.0.0:8080:3000":   "there is no address to name",
		// Whoever reaches these is the run for the proxy.
		"14322":    "av's own",
		"14323:80": "av's own",
		"53":       "av's own",
	} {
		_, err := parsePublish(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
	for name, c := range map[string]struct {
		isolation, says string
		ports           []string
	}{
		"on the host":        {"host", "needs a container", []string{"3000"}},
		"one of ours, twice": {"container", "port 80 of this machine twice", []string{"3000:80", "4000:80"}},
	} {
		if _, err := (publishFlags{c.ports}).check(c.isolation); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	got, err := publishFlags{[]string{"3000:0", "3000:0"}}.check("container")
	if diff := cmp.Diff([]runner.Publish{{Port: 3000}, {Port: 3000}}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
