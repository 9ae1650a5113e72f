package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// An agent that may write to the folder of the receipt puts links in its way.
func TestReceiptIsWrittenOverNoFileThatALinkNames(t *testing.T) {
	elsewhere := t.TempDir()
	mine := filepath.Join(elsewhere, "receipt.json")
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, swap := range map[string]func(folder string) error{
		"the file": func(folder string) error { return os.Symlink(mine, filepath.Join(folder, "receipt.json")) },
		"the folder": func(folder string) error {
			if err := os.Rename(folder, folder+".old"); err != nil {
				return err
			}
			return os.Symlink(elsewhere, folder)
		},
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "out")
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			f, err := openReceipt(filepath.Join(folder, "receipt.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := swap(folder); err != nil {
				t.Fatal(err)
			}
			// The control: through the name, the file of ours is what would be written.
			if text, err := os.ReadFile(filepath.Join(folder, "receipt.json")); err != nil || string(text) != "mine" {
				t.Fatalf("%q %v", text, err)
			}
			// A link in the file's place makes way. In another folder nobody would find it.
			if err := f.finish(receipt{}); (err != nil) != (name == "the folder") {
				t.Error(err)
			}
			if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
				t.Errorf("it holds %q %v", text, err)
			}
		})
	}
}

func TestReceiptNamesSoManyHostsAndCountsTheOthers(t *testing.T) {
	var s vault.Summary
	for i := range maxReceiptHosts + 2 {
		s.Hosts = append(s.Hosts, vault.HostCount{Target: policy.Target{Host: fmt.Sprintf("h%d.test", i), Port: 443}, BytesOut: 1})
	}
	var r receipt
	r.count(s)
	if len(r.Hosts) != maxReceiptHosts || r.MoreHosts != 2 || r.BytesOut != maxReceiptHosts+2 {
		t.Errorf("%d hosts, %d more, %d bytes", len(r.Hosts), r.MoreHosts, r.BytesOut)
	}
}
