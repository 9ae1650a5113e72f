package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// maxReceiptHosts is how many targets a receipt names. The others are counted.
const maxReceiptHosts = 1000

// receipt is what is left of a run for whoever was not there: a CI job, an auditor. It
// holds no secret: of the command there is its name alone, for arguments may be one.
type receipt struct {
	Run       string          `json:"run"`
	Isolation string          `json:"isolation"`
	Command   string          `json:"command"`
	Image     string          `json:"image,omitempty"`
	Began     time.Time       `json:"began"`
	Ended     time.Time       `json:"ended"`
	ExitCode  int             `json:"exit_code"`
	Error     string          `json:"error,omitempty"` // of av's own
	Requests  int             `json:"requests"`
	Denied    int             `json:"denied"`
	Lost      int             `json:"lost"`     // records that could not be written
	NotKept   int             `json:"not_kept"` // requests beyond those that are recorded
	BytesOut  int64           `json:"bytes_out"`
	BytesIn   int64           `json:"bytes_in"`
	Hosts     []hostSeen      `json:"hosts"`
	MoreHosts int             `json:"more_hosts,omitempty"`
	Published []publishedPort `json:"published,omitempty"`
	// Start is how long the parts of the start took, in milliseconds; some go side by side.
	Start map[string]float64 `json:"start_ms,omitempty"`
	// Walls are what held the command; empty where there was none, or it was on the host.
	Walls runner.Walls `json:"walls,omitempty"`
	// HostServices are the endpoints of this side's network that it was given.
	HostServices []policy.HostService `json:"host_services,omitempty"`
	// Both are null where they could not be read.
	Refused     *stopped `json:"refused"`
	HostDropped *int64   `json:"host_dropped"` // packets that got past the walls in the box

	wallsChanged bool
}

// hostSeen is what went to one target.
type hostSeen struct {
	Target   string `json:"target"`
	Requests int    `json:"requests"`
	Denied   int    `json:"denied,omitempty"`
	Failed   int    `json:"failed,omitempty"`
	BytesOut int64  `json:"bytes_out"`
	BytesIn  int64  `json:"bytes_in"`
	Reason   string `json:"reason,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

func (r *receipt) took(parts map[string]time.Duration) {
	r.Start = map[string]float64{}
	for part, d := range parts {
		r.Start[part] = float64(d.Microseconds()) / 1000
	}
}

func (r *receipt) count(s vault.Summary) {
	r.Requests, r.Denied, r.Lost, r.NotKept = s.Requests, s.Denied, s.Lost, s.NotKept
	for _, h := range s.Hosts {
		r.BytesOut += h.BytesOut
		r.BytesIn += h.BytesIn
		if len(r.Hosts) == maxReceiptHosts {
			r.MoreHosts++
			continue
		}
		seen := hostSeen{
			Requests: h.Requests, Denied: h.Denied, Failed: h.Failed,
			BytesOut: h.BytesOut, BytesIn: h.BytesIn, Reason: h.Reason, Hint: h.Hint,
		}
		if h.Target.Host != "" { // else it could not be read
			seen.Target = h.Target.String()
		}
		if seen.Hint == "" {
			seen.Hint = h.RawHint
		}
		r.Hosts = append(r.Hosts, seen)
	}
}

// receiptFile is where a receipt will be. Its folder is opened before the command starts:
// an agent that may write there could put a link in its place, and have the receipt
// written over a file of ours.
type receiptFile struct {
	folder *os.Root
	name   string
	path   string // as it was said: who looks for the receipt looks there
}

func openReceipt(path string) (*receiptFile, error) {
	if path == "" {
		return nil, nil
	}
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return nil, withHint(fmt.Errorf("--receipt: %s is no file", path), "name a file, which may be there already")
	}
	folder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, withHint(fmt.Errorf("--receipt: %w", err), "name a file in a folder that is there")
	}
	f := &receiptFile{folder, filepath.Base(path), path}
	if err := f.write(nil); err != nil {
		return nil, withHint(errors.Join(fmt.Errorf("--receipt: %w", err), folder.Close()), "name a file in a folder that you can write to")
	}
	return f, nil
}

// write makes the file, mode 0600, with all of content or not at all. Without content it
// only tries.
func (f *receiptFile) write(content []byte) error {
	temporary := ".av-receipt-" + rand.Text()
	err := f.folder.WriteFile(temporary, content, 0o600)
	if err == nil && content != nil {
		err = f.folder.Rename(temporary, f.name)
	}
	if err != nil || content == nil {
		if removed := f.folder.Remove(temporary); !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

// isWhereItWasSaid refuses to call a receipt written that nobody will read: an agent could
// have moved its folder away, and left another with a receipt of its own.
func (f *receiptFile) isWhereItWasSaid() error {
	mine, err := f.folder.Lstat(f.name)
	if err != nil {
		return err
	}
	there, err := os.Lstat(f.path)
	if err == nil && !os.SameFile(mine, there) {
		err = errors.New("another file is there: its folder was moved while the command ran")
	}
	return err
}

// finish writes r, where somebody wants one.
func (f *receiptFile) finish(r receipt) error {
	if f == nil {
		return nil
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = f.write(append(content, '\n'))
	}
	if err == nil {
		err = f.isWhereItWasSaid()
	}
	if err = errors.Join(err, f.folder.Close()); err != nil {
		return fmt.Errorf("write the receipt %s: %w", f.name, err)
	}
	return nil
}
