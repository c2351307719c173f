package qr_test

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/smtpguard/smtpguard/internal/require"
	"github.com/smtpguard/smtpguard/surbl"
	"github.com/smtpguard/smtpguard/surbl/qr"
)

//go:embed testdata/evil.png
var evil []byte // by qrencode: http://www.evil.com/x

func reader(t testing.TB, cfg qr.Config) *qr.Decoder {
	t.Helper()
	d, err := qr.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// read is what d finds in b.
func read(d *qr.Decoder, b []byte) (list []string, err error) {
	err = d.Decode(bytes.NewReader(b), func(text []byte, kind surbl.Kind, hidden surbl.Hidden) {
		if kind != surbl.Link || hidden != surbl.Pictured {
			list = append(list, fmt.Sprint(kind, hidden))
		}
		list = append(list, string(text))
	})
	return list, err
}

func picture(t testing.TB, b []byte) image.Image {
	t.Helper()
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func asPNG(img image.Image) []byte {
	var b bytes.Buffer
	_ = png.Encode(&b, img)
	return b.Bytes()
}

// moved is img on a ground, each of whose pixels comes from where from says.
func moved(img image.Image, width, height int, ground color.Color, from func(x, y float64) (float64, float64)) image.Image {
	out := image.NewRGBA(image.Rect(0, 0, width, height))
	r := img.Bounds()
	for y := range height {
		for x := range width {
			fx, fy := from(float64(x), float64(y))
			at := image.Pt(int(math.Floor(fx)), int(math.Floor(fy))).Add(r.Min)
			if at.In(r) {
				out.Set(x, y, img.At(at.X, at.Y))
			} else {
				out.Set(x, y, ground)
			}
		}
	}
	return out
}

// scaled is img, n times as large.
func scaled(img image.Image, n float64) image.Image {
	r := img.Bounds()
	return moved(img, int(float64(r.Dx())*n), int(float64(r.Dy())*n), color.White, func(x, y float64) (float64, float64) { return x / n, y / n })
}

// turned is img, turned by an angle in degrees.
func turned(img image.Image, degrees float64) image.Image {
	r := img.Bounds()
	size := int(float64(max(r.Dx(), r.Dy())) * 1.5)
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	return moved(img, size, size, color.White, func(x, y float64) (float64, float64) {
		x, y = x-float64(size)/2, y-float64(size)/2
		return x*cos + y*sin + float64(r.Dx())/2, y*cos - x*sin + float64(r.Dy())/2
	})
}

// colored is img with its colors changed.
func colored(img image.Image, change func(color.Gray) color.Color) image.Image {
	r := img.Bounds()
	out := image.NewNRGBA(r)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			out.Set(x, y, change(color.GrayModel.Convert(img.At(x, y)).(color.Gray)))
		}
	}
	return out
}

func cut(img image.Image, r image.Rectangle) image.Image {
	out := image.NewGray(r)
	draw.Draw(out, r, img, r.Min, draw.Src)
	return out
}

// TestOne has a code found however it is shown.
func TestOne(t *testing.T) {
	d := reader(t, qr.Config{})
	img := picture(t, evil)
	margin := 2 * 3
	noise := rand.New(rand.NewPCG(1, 2))
	pictures := map[string][]byte{
		"as it is":          evil,
		"without margin":    asPNG(cut(img, img.Bounds().Inset(margin))),
		"light on dark":     asPNG(colored(img, func(c color.Gray) color.Color { return color.Gray{255 - c.Y} })),
		"in colors":         asPNG(colored(img, func(c color.Gray) color.Color { return color.RGBA{c.Y / 2, 90 + c.Y/3, 200, 255} })),
		"on nothing":        asPNG(colored(img, func(c color.Gray) color.Color { return color.NRGBA{0, 0, 0, 255 - c.Y} })),
		"faint":             asPNG(colored(img, func(c color.Gray) color.Color { return color.Gray{150 + c.Y/5} })),
		"noisy":             asPNG(colored(scaled(img, 2), func(c color.Gray) color.Color { return color.Gray{c.Y/2 + uint8(noise.IntN(100))} })),
		"a pixel a module":  asPNG(scaled(img, 1.0/3)),
		"large":             asPNG(scaled(img, 8)),
		"at an odd size":    asPNG(scaled(img, 1.7)),
		"mirrored":          asPNG(moved(img, img.Bounds().Dx(), img.Bounds().Dy(), color.White, func(x, y float64) (float64, float64) { return float64(img.Bounds().Dx()) - 1 - x, y })),
		"slanted":           asPNG(moved(scaled(img, 3), 400, 400, color.White, func(x, y float64) (float64, float64) { return x - y/8, y - 30 })),
		"in a large ground": asPNG(moved(scaled(img, 2), 700, 600, color.Gray{200}, func(x, y float64) (float64, float64) { return x - 411, y - 377 })),
	}
	for _, degrees := range []float64{3, 30, 45, 60, 90, 135, 180, 200, 270, 315} {
		pictures[fmt.Sprintf("turned by %g", degrees)] = asPNG(turned(scaled(img, 2), degrees))
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, scaled(img, 2), &jpeg.Options{Quality: 30})
	pictures["JPEG"] = bytes.Clone(b.Bytes())
	b.Reset()
	_ = gif.Encode(&b, img, nil)
	pictures["GIF"] = b.Bytes()
	for name, p := range pictures {
		if !d.Reads("application/octet-stream", "", p[:64]) {
			t.Errorf("%s: not read", name)
		}
		list, err := read(d, p)
		if err != nil || !slices.Equal(list, []string{"http://www.evil.com/x"}) {
			t.Errorf("%s: %q, error %v", name, list, err)
		}
	}
	if d.Reads("image/png", "a.png", []byte("<html>")) {
		t.Error("a page is read as a picture")
	}
}

