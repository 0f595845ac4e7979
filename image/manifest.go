package image

import (
	"encoding/json"
	"fmt"
)

// ManifestPath is where the image keeps its manifest.
const ManifestPath = "/etc/parley/manifest.json"

// Manifest says what an image was made of, so that it can be checked and made
// again.
type Manifest struct {
	Version string `json:"version"`
	// Epoch is SOURCE_DATE_EPOCH: seconds since 1970, the time of the commit.
	Epoch int64 `json:"epoch"`
	// Go is the compiler's version.
	Go string `json:"go"`
	// Kernel is the release, as uname -r prints it.
	Kernel  string   `json:"kernel"`
	Modules []string `json:"modules"`
	// Tools are the Go packages of the tools in /bbin.
	Tools []string `json:"tools"`
	// Packages are the Debian packages that files of the image come from.
	Packages []debPackage `json:"packages"`
}

func (m *Manifest) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return append(data, '\n'), nil
}
