package limits_test

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// ceilingName is the rule that docs/limits.md begins with, for files that are not a limits.go.
var ceilingName = regexp.MustCompile(`^([mM]ax|[mM]in|[kK]ept|[dD]efault)[A-Z0-9]|[a-z](Timeout|Patience|Window|Queue|Batch|Idle|Limit|Memory|Pids)$`)

// tree is what the sources hold, each constant by its folder and name: vault/policy.maxPath.
type tree struct {
	constants map[string]*source
	ceilings  map[string]bool
	fields    map[string]*source // of a Limits; nil: without a default
	tests     map[string]bool
}

// source is a constant as it is written.
type source struct {
	pkg  string
	expr ast.Expr
	kind ast.Expr
	iota int
	busy bool
}

// read parses the module's sources, whatever system they are built for.
func read(dir string) (*tree, error) {
	t := &tree{map[string]*source{}, map[string]bool{}, map[string]*source{}, map[string]bool{}}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || name == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		switch {
		case strings.HasSuffix(name, "_test.go"):
			t.addTests(parsed)
		case !strings.HasPrefix(name, "scripts/"):
			t.addConstants(name, parsed)
		}
		return nil
	})
	for name := range t.fields {
		t.ceilings[name] = true
	}
	for name := range t.ceilings {
		if v, err := t.value(name); err == nil && !v.any && v.n.Kind() == constant.String {
			delete(t.ceilings, name) // a text bounds nothing
		}
	}
	return t, err
}

func (t *tree) addTests(file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
			t.tests[f.Name.Name] = true
		}
	}
}

func (t *tree) addConstants(name string, file *ast.File) {
	pkg, limits := path.Dir(name), path.Base(name) == "limits.go"
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && limits && f.Name.Name == "DefaultLimits" {
			t.addDefaults(pkg, f)
		}
		group, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		var last *ast.ValueSpec
		for i, spec := range group.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if fields, ok := spec.Type.(*ast.StructType); ok && limits && spec.Name.Name == "Limits" {
					for _, f := range fields.Fields.List {
						for _, n := range f.Names {
							if name := pkg + ".Limits." + n.Name; t.fields[name] == nil {
								t.fields[name] = nil
							}
						}
					}
				}
			case *ast.ValueSpec:
				if group.Tok != token.CONST {
					continue
				}
				if len(spec.Values) > 0 {
					last = spec
				}
				for j, n := range spec.Names {
					full := pkg + "." + n.Name
					t.constants[full] = &source{pkg: pkg, expr: last.Values[j], kind: last.Type, iota: i}
					if limits || ceilingName.MatchString(n.Name) {
						t.ceilings[full] = true
					}
				}
			}
		}
	}
}

// addDefaults takes the fields of the Limits that f returns.
func (t *tree) addDefaults(pkg string, f *ast.FuncDecl) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if field, ok := n.(*ast.KeyValueExpr); ok {
			if name, ok := field.Key.(*ast.Ident); ok {
				t.fields[pkg+".Limits."+name.Name] = &source{pkg: pkg, expr: field.Value}
			}
		}
		return true
	})
}
