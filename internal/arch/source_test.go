package arch

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// root is the module, seen from this package.
const root = "../.."

// walk calls visit with every file of the project: its slash-separated path
// below the root, and what it holds.
func walk(t *testing.T, visit func(name string, content []byte)) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && (name == "data" || name == ".git" || name == ".ci/out" || d.Name() == "testdata"):
			return filepath.SkipDir // not of the project, or the words of others
		case !d.Type().IsRegular(), name == ".git": // which is a file in a linked worktree
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		visit(name, content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no files")
	}
}

// stateful reports what the files of one package, tests aside, do behind the
// back of their callers: init functions and registries. A registry is a
// package-level map that starts out empty or that some function writes to, or a
// package-level sync.Map. A map that is only read is a table, and fine.
func stateful(fset *token.FileSet, files []*ast.File) []string {
	var bad []string
	report := func(n ast.Node, what string) {
		bad = append(bad, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), what))
	}
	maps := map[string]bool{}
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					report(d, "func init")
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					v, ok := spec.(*ast.ValueSpec)
					if !ok || d.Tok != token.VAR {
						continue
					}
					for i, id := range v.Names {
						var value ast.Expr
						if len(v.Values) == len(v.Names) {
							value = v.Values[i]
						}
						isMap, empty := mapVar(v.Type, value)
						if isMap {
							maps[id.Name] = true
						}
						if isMap && empty {
							report(id, "package-level registry "+id.Name)
						}
					}
				}
			}
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, to := range n.Lhs {
					if x, ok := to.(*ast.IndexExpr); ok && named(x.X, maps) {
						report(n, "writes to a package-level map")
					}
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") && len(n.Args) > 0 && named(n.Args[0], maps) {
					report(n, "writes to a package-level map")
				}
			}
			return true
		})
	}
	return bad
}

func named(e ast.Expr, names map[string]bool) bool {
	id, ok := e.(*ast.Ident)
	return ok && names[id.Name]
}

// mapVar reports whether a variable of this type (or nil) and value (or nil) is
// a map, and whether it starts out empty.
func mapVar(typ, value ast.Expr) (isMap, empty bool) {
	switch v := value.(type) {
	case *ast.CompositeLit:
		if isMapType(v.Type) {
			return true, len(v.Elts) == 0
		}
	case *ast.CallExpr: // make(map...), or a function that fills a declared map
		if f, ok := v.Fun.(*ast.Ident); ok && f.Name == "make" && len(v.Args) > 0 && isMapType(v.Args[0]) {
			return true, true
		}
	}
	return isMapType(typ), value == nil
}

func isMapType(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.MapType:
		return true
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		return ok && pkg.Name == "sync" && e.Sel.Name == "Map"
	}
	return false
}

func TestNoHiddenState(t *testing.T) {
	fset := token.NewFileSet()
	packages := map[string][]*ast.File{}
	walk(t, func(name string, content []byte) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return
		}
		f, err := parser.ParseFile(fset, name, content, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			return
		}
		dir := filepath.Dir(name)
		packages[dir] = append(packages[dir], f)
	})
	for _, files := range packages {
		for _, bad := range stateful(fset, files) {
			t.Error(bad)
		}
	}
}

func TestStateful(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		want      []string
	}{
		{"init", "func init() {}", []string{"x.go:2:1: func init"}},
		{"a method of that name", "type t int\nfunc (t) init() {}", nil},
		{"a table", `var names = map[int]string{1: "one"}`, nil},
		{"a table by a function", "var names map[int]string = load()", nil},
		{"an empty map", "var a, b = map[int]int{}, 1", []string{"x.go:2:5: package-level registry a"}},
		{"a nil map", "var a map[int]int", []string{"x.go:2:5: package-level registry a"}},
		{"a made map", "var a = make(map[int]int)", []string{"x.go:2:5: package-level registry a"}},
		{"a sync.Map", "var a sync.Map", []string{"x.go:2:5: package-level registry a"}},
		{"a local map", "func f() { m := map[int]int{}; m[1] = 2 }", nil},
		{"a field", "type t struct { m map[int]int }\nfunc (t t) f() { t.m[1] = 2 }", nil},
		{"writing", "var a = map[int]int{1: 1}\nfunc Register(k int) { a[k] = 2 }", []string{"x.go:3:24: writes to a package-level map"}},
		{"deleting", "var a = map[int]int{1: 1}\nfunc Forget(k int) { delete(a, k) }", []string{"x.go:3:22: writes to a package-level map"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, "x.go", "package x\n"+tt.src, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if got := stateful(fset, []*ast.File{f}); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// foreign are words of the machine a file was written on, in lower case. They
// stand here in two halves, so that this file does not find itself.
var foreign = []string{
	"/wo" + "rk/", "/ro" + "ot/", "/tmp" + "/bash",
	"proxy.golang" + ".org", "sum.golang" + ".org", "deb.debian" + ".org", "registry.npmjs" + ".org",
	"users.nore" + "ply", "design" + ".md", "facts" + ".md", "style" + ".md",
	"clau" + "de", "chatg" + "pt", "anthro" + "pic",
}

// mentions lists the foreign words in content, with their lines.
func mentions(content []byte) []string {
	var found []string
	for i, line := range bytes.Split(bytes.ToLower(content), []byte("\n")) {
		for _, word := range foreign {
			if bytes.Contains(line, []byte(word)) {
				found = append(found, fmt.Sprintf("line %d: %s", i+1, word))
			}
		}
	}
	return found
}

func TestNoForeignWords(t *testing.T) {
	walk(t, func(name string, content []byte) {
		if filepath.Base(name) == "go.sum" || bytes.IndexByte(content, 0) >= 0 {
			return // hashes and binaries
		}
		for _, m := range mentions(content) {
			t.Errorf("%s: %s", name, m)
		}
	})
}

func TestMentions(t *testing.T) {
	got := mentions([]byte("see /usr/share\nsee /WO" + "RK/main\n"))
	if want := []string{"line 2: /wo" + "rk/"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