// encoded is a code that qrencode makes.
func encoded(t *testing.T, text string, options ...string) image.Image {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), require.Program(t, "qrencode"), append(options, "-o", "-")...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return picture(t, out)
}

func TestQrencode(t *testing.T) {
	d := reader(t, qr.Config{})
	for _, tt := range []struct {
		text    string
		options []string
		want    string
	}{
		{"http://evil.com/", nil, ""},
		{"HTTP://EVIL.COM/X", nil, ""},
		{"evil.com", []string{"-l", "H"}, ""},
		{"http://evil.com/" + strings.Repeat("x", 100), []string{"-l", "Q", "-s", "2"}, ""},
		{"http://evil.com/" + strings.Repeat("y", 1000), []string{"-s", "4"}, ""},
		{"http://evil.com/", []string{"-v", "40", "-s", "4"}, ""},
		{"http://evil.com/", []string{"-v", "7", "-s", "1", "-m", "1"}, ""},
		{"https://bücher.example/", []string{"-8"}, ""},
		{`MECARD:N:A;URL:http\://evil.com/;;`, nil, "MECARD:N:A;URL:http://evil.com/;;"},
		{"MATMSG:TO:a@evil.com;SUB:x;BODY:y;;", nil, ""},
		{"BEGIN:VCARD\nURL:http://evil.com/\nEND:VCARD", nil, ""},
		{"http://evil.com/", []string{"--foreground", "884422", "--background", "FFEEDD"}, ""},
		{"http://evil.com/", []string{"-t", "PNG32", "--background", "FFFFFF00"}, ""},
	} {
		want := tt.want
		if want == "" {
			want = tt.text
		}
		list, err := read(d, asPNG(encoded(t, tt.text, tt.options...)))
		if err != nil || !slices.Equal(list, []string{want}) {
			t.Errorf("%.40s %v: %q, error %v", tt.text, tt.options, list, err)
		}
	}
}

// TestMany has several codes of a picture found, and no more than there is room
// for.
func TestMany(t *testing.T) {
	d := reader(t, qr.Config{})
	page := image.NewGray(image.Rect(0, 0, 900, 900))
	draw.Draw(page, page.Bounds(), image.White, image.Point{}, draw.Src)
	var want []string
	for i := range 9 {
		text := fmt.Sprintf("http://host%d.com/", i)
		want = append(want, text)
		img := encoded(t, text)
		if i == 4 {
			img = colored(img, func(c color.Gray) color.Color { return color.Gray{255 - c.Y} })
		}
		draw.Draw(page, image.Rect(0, 0, 300, 300).Add(image.Pt(i%3*300+i, i/3*300)), img, image.Point{}, draw.Src)
	}
	list, err := read(d, asPNG(page))
	slices.Sort(list)
	if err != nil || !slices.Equal(list, want) {
		t.Errorf("%q, error %v", list, err)
	}
}

// patterns is a picture full of what looks like finder patterns.
func patterns(side, module int) image.Image {
	img := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			dx, dy := x/module%8, y/module%8
			ring := max(abs(dx-3), abs(dy-3))
			img.SetGray(x, y, color.Gray{255})
			if ring <= 1 || ring == 3 {
				img.SetGray(x, y, color.Gray{0})
			}
		}
	}
	return img
}

