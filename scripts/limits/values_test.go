package limits_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"strconv"
	"strings"
	"time"
)

// value is a number, a duration, or any: a ceiling that stands only when somebody asks for it.
type value struct {
	n        constant.Value
	duration bool
	any      bool
}

// value works a constant or a field out.
func (t *tree) value(name string) (value, error) {
	s, ok := t.fields[name]
	if ok && s == nil {
		return value{any: true}, nil
	}
	if !ok {
		if s, ok = t.constants[name]; !ok {
			return value{}, fmt.Errorf("no constant %s", name)
		}
	}
	if s.busy {
		return value{}, fmt.Errorf("%s is made of itself", name)
	}
	s.busy = true
	defer func() { s.busy = false }()
	v, err := t.eval(s, s.expr)
	if s.kind != nil && isDuration(s.kind) {
		v.duration = true
	}
	return v, err
}

func isDuration(e ast.Expr) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == "Duration"
}

var units = map[string]time.Duration{
	"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
	"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
}

func (t *tree) eval(s *source, e ast.Expr) (value, error) {
	switch e := e.(type) {
	case *ast.BasicLit:
		return value{n: constant.MakeFromLiteral(e.Value, e.Kind, 0)}, nil
	case *ast.ParenExpr:
		return t.eval(s, e.X)
	case *ast.Ident:
		if e.Name == "iota" {
			return value{n: constant.MakeInt64(int64(s.iota))}, nil
		}
		return t.value(s.pkg + "." + e.Name)
	case *ast.SelectorExpr:
		if x, ok := e.X.(*ast.Ident); ok && x.Name == "time" && units[e.Sel.Name] != 0 {
			return value{n: constant.MakeInt64(int64(units[e.Sel.Name])), duration: true}, nil
		}
	case *ast.CallExpr: // a conversion, or len of a string
		if len(e.Args) != 1 {
			break
		}
		v, err := t.eval(s, e.Args[0])
		if f, ok := e.Fun.(*ast.Ident); ok && f.Name == "len" && err == nil {
			if v.n.Kind() != constant.String {
				break
			}
			return value{n: constant.MakeInt64(int64(len(constant.StringVal(v.n))))}, nil
		}
		v.duration = v.duration || isDuration(e.Fun)
		return v, err
	case *ast.BinaryExpr:
		return t.binary(s, e)
	}
	return value{}, fmt.Errorf("cannot work out %T", e)
}

func (t *tree) binary(s *source, e *ast.BinaryExpr) (value, error) {
	x, err := t.eval(s, e.X)
	if err != nil {
		return value{}, err
	}
	y, err := t.eval(s, e.Y)
	if err != nil {
		return value{}, err
	}
	both := value{duration: x.duration || y.duration}
	switch e.Op {
	case token.SHL, token.SHR:
		by, ok := constant.Uint64Val(y.n)
		if !ok {
			return value{}, fmt.Errorf("shifted by %s", y.n)
		}
		both.n = constant.Shift(x.n, e.Op, uint(by))
	case token.QUO:
		both.n = constant.BinaryOp(x.n, token.QUO_ASSIGN, y.n) // of integers, an integer
	case token.ADD, token.SUB, token.MUL:
		both.n = constant.BinaryOp(x.n, e.Op, y.n)
	default:
		return value{}, fmt.Errorf("cannot work out %s", e.Op)
	}
	return both, nil
}

var sizes = []struct {
	unit string
	n    int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

var spans = []struct {
	unit string
	d    time.Duration
}{{"days", 24 * time.Hour}, {"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}}

// parseValue reads what the document says: 1024, 2^62, 64 KiB, 30 s, any.
func parseValue(s string) (value, error) {
	if s == "any" {
		return value{any: true}, nil
	}
	number, unit, _ := strings.Cut(s, " ")
	if power, ok := strings.CutPrefix(number, "2^"); ok && unit == "" {
		n, err := strconv.ParseUint(power, 10, 8)
		return value{n: constant.Shift(constant.MakeInt64(1), token.SHL, uint(n))}, err
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(number, ",", ""), 10, 64)
	if err != nil || unit == "" {
		return value{n: constant.MakeInt64(n)}, err
	}
	for _, size := range sizes {
		if unit == size.unit {
			return value{n: constant.MakeInt64(n * size.n)}, nil
		}
	}
	for _, span := range spans {
		if unit == span.unit {
			return value{n: constant.MakeInt64(n * int64(span.d)), duration: true}, nil
		}
	}
	return value{}, fmt.Errorf("no unit %q", unit)
}

// String is one form that parseValue reads.
func (v value) String() string {
	n, exact := int64(0), false
	if v.n != nil {
		n, exact = constant.Int64Val(v.n)
	}
	switch {
	case v.any:
		return "any"
	case v.n == nil:
		return "?"
	case !v.duration || !exact:
		return v.n.ExactString()
	}
	for _, span := range spans {
		if n%int64(span.d) == 0 && (span.unit != "days" || n >= int64(48*time.Hour)) {
			return fmt.Sprintf("%d %s", n/int64(span.d), span.unit)
		}
	}
	return time.Duration(n).String()
}

func (v value) is(w value) bool {
	if v.any || w.any {
		return v.any && w.any
	}
	return v.duration == w.duration && constant.Compare(v.n, token.EQL, w.n)
}
