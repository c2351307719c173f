package report

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"path"
	"strings"
)

// Read reads a report: XML, or that packed with gzip or zip, whatever it is
// called. More than limits allow is ErrTooLarge, however well it is packed.
func Read(r io.Reader, limits Limits) (*Feedback, error) {
	limits = limits.withDefaults()
	return read(r, limits)
}

func read(r io.Reader, limits Limits) (*Feedback, error) {
	br := bufio.NewReader(&bounded{r: r, left: limits.Packed})
	head, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("report: %w", err)
	}
	switch {
	case strings.HasPrefix(string(head), packed[0]):
		z, err := gzip.NewReader(br)
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		return parse(z, limits)
	case strings.HasPrefix(string(head), packed[1]):
		return readZip(br, limits)
	}
	limits.Octets = min(limits.Octets, limits.Packed)
	return parse(br, limits)
}

// maxFiles bounds the files of an archive. A report's has one.
const maxFiles = 20

// readZip reads the first file of an archive that is XML by its name, or the one
// that it has.
func readZip(r io.Reader, limits Limits) (*Feedback, error) {
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if len(z.File) > maxFiles {
		return nil, fmt.Errorf("%w: %d files", ErrTooLarge, len(z.File))
	}
	for _, file := range z.File {
		if len(z.File) > 1 && (!strings.EqualFold(path.Ext(file.Name), ".xml") || strings.HasPrefix(file.Name, "__MACOSX/")) {
			continue
		}
		f, err := file.Open()
		if err != nil {
			return nil, fmt.Errorf("report: %w", err)
		}
		defer f.Close()
		return parse(f, limits)
	}
	return nil, errors.New("report: no XML in the archive")
}

const (
	maxParts = 50 // of a message
	maxNest  = 5  // of multiparts
)

var errNoReport = errors.New("report: no report in the message")

// ReadMail reads the first report that is attached to a message, or is its body.
// Who sent it is for the caller to check: reports are to pass DMARC themselves
// (RFC 9990, section 3.5.2).
func ReadMail(r io.Reader, limits Limits) (*Feedback, error) {
	limits = limits.withDefaults()
	// A message in base64 is a third larger than what it carries, and has its
	// line ends and header besides.
	m, err := mail.ReadMessage(&bounded{r: r, left: limits.Packed + limits.Packed/2})
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	w := mailWalk{limits: limits, err: errNoReport}
	if err := w.part(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body, 0); err != nil {
		return nil, err
	}
	if w.found == nil {
		return nil, w.err
	}
	return w.found, nil
}

// mailWalk goes through the parts of a message until it has found a report.
type mailWalk struct {
	limits Limits
	parts  int
	found  *Feedback
	err    error // of the last part that looked like a report
}

func (w *mailWalk) part(contentType, encoding string, body io.Reader, depth int) error {
	if w.parts++; w.parts > maxParts || depth > maxNest {
		return fmt.Errorf("%w: too many parts", ErrTooLarge)
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil && strings.HasPrefix(media, "multipart/") {
		return w.multipart(params["boundary"], body, depth)
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	br := bufio.NewReader(body)
	head, _ := br.Peek(512)
	text := strings.TrimLeft(string(head), "\ufeff \t\r\n")
	if !isPacked(head) && !strings.HasPrefix(text, "<?xml") && !strings.HasPrefix(text, "<feedback") {
		return nil
	}
	f, err := read(br, w.limits)
	if errors.Is(err, ErrTooLarge) {
		return err
	}
	w.found = f
	if err != nil {
		w.err = err
	}
	return nil
}

func (w *mailWalk) multipart(boundary string, body io.Reader, depth int) error {
	if boundary == "" {
		return nil
	}
	mr := multipart.NewReader(body, boundary)
	for w.found == nil {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("report: %w", err)
		}
		if err := w.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1); err != nil {
			return err
		}
	}
	return nil
}
