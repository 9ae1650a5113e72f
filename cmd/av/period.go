package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxDays is a hundred years: beyond it, days are a slip of the finger.
const maxDays = 36500

// parsePeriod reads a duration as Go writes it, or a number of days: 30d.
func parsePeriod(s string) (time.Duration, error) {
	bad := withHint(fmt.Errorf("%s is no length of time", strconv.Quote(s)), "write it as 90m, 36h or 7d")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 32)
		if err != nil || n == 0 || n > maxDays {
			return 0, bad
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > maxDays*24*time.Hour {
		return 0, bad
	}
	return d, nil
}

// parseSince reads a moment: so long before now, a time of today, a day, or both.
func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := parsePeriod(s); err == nil {
		return now.Add(-d), nil
	}
	today := now.Format(time.DateOnly) + " "
	for _, try := range []struct{ layout, text string }{
		{time.RFC3339, s}, {time.DateOnly, s}, {time.DateTime, s}, {"2006-01-02 15:04", s}, {"2006-01-02T15:04:05", s}, {"2006-01-02T15:04", s},
		{time.DateTime, today + s}, {"2006-01-02 15:04", today + s},
	} {
		at, err := time.ParseInLocation(try.layout, try.text, now.Location())
		if err != nil {
			continue
		}
		if at.After(now) {
			return at, withHint(fmt.Errorf("--since %s is still to come", strconv.Quote(s)), "name a moment of the past, or how long ago it was, such as 2h")
		}
		return at, nil
	}
	return time.Time{}, withHint(fmt.Errorf("--since %s is no moment", strconv.Quote(s)), `write 90m or 7d, "2026-01-31", "2026-01-31 15:04" or "15:04"`)
}

// period writes what parsePeriod reads.
func period(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
