package netiso

import (
	"testing"
	"time"
)

func TestLockDecidesWhetherARunIsDead(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hour := now.Add(-time.Hour)
	week := now.Add(-7 * 24 * time.Hour)
	next := now.Add(365 * 24 * time.Hour)
	const day = 24 * time.Hour
	for _, c := range []struct {
		name      string
		s         sighting
		olderThan time.Duration
		want      bool
	}{
		{"a live run", sighting{ours: true, held: true, runs: true, newest: hour}, 0, false},
		{"a starting run, of which nothing runs yet", sighting{ours: true, held: true, newest: now}, 0, false},
		{"a live run that is older than asked for", sighting{ours: true, held: true, runs: true, newest: week}, day, false},
		{"a live run after the clock was put forward", sighting{ours: true, held: true, newest: time.Time{}.Add(time.Hour)}, day, false},
		{"a dead run", sighting{ours: true, newest: hour}, 0, true},
		{"a dead run whose agent still runs", sighting{ours: true, runs: true, newest: hour}, 0, true},
		{"a dead run of before the machine was started again", sighting{ours: true, newest: week}, 0, true},
		{"a dead run that only left host rules, which have no age", sighting{ours: true}, 0, true},
		{"a dead run after the clock was put back", sighting{ours: true, newest: next}, 0, true},
		{"a run that has ended by itself", sighting{ours: true, ended: true, newest: hour}, 0, false},
		{"a dead run, younger than asked for", sighting{ours: true, newest: hour}, day, false},
		{"a dead run, older than asked for", sighting{ours: true, newest: week}, day, true},
		{"a dead run of no known age, where an age is asked for", sighting{ours: true}, day, false},
		{"a dead run made in what is now the future, where an age is asked for", sighting{ours: true, newest: next}, day, false},
		{"another home's", sighting{newest: week}, 0, false},
		{"another home's without age", sighting{}, 0, false},
		{"another home's that runs", sighting{runs: true, newest: week}, day, false},
		{"another home's that starts", sighting{newest: now.Add(-time.Minute)}, day, false},
		{"another home's without age, where an age is asked for", sighting{}, day, false},
		{"another home's made in what is now the future", sighting{newest: next}, day, false},
		{"another home's, older than asked for", sighting{newest: week}, day, true},
		{"another home's, exactly as old as asked for", sighting{newest: now.Add(-day)}, day, true},
	} {
		reason, got := dead(c.s, c.olderThan, now)
		if got != c.want {
			t.Errorf("%s: got %v (%s), want %v", c.name, got, reason, c.want)
		}
		if reason == "" {
			t.Errorf("%s: no reason is given", c.name)
		}
	}
}

func TestThingIsOursByItsLabelsAndItsName(t *testing.T) {
	run := Run{ID: "7f3a00c1", Owner: "0123456789abcdef"}
	with := func(change ...string) map[string]string {
		labels := run.Labels()
		for i := 0; i < len(change); i += 2 {
			labels[change[i]] = change[i+1]
		}
		return labels
	}
	for _, c := range []struct {
		what, kind, name string
		labels           map[string]string
		want             bool
	}{
		{"a gate", KindContainer, "av-7f3a00c1-gate", run.Labels(), true},
		{"a keeper", KindKeeper, "av-7f3a00c1-keeper", run.Labels(), true},
		{"a keeper, taken for a container like the others", KindContainer, "av-7f3a00c1-keeper", run.Labels(), false},
		{"an agent", KindContainer, "av-7f3a00c1-agent", run.Labels(), true},
		{"an image that is read from", KindContainer, "av-7f3a00c1-image", run.Labels(), true},
		{"a network", KindNetwork, "av-7f3a00c1", run.Labels(), true},
		{"a volume", KindVolume, "av-7f3a00c1-cache", run.Labels(), true},
		{"labels of ours beside others", KindNetwork, "av-7f3a00c1", with("mine", "yes"), true},
		{"a container with our name and no labels", KindContainer, "av-7f3a00c1-gate", nil, false},
		{"a network with our name and no labels", KindNetwork, "av-7f3a00c1", map[string]string{"a": "b"}, false},
		{"a volume with our name and no labels", KindVolume, "av-7f3a00c1-cache", nil, false},
		{"one made of a committed agent", KindContainer, "mine", run.Labels(), false},
		{"a network with an agent's name", KindNetwork, "av-7f3a00c1-agent", run.Labels(), false},
		{"a volume whose name only begins as ours", KindVolume, "av-7f3a00c1x", run.Labels(), false},
		{"the labels of another run", KindNetwork, "av-7f3a00c1", with(LabelRun, "7f3a00c2"), false},
		{"an id that is a path", KindNetwork, "av-../../..", with(LabelRun, "../../.."), false},
		{"an id that is too long", KindNetwork, "av-7f3a00c1a", with(LabelRun, "7f3a00c1a"), false},
		{"another isolation", KindNetwork, "av-7f3a00c1", with(LabelIsolation, "0"), false},
		{"no owner", KindNetwork, "av-7f3a00c1", with(LabelOwner, ""), false},
		{"an owner's name that av does not give", KindNetwork, "av-7f3a00c1", with(LabelOwner, "root"), false},
		{"a kind that is none", "image", "av-7f3a00c1", run.Labels(), false},
	} {
		got, ok := claim(c.kind, c.name, c.labels)
		if ok != c.want || ok && got != run {
			t.Errorf("%s: got %v, %v", c.what, got, ok)
		}
	}
}
