package pdf

import (
	"bytes"
	"image"
	"image/png"
	"slices"
)

const (
	maxPictures = 8  // of a document
	minSide     = 21 // pixels: the modules of the smallest QR code
)

// readPictures gives the pictures of a document to Config.Pictures. What is
// drawn as lines and areas is none.
func (s *scanner) readPictures(b []byte) {
	n := 0
	for i := range s.streams {
		st := &s.streams[i]
		if st.width < minSide || st.height < minSide || st.objects {
			continue
		}
		picture := s.picture(b, st)
		if picture == nil {
			continue
		}
		if n++; n > maxPictures {
			s.fail(ErrPictures)
			return
		}
		if err := s.pictures.Decode(bytes.NewReader(picture), s.found); err != nil {
			s.fail(err)
		}
	}
}

// picture is what a stream holds, as JPEG or PNG; nil for what is no picture, or
// in another form.
func (s *scanner) picture(b []byte, st *stream) []byte {
	if slices.Equal(st.filters, []string{"DCTDecode"}) || slices.Equal(st.filters, []string{"DCT"}) { // a JPEG as it is
		return b[st.at:st.end]
	}
	for _, f := range st.filters {
		if !slices.Contains([]string{"FlateDecode", "Fl", "ASCIIHexDecode", "AHx", "ASCII85Decode", "A85"}, f) {
			return nil
		}
	}
	grey := st.grey(s.inflate(b, st))
	if grey == nil {
		return nil
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&out, grey); err != nil {
		return nil
	}
	return out.Bytes()
}

// grey makes a picture of samples (section 8.9.5). How many there are of a pixel
// is told from how many there are in all. Those of an indexed color space are
// taken for shades: two of them are all that a code needs.
func (st *stream) grey(data []byte) *image.Gray {
	if st.width > 1<<14 || st.height > 1<<14 || st.bits != 1 && st.bits != 8 || len(data) == 0 {
		return nil
	}
	n := 0
	for _, samples := range []int{4, 3, 1} {
		if row := (st.width*samples*st.bits + 7) / 8; row*st.height <= len(data) {
			n = samples
			break
		}
	}
	if n == 0 || n > 1 && st.bits == 1 {
		return nil
	}
	img := image.NewGray(image.Rect(0, 0, st.width, st.height))
	row := (st.width*n*st.bits + 7) / 8
	low, high := 255, 0
	for y := range st.height {
		line := data[y*row : (y+1)*row]
		for x := range st.width {
			var v int
			switch {
			case st.bits == 1:
				v = int(line[x/8] >> (7 - x%8) & 1)
			case n == 1:
				v = int(line[x])
			default:
				p := line[x*n:]
				if v = (int(p[0]) + int(p[1]) + int(p[2])) / 3; n == 4 { // ink, not light
					v = 255 - min(255, v+int(p[3]))
				}
			}
			low, high = min(low, v), max(high, v)
			img.Pix[y*img.Stride+x] = byte(v)
		}
	}
	if high == low {
		return nil
	}
	for i, v := range img.Pix {
		img.Pix[i] = byte((int(v) - low) * 255 / (high - low))
	}
	return img
}
