package database

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"parley/services/database/databaseapi"
	"parley/services/durable"
)

// place is what this node is. Its file says which folder is the store: a join
// fills a new one while the old one stays, and to write this file is what makes
// the join final.
type place struct {
	Mode databaseapi.Mode `json:"mode"`
	// Folder of the store.
	Folder string `json:"folder"`
	// Servers are where a cluster was last seen that this node is connected
	// to, as "host:port", the one first that was given.
	Servers []string            `json:"servers,omitempty"`
	Last    databaseapi.Command `json:"last,omitzero"`
}

const (
	filePlace    = "node.json"
	folderPrefix = "store-"
)

// loadPlace reads the file, or makes up a node that is alone, and removes what
// a join has left that did not come to its end.
func loadPlace(dir string) (place, error) {
	p := place{Mode: databaseapi.Alone, Folder: folderPrefix + "1"}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return p, fmt.Errorf("database: %w", err)
	}
	data, err := os.ReadFile(filepath.Join(dir, filePlace))
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, fmt.Errorf("read %s: %w", filePlace, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return p, fmt.Errorf("database: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), folderPrefix) && e.Name() != p.Folder {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return p, fmt.Errorf("remove a store of before: %w", err)
			}
		}
	}
	return p, durable.Sweep(dir)
}

func (p place) save(dir string) error {
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", filePlace, err)
	}
	return durable.WriteFile(filepath.Join(dir, filePlace), append(data, '\n'), 0o600)
}

// nextFolder is one that a join may fill.
func (p place) nextFolder() string {
	if p.Folder == folderPrefix+"1" {
		return folderPrefix + "2"
	}
	return folderPrefix + "1"
}
