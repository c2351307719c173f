package qr

import (
	"bytes"
	"image"
	"image/color"
	"slices"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode/decoder"
	"github.com/makiuchi-d/gozxing/qrcode/detector"
)

const (
	maxCodes = 16  // of a picture
	maxTries = 64  // to read a code, of one way to look at a picture
	small    = 256 // a picture no larger is enlarged, so that the modules of its codes are
	larger   = 3
)

// read returns what the codes in a picture hold, each once.
func read(img image.Image) (texts [][]byte) {
	grey, width, height := luminance(img)
	if width <= small && height <= small {
		grey, width, height = enlarged(grey, width, height)
	}
	source, err := gozxing.NewPlanarYUVLuminanceSource(grey, width, height, 0, 0, width, height, false)
	if err != nil {
		return nil
	}
	// What is dark is told from what is around it, then from the whole picture;
	// codes are dark on light, or the other way round.
	for _, b := range []gozxing.Binarizer{gozxing.NewHybridBinarizer(source), gozxing.NewGlobalHistgramBinarizer(source)} {
		dark, err := b.GetBlackMatrix()
		if err != nil {
			continue
		}
		for range 2 {
			texts = codes(dark, texts)
			dark.FlipAll()
		}
	}
	return texts
}

// codes appends what the codes in a picture hold that is not there yet.
func codes(dark *gozxing.BitMatrix, texts [][]byte) [][]byte {
	centers := find(dark)
	used := make([]bool, len(centers))
	tries := 0
	for _, t := range triples(centers) {
		if used[t.corner] || used[t.a] || used[t.b] {
			continue
		}
		if tries++; tries > maxTries || len(texts) == maxCodes {
			break
		}
		text := decode(dark, centers, t)
		if text == nil {
			continue
		}
		used[t.corner], used[t.a], used[t.b] = true, true, true
		if !slices.ContainsFunc(texts, func(other []byte) bool { return bytes.Equal(other, text) }) {
			texts = append(texts, text)
		}
	}
	return texts
}

// decode reads the code whose finder patterns are t; nil is none. What the
// library panics at is none.
func decode(dark *gozxing.BitMatrix, centers []center, t triple) (text []byte) {
	defer func() {
		if recover() != nil {
			text = nil
		}
	}()
	pattern := func(i int) *detector.FinderPattern {
		return detector.NewFinderPattern1(centers[i].x, centers[i].y, centers[i].module)
	}
	found, err := detector.NewDetector(dark).ProcessFinderPatternInfo(detector.NewFinderPatternInfo(pattern(t.b), pattern(t.corner), pattern(t.a)))
	if err != nil {
		return nil
	}
	result, err := decoder.NewDecoder().Decode(found.GetBits(), nil)
	if err != nil {
		return nil
	}
	return unescaped([]byte(result.GetText()))
}

// unescaped undoes the escapes of "MECARD:", "MATMSG:" and "WIFI:".
func unescaped(b []byte) []byte {
	for _, c := range []string{":", ";", ",", `"`} {
		b = bytes.ReplaceAll(b, []byte(`\`+c), []byte(c))
	}
	return b
}

// luminance is how light each pixel is. What is transparent lies on white.
func luminance(img image.Image) (grey []byte, width, height int) {
	r := img.Bounds()
	width, height = r.Dx(), r.Dy()
	grey = make([]byte, width*height)
	switch img := img.(type) {
	case *image.Gray:
		for y := range height {
			copy(grey[y*width:(y+1)*width], img.Pix[y*img.Stride:])
		}
		return grey, width, height
	case *image.YCbCr:
		for y := range height {
			copy(grey[y*width:(y+1)*width], img.Y[y*img.YStride:])
		}
		return grey, width, height
	case *image.Paletted:
		var table [256]byte
		for i, c := range img.Palette {
			table[i] = lightness(c)
		}
		for y := range height {
			for x, i := range img.Pix[y*img.Stride : y*img.Stride+width] {
				grey[y*width+x] = table[i]
			}
		}
		return grey, width, height
	}
	for y := range height {
		for x := range width {
			grey[y*width+x] = lightness(img.At(r.Min.X+x, r.Min.Y+y))
		}
	}
	return grey, width, height
}

func lightness(c color.Color) byte {
	r, g, b, a := c.RGBA()
	return byte((299*r+587*g+114*b)/1000>>8 + (0xffff-a)>>8)
}

// enlarged is a picture in which each pixel is a square of them.
func enlarged(grey []byte, width, height int) (big []byte, w, h int) {
	w, h = width*larger, height*larger
	big = make([]byte, w*h)
	for y := range h {
		for x := range w {
			big[y*w+x] = grey[y/larger*width+x/larger]
		}
	}
	return big, w, h
}
