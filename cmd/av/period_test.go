package main

import (
	"testing"
	"time"
)

func TestPeriodIsADurationOrDays(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90m": 90 * time.Minute, "36h": 36 * time.Hour, "7d": 7 * 24 * time.Hour, "1h30m": 90 * time.Minute, "45s": 45 * time.Second, "36500d": maxDays * 24 * time.Hour,
	} {
		got, err := parsePeriod(text)
		if err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if again, err := parsePeriod(period(got)); err != nil || again != got {
			t.Errorf("%s is written as %s: %v, %v", text, period(got), again, err)
		}
	}
	for _, text := range []string{"", "d", "0d", "-1d", "1.5d", "36501d", "99999999999999999999d", "0", "0s", "-1h", "7", "x", "7 d", "1e9h", "1d12h", "\x1b[2Jd"} {
		if got, err := parsePeriod(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
	for d, want := range map[time.Duration]string{30 * 24 * time.Hour: "30d", 12 * time.Hour: "12h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 100 * time.Second: "1m40s"} {
		if got := period(d); got != want {
			t.Errorf("%v is written as %s", d, got)
		}
	}
}

func TestSinceIsAMomentOfThePast(t *testing.T) {
	zone := time.FixedZone("test", 2*60*60)
	now := time.Date(2026, 2, 1, 15, 4, 5, 0, zone)
	for text, want := range map[string]time.Time{
		"90m":                  now.Add(-90 * time.Minute),
		"7d":                   now.Add(-7 * 24 * time.Hour),
		"2026-01-31":           time.Date(2026, 1, 31, 0, 0, 0, 0, zone),
		"2026-01-31 10:00":     time.Date(2026, 1, 31, 10, 0, 0, 0, zone),
		"2026-01-31 10:00:01":  time.Date(2026, 1, 31, 10, 0, 1, 0, zone),
		"2026-01-31T10:00":     time.Date(2026, 1, 31, 10, 0, 0, 0, zone),
		"2026-01-31T10:00:01Z": time.Date(2026, 1, 31, 10, 0, 1, 0, time.UTC),
		"10:30":                time.Date(2026, 2, 1, 10, 30, 0, 0, zone),
		"10:30:15":             time.Date(2026, 2, 1, 10, 30, 15, 0, zone),
	} {
		if got, err := parseSince(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, want %v, %v", text, got, want, err)
		}
	}
	for _, text := range []string{"", "yesterday", "16:00", "2026-02-02", "2027-01-01T00:00:00Z", "-1h", "0s", "25:00", "2026-13-01", "2026-02-30"} {
		if got, err := parseSince(text, now); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
