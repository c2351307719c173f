// Package qr answers: where do the QR codes in a picture lead to?
//
//	pictures, err := qr.New(qr.Config{})
//	lists, err := surbl.New(surbl.Config{
//		Extract: surbl.Extraction{Decoders: []surbl.Decoder{pictures}},
//		…
//	})
//
// It reads QR codes (ISO/IEC 18004), up to 16 of a picture, in PNG, JPEG and the
// first frame of GIF: turned and mirrored ones, light on dark ones, and such
// without a margin. What a code holds is a URI or text with URIs in it: "URL:",
// "MATMSG:", "MECARD:", a card or a calendar are text too. A code that a person
// with a telephone could read may be too blurred, bent or dirty for it.
//
// Every picture is hostile. Its size is read before it is decoded; looking for
// codes costs each pixel a bounded number of steps, which the finder of
// github.com/makiuchi-d/gozxing, the port of ZXing that the rest of the work is
// left to, does not promise: ours stands before it.
package qr

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"runtime"

	"github.com/smtpguard/smtpguard/surbl"
)

// Errors of [Decoder.Decode]: the picture was not looked at.
var (
	ErrBytes  = errors.New("qr: over Config.Bytes")
	ErrPixels = errors.New("qr: over Config.Pixels")
	ErrScans  = errors.New("qr: JPEG with more scans than a picture needs")
)

// Config bounds what one picture may cost. The zero value of a field means its
// default.
type Config struct {
	Bytes    int // of a picture, as it is in the mail; 8 MiB
	Pixels   int // of a picture, which take up to 16 octets each; 4,194,304
	Parallel int // pictures looked at at once, for which others wait; GOMAXPROCS
}

// Decoder reads pictures. It is safe for concurrent use.
type Decoder struct {
	cfg  Config
	room chan struct{}
}

var _ surbl.Decoder = (*Decoder)(nil)

// New reports what is wrong with cfg.
func New(cfg Config) (*Decoder, error) {
	for _, f := range []struct {
		name     string
		value    *int
		fallback int
	}{{"Bytes", &cfg.Bytes, 8 << 20}, {"Pixels", &cfg.Pixels, 4 << 20}, {"Parallel", &cfg.Parallel, runtime.GOMAXPROCS(0)}} {
		if *f.value < 0 || *f.value > 1<<28 {
			return nil, fmt.Errorf("qr: Config.%s must be between 0 and 268,435,456", f.name)
		}
		if *f.value == 0 {
			*f.value = f.fallback
		}
	}
	return &Decoder{cfg: cfg, room: make(chan struct{}, cfg.Parallel)}, nil
}

// format is one in which pictures are written.
type format struct {
	magic  string
	size   func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

func formatOf(head []byte) (f format, ok bool) {
	for _, f := range [...]format{
		{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
		{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
		{"GIF8", gif.DecodeConfig, gif.Decode},
	} {
		if bytes.HasPrefix(head, []byte(f.magic)) {
			return f, true
		}
	}
	return f, false
}

// Reads reports whether a part is a picture, whatever it is called: that is how
// mail clients know them.
func (d *Decoder) Reads(_, _ string, head []byte) bool {
	_, ok := formatOf(head)
	return ok
}

// Decode calls found for what each code in a picture holds.
func (d *Decoder) Decode(body io.Reader, found func(text []byte, kind surbl.Kind, hidden surbl.Hidden)) error {
	d.room <- struct{}{}
	defer func() { <-d.room }()
	b, err := io.ReadAll(io.LimitReader(body, int64(d.cfg.Bytes)+1))
	if err != nil {
		return fmt.Errorf("qr: %w", err)
	}
	if len(b) > d.cfg.Bytes {
		return ErrBytes
	}
	img, err := d.picture(b)
	if err != nil || img == nil {
		return err
	}
	for _, text := range read(img) {
		found(text, surbl.Link, surbl.Pictured)
	}
	return nil
}

const (
	minSide  = 21 // modules of the smallest code
	maxScans = 64 // of a JPEG; encoders make ten
)

// picture decodes b. It is nil for what is too small for a code.
func (d *Decoder) picture(b []byte) (image.Image, error) {
	f, ok := formatOf(b)
	if !ok {
		return nil, errors.New("qr: no picture")
	}
	size, err := f.size(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("qr: %w", err)
	}
	if size.Width < minSide || size.Height < minSide {
		return nil, nil
	}
	if size.Width > d.cfg.Pixels/size.Height {
		return nil, ErrPixels
	}
	// Each scan may go over all of the picture, for a handful of octets.
	if f.magic[0] == 0xff && bytes.Count(b, []byte{0xff, 0xda}) > maxScans {
		return nil, ErrScans
	}
	img, err := f.decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("qr: %w", err)
	}
	return img, nil
}
