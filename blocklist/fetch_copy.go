package blocklist

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"time"
)

// copyMeta is what is known of the copy of a fetched list. It lies beside it, in
// a file whose name ends in ".meta", and counts only for a copy with its sum.
type copyMeta struct {
	URL          string    `json:"url"`
	SHA256       string    `json:"sha256"`
	Checked      time.Time `json:"checked"` // when the server last said that this is the version
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"last_modified,omitempty"`
}

// readMeta reads what lies beside a file; ok is false when that is nothing.
func readMeta(file string) (m copyMeta, ok bool) {
	f, err := os.Open(file + ".meta")
	if err != nil {
		return m, false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return copyMeta{}, false
	}
	return m, true
}

// write puts m beside a file.
func (m copyMeta) write(file string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".meta.*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // does nothing once it has its name
	_, err = temp.Write(text)
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), file+".meta")
}