// stripes has the ratios of a finder pattern in every line.
func stripes(side, module int) image.Image {
	img := image.NewGray(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			if c := x / module % 8; c == 1 || c == 5 || c == 7 {
				img.SetGray(x, y, color.Gray{255})
			}
		}
	}
	return img
}

func abs(n int) int { return max(n, -n) }

// header is the beginning of a PNG of a size that nobody has the memory for.
func header(width, height uint32) []byte {
	b := bytes.Clone(evil[:8+8+13+4])
	binary.BigEndian.PutUint32(b[16:], width)
	binary.BigEndian.PutUint32(b[20:], height)
	b[24], b[25] = 8, 0 // grey
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

func TestBounds(t *testing.T) {
	scans := []byte("\xff\xd8\xff\xc2\x00\x0b\x08\x01\x00\x01\x00\x01\x01\x11\x00" + strings.Repeat("\xff\xda\x00\x08\x01\x01\x00\x00\x00\x00", 100))
	for _, tt := range []struct {
		name string
		b    []byte
		cfg  qr.Config
		want error
	}{
		{"patterns", asPNG(patterns(300, 1)), qr.Config{}, nil},
		{"larger patterns", asPNG(patterns(300, 4)), qr.Config{}, nil},
		{"stripes", asPNG(stripes(300, 1)), qr.Config{}, nil},
		{"many pixels", header(1<<14, 1<<14), qr.Config{}, qr.ErrPixels},
		{"too many pixels", asPNG(image.NewGray(image.Rect(0, 0, 101, 100))), qr.Config{Pixels: 10000}, qr.ErrPixels},
		{"many octets", evil, qr.Config{Bytes: 100}, qr.ErrBytes},
		{"many scans", scans, qr.Config{}, qr.ErrScans},
		{"a dot", asPNG(image.NewGray(image.Rect(0, 0, 1, 5000))), qr.Config{}, nil},
		{"nothing but dark", asPNG(image.NewGray(image.Rect(0, 0, 300, 300))), qr.Config{}, nil},
	} {
		list, err := read(reader(t, tt.cfg), tt.b)
		if !errors.Is(err, tt.want) || err != nil && tt.want == nil || len(list) > 0 {
			t.Errorf("%s: %q, error %v", tt.name, list, err)
		}
	}
	for name, b := range map[string][]byte{"cut off": evil[:150], "no picture": []byte("x"), "nothing": nil, "a header": header(50, 50)} {
		if list, err := read(reader(t, qr.Config{}), b); err == nil || !strings.HasPrefix(err.Error(), "qr: ") || len(list) > 0 {
			t.Errorf("%s: %q, error %v", name, list, err)
		}
	}
	if _, err := qr.New(qr.Config{Pixels: -1}); err == nil || !strings.HasPrefix(err.Error(), "qr: Config.Pixels ") {
		t.Errorf("error %v", err)
	}
	failed := errors.New("failed")
	if err := reader(t, qr.Config{}).Decode(failing{failed}, nil); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzDecode(f *testing.F) {
	f.Add(evil)
	f.Add(asPNG(patterns(100, 1)))
	var b bytes.Buffer
	img, _ := png.Decode(bytes.NewReader(evil))
	_ = gif.Encode(&b, img, nil)
	f.Add(b.Bytes())
	d := reader(f, qr.Config{Pixels: 1 << 16})
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = read(d, b) })
}

// FuzzPicture changes the modules of a code: what is read of it is another
// matter, but it must end.
func FuzzPicture(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	img, err := png.Decode(bytes.NewReader(evil))
	if err != nil {
		f.Fatal(err)
	}
	d := reader(f, qr.Config{})
	f.Fuzz(func(t *testing.T, b []byte) {
		grey := image.NewGray(img.Bounds())
		draw.Draw(grey, grey.Bounds(), img, image.Point{}, draw.Src)
		for len(b) >= 3 {
			x, y := int(b[0])%grey.Rect.Dx()/3*3, int(b[1])%grey.Rect.Dy()/3*3
			draw.Draw(grey, image.Rect(x, y, x+3, y+3), image.NewUniform(color.Gray{b[2]}), image.Point{}, draw.Src)
			b = b[3:]
		}
		list, err := read(d, asPNG(grey))
		if err != nil || len(list) > 1 {
			t.Errorf("%q, error %v", list, err)
		}
	})
}
