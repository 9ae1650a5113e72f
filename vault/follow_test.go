package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// following follows in a goroutine, and hands over the path of each record.
func following(t *testing.T, v *Vault, f Filter) (paths <-chan string, stop func() error) {
	t.Helper()
	seen := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- v.Follow(ctx, Owner(), f, func(list []Entry) error {
			for _, e := range list {
				select {
				case seen <- e.Path:
				case <-ctx.Done():
				}
			}
			return nil
		})
	}()
	return seen, func() error { cancel(); return <-done }
}

func next(t *testing.T, paths <-chan string) string {
	t.Helper()
	select {
	case p := <-paths:
		return p
	case <-time.After(10 * time.Second):
		t.Fatal("nothing comes")
		return ""
	}
}

func TestFollowerSeesWhatWasAndWhatComesOnceAndInOrder(t *testing.T) {
	v, o := recording(t, time.Now)
	other, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	for i := range 5 {
		other.Record(Entry{Path: fmt.Sprint(i), Allowed: true})
	}
	recorded(t, other, "") // writes them
	paths, stop := following(t, v, Filter{Limit: 2})
	for _, want := range []string{"3", "4"} {
		if got := next(t, paths); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	const many = 3*followPiece + 7
	go func() {
		for i := range many {
			other.Record(Entry{Path: fmt.Sprint("new", i), Allowed: true})
		}
	}()
	for i := range many {
		if got, want := next(t, paths), fmt.Sprint("new", i); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
	v.Record(Entry{Path: "own", Allowed: true})
	if got := next(t, paths); got != "own" {
		t.Error(got)
	}
	if err := stop(); err != nil {
		t.Errorf("an end that was asked for: %v", err)
	}
}

// What does not match is skipped, and what comes after it is not.
func TestFollowerSeesOnlyWhatItAskedFor(t *testing.T) {
	v, _ := recording(t, time.Now)
	paths, stop := following(t, v, Filter{Run: "r", Host: "*.a.test", Denied: true})
	for i, e := range []Entry{
		{Run: "r", Host: "x.a.test", Allowed: true}, {Run: "q", Host: "x.a.test"}, {Run: "r", Host: "a.test"}, {Run: "r", Host: "x.y.a.test"}, {Run: "r", Host: "b.test"},
		{Run: "r", Host: "x.a.test"}, {Run: "r", Host: "y.a.test"},
	} {
		e.Path = fmt.Sprint(i)
		v.Record(e)
	}
	for _, want := range []string{"5", "6"} {
		if got := next(t, paths); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestFollowerThatCannotShowStops(t *testing.T) {
	v, _ := recording(t, time.Now)
	full := errors.New("full")
	if err := v.Follow(t.Context(), Owner(), Filter{}, func([]Entry) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestFilterFindsTheRecordsThatAreMeant(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v, _ := recording(t, func() time.Time { return start })
	for i, e := range []Entry{
		{Run: "r", Host: "a.test", Allowed: true}, {Run: "r", Host: "x.a.test"}, {Run: "q", Host: "a.test"}, {Run: "q", Host: "192.0.2.1", Allowed: true}, {Run: "q", Host: "x_a.test"},
	} {
		e.Time, e.Path = start.Add(time.Duration(i)*time.Minute), fmt.Sprint(i)
		v.Record(e)
	}
	// The second again, so much later that it is among the newer ones.
	v.Record(Entry{Run: "r", Host: "x.a.test", Time: start.Add(90 * time.Second)})
	for name, c := range map[string]struct {
		f    Filter
		want []string
	}{
		"all":           {Filter{}, []string{"0", "1", "2", "3", "4"}},
		"run":           {Filter{Run: "r"}, []string{"0", "1"}},
		"host":          {Filter{Host: "A.test."}, []string{"0", "2"}},
		"wildcard":      {Filter{Host: "*.a.test"}, []string{"1"}},
		"a public one":  {Filter{Host: "*.test"}, []string{"0", "2", "4"}},
		"address":       {Filter{Host: "192.0.2.1"}, []string{"3"}},
		"denied":        {Filter{Denied: true}, []string{"1", "2", "4"}},
		"since":         {Filter{Since: start.Add(2 * time.Minute)}, []string{"2", "3", "4"}},
		"since, folded": {Filter{Since: start.Add(80 * time.Second)}, []string{"1", "2", "3", "4"}},
		"newest":        {Filter{Limit: 2}, []string{"3", "4"}},
		"all of them":   {Filter{Run: "q", Host: "a.test", Denied: true, Since: start, Limit: 5}, []string{"2"}},
		"none":          {Filter{Run: "x"}, nil},
	} {
		list, err := v.Records(t.Context(), Owner(), c.f)
		var got []string
		for _, e := range list {
			got = append(got, e.Path)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v, %v", name, got, c.want, err)
		}
	}
	for _, host := range []string{"*", "*.", "a.*.test", "a b", "a.test:443", "%"} {
		if _, err := v.Records(t.Context(), Owner(), Filter{Host: host}); err == nil {
			t.Errorf("host %q is taken", host)
		}
	}
}
