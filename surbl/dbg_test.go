package surbl
import ("testing";"bytes";"os";"strconv")
func TestDbg(t *testing.T) {
	for _, a := range bytes.Fields([]byte(os.Getenv("DBG"))) {
		i, _ := strconv.Atoi(string(a))
		f := forgeries()[i]
		l, _ := Extract(bytes.NewReader(f.mail))
		t.Logf("%s\n%s\n%.3000s\nbroken %v", f.name, f.want, f.mail, l.Broken)
		for _, u := range l.URIs { t.Logf("  %+v", u) }
	}
}
