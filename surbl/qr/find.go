package qr

import (
	"cmp"
	"math"
	"slices"

	"github.com/makiuchi-d/gozxing"
)

// center is that of a finder pattern: the squares in three corners of a code
// (ISO/IEC 18004, section 5.3.3).
type center struct {
	x, y   float64
	module float64 // size of a module, in pixels
	lines  int     // in which it was seen
}

const (
	maxCenters = 256 // that are told apart; a picture with more is a pattern, not codes
	maxCorners = 60  // of these that codes are made of, those seen most often first
)

// find returns the finder patterns of a picture: dark, light, dark, light and
// dark as 1:1:3:1:1, along the line, across it and aslant. Each pixel is looked
// at a bounded number of times.
func find(dark *gozxing.BitMatrix) (centers []center) {
	width, height := dark.GetWidth(), dark.GetHeight()
	for y := range height {
		var runs [5]int
		begin, is := 0, false // a line begins with a light run, maybe of no pixel
		for x := 0; x <= width; x++ {
			if x < width && dark.Get(x, y) == is {
				continue
			}
			copy(runs[:], runs[1:])
			runs[4] = x - begin
			if is && likePattern(runs) {
				if c, ok := confirm(dark, x, y, runs); ok {
					centers = merge(centers, c)
				}
			}
			begin, is = x, !is
		}
	}
	slices.SortStableFunc(centers, func(a, b center) int { return cmp.Compare(b.lines, a.lines) })
	return centers[:min(len(centers), maxCorners)]
}

// likePattern reports whether runs are about 1:1:3:1:1.
func likePattern(runs [5]int) bool {
	total := 0
	for _, n := range runs {
		if n == 0 {
			return false
		}
		total += n
	}
	if total < 7 {
		return false
	}
	for i, n := range runs {
		want := total // in sevenths of a pixel
		if i == 2 {
			want = 3 * total
		}
		if 10*abs(7*n-want) > 6*want {
			return false
		}
	}
	return true
}

// confirm measures the pattern whose runs end before x in line y across and
// aslant.
func confirm(dark *gozxing.BitMatrix, x, y int, runs [5]int) (c center, ok bool) {
	total := 0
	for _, n := range runs {
		total += n
	}
	at := x - runs[4] - runs[3] - (runs[2]+1)/2
	down, middle, ok := measure(dark, at, y, 0, 1, total)
	if !ok {
		return c, false
	}
	cy := float64(y) + middle
	across, middle, ok := measure(dark, at, int(cy), 1, 0, total)
	if !ok {
		return c, false
	}
	cx := float64(at) + middle
	for _, slope := range []int{1, -1} {
		if _, _, ok := measure(dark, int(cx), int(cy), 1, slope, total); !ok {
			return c, false
		}
	}
	return center{x: cx + 0.5, y: cy + 0.5, module: float64(across+down) / 14, lines: 1}, true
}

// measure follows the line through (x, y) in steps of (dx, dy) both ways: total
// is the length of the pattern, middle where its middle is, in steps from (x, y).
// No run is followed further than the pattern seen before, which was near pixels
// long, allows.
func measure(dark *gozxing.BitMatrix, x, y, dx, dy, near int) (total int, middle float64, ok bool) {
	if !dark.Get(x, y) {
		return 0, 0, false
	}
	var runs [5]int
	side := func(sign, first, second, third int) int {
		i := 1
		for k, run := range [...]int{first, second, third} {
			for steps := 0; inside(dark, x+sign*i*dx, y+sign*i*dy) && dark.Get(x+sign*i*dx, y+sign*i*dy) == (k != 1); steps++ {
				if steps > near {
					return -1
				}
				runs[run]++
				i++
			}
		}
		return i - 1
	}
	runs[2] = 1
	before := side(-1, 2, 1, 0)
	after := side(1, 2, 3, 4)
	if before < 0 || after < 0 || !likePattern(runs) {
		return 0, 0, false
	}
	for _, n := range runs {
		total += n
	}
	if 5*abs(total-near) > 2*near && dx*dy == 0 { // aslant, a turned one is longer or shorter
		return 0, 0, false
	}
	low := -before + runs[0] + runs[1] // where the middle run begins
	return total, float64(low) + float64(runs[2]-1)/2, true
}

func inside(dark *gozxing.BitMatrix, x, y int) bool {
	return x >= 0 && y >= 0 && x < dark.GetWidth() && y < dark.GetHeight()
}

func abs(n int) int { return max(n, -n) }

// merge adds what was seen of a pattern in one line to what is known of it.
func merge(centers []center, c center) []center {
	for i := range centers {
		o := &centers[i]
		if math.Abs(o.x-c.x) <= o.module && math.Abs(o.y-c.y) <= o.module && math.Abs(o.module-c.module) <= max(1, o.module/2) {
			n := float64(o.lines)
			o.x, o.y, o.module = (o.x*n+c.x)/(n+1), (o.y*n+c.y)/(n+1), (o.module*n+c.module)/(n+1)
			o.lines++
			return centers
		}
	}
	if len(centers) == maxCenters {
		return centers
	}
	return append(centers, c)
}

// triple are three patterns that may belong to one code.
type triple struct {
	corner, a, b int     // the one in the right angle, the one to its right, the one below
	wrong        float64 // how far they are from that
}

const (
	maxWrong   = 0.5 // beyond which three patterns are none
	minModules = 14  // between two patterns of the smallest code
	maxModules = 170 // of the largest
)

// triples are all that may be codes, the most regular first.
func triples(centers []center) (list []triple) {
	for i := range centers {
		for j := range i {
			for k := range j {
				if t, ok := angle(centers, i, j, k); ok {
					list = append(list, t)
				}
			}
		}
	}
	slices.SortFunc(list, func(a, b triple) int { return cmp.Compare(a.wrong, b.wrong) })
	return list
}

// angle makes a triple of three patterns. ok is false where they are no right
// angle with sides alike.
func angle(centers []center, i, j, k int) (t triple, ok bool) {
	// The longest side is opposite to the corner.
	square := func(a, b int) float64 {
		dx, dy := centers[a].x-centers[b].x, centers[a].y-centers[b].y
		return dx*dx + dy*dy
	}
	ij, ik, jk := square(i, j), square(i, k), square(j, k)
	switch max(ij, ik, jk) {
	case jk:
		t = triple{corner: i, a: j, b: k}
	case ik:
		t = triple{corner: j, a: i, b: k}
	default:
		t = triple{corner: k, a: i, b: j}
	}
	o, a, b := &centers[t.corner], &centers[t.a], &centers[t.b]
	if (a.x-o.x)*(b.y-o.y)-(a.y-o.y)*(b.x-o.x) < 0 {
		t.a, t.b = t.b, t.a
	}
	legA, legB, far := square(t.corner, t.a), square(t.corner, t.b), square(t.a, t.b)
	module := (o.module + a.module + b.module) / 3
	side := math.Sqrt((legA + legB) / 2)
	if side < 0.7*minModules*module || side > 1.3*maxModules*module {
		return t, false
	}
	t.wrong = math.Abs(legA-legB)/max(legA, legB) + math.Abs(far-legA-legB)/far +
		(max(o.module, a.module, b.module)-min(o.module, a.module, b.module))/module/2
	return t, t.wrong < maxWrong
}
