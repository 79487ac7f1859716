package ridehail_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "github.com/ridehail/ridehail"
	maxLines = 500
)

// room is one row of the house: who may import what of this module, and why no
// more than that. A name that ends in /... stands for the package and all below
// it.
type room struct {
	name   string
	may    []string
	reason string
}

// rooms is the house, from the ground up. A new package needs a row here before
// it builds on the build server.
var rooms = []room{
	{"location", nil, "positions and cells are pure: everything else stands on them"},
	{"wire", nil, "phones and nodes share the frames, and a phone has no node inside"},
	{"client", []string{"wire", "internal/sleep"}, "what a program needs to speak to a node; it brings no code of a node along"},
	{"migrations", nil, "numbered SQL and nothing that could change its meaning later"},
	{"web", nil, "pages are files; they call only the public API"},
	{"web/webtest", []string{"web", "internal/slowtest"}, "drives the page as a person would; of the page it asks only whether it is all there"},
	{"internal/minheap", nil, "what two searches share"},
	{"internal/text", nil, "text is judged by its characters alone: by whom and where it is written, the caller knows"},
	{"internal/slowtest", nil, "asks only the environment whether slow tests are wanted"},
	{"internal/httpserver", nil, "serves any handler, with the same limits everywhere"},
	{"internal/filelock", nil, "locks files for any package and knows none of them"},
	{"dispatch/matching", []string{"internal/minheap"}, "pairs rows with columns: the same answer for the same numbers"},
	{"internal/detector", nil, "measures silence as a number of seconds and knows no drivers"},
	{"internal/sleep", nil, "waits for a time or a context: any package may need it"},
	{"internal/plot", nil, "draws numbers as pictures: it must not know what they measure"},
	{"internal/quantile", nil, "counts and sorts numbers: it must not know what they measure"},
	{"internal/clock", nil, "asks an interface for the time and knows no database"},
	{"tracing", []string{"trips"}, "records what it is told of a trip, named by its id; every part of a node may tell it something"},
	{"xray", []string{"location", "tracing", "trips"}, "tells a ride from its hops alone: it asks no node and no database"},
	{"xray/report", []string{"tracing", "xray"}, "shows what any node answers: public API only"},
	{"trips", []string{"internal/text", "location"}, "the state machine must run without network, lock or database"},
	{"store/storetest", []string{"internal/sleep", "location", "trips", "chat", "payments", "sos"},
		"what every store promises, in words that no store could bend"},
	{"store/faulty", []string{"internal/sleep", "location", "trips", "chat", "payments", "sos"},
		"a store that breaks on purpose: tests import it, and no package that a node is built from"},
	{"routing/...", []string{"location", "internal/minheap", "routing/..."}, "another process may answer for it, so it knows no trips"},
	{"sharedstate", []string{"location", "trips", "internal/detector"}, "holds, hands out and follows trips; it reads them by an interface of its own, and never under a lock"},
	{"sos", []string{"internal/text", "location", "trips"}, "who may call for help follows from the trip alone"},
	{"chat", []string{"internal/text", "trips"}, "who may speak follows from the trip alone"},
	{"pricing", []string{"location", "trips"}, "a price follows from the way and from how busy the city is, and not from the rider"},
	{"payments", []string{"internal/sleep", "internal/text", "tracing", "trips"}, "what is owed follows from the trip alone"},
	{"events", []string{"internal/sleep", "location", "tracing", "trips"}, "carries messages by region, and neither reads nor stores them"},
	{"store/postgres", []string{"internal/sleep", "tracing", "trips", "chat", "payments", "sos", "migrations"},
		"keeps contracts and publishes nothing: the relay does"},
	{"store/sqlite", []string{"tracing", "trips", "chat", "payments", "sos", "location", "migrations"}, "the same contracts in one file"},
	{"store/audit", []string{"trips", "chat", "payments", "sos"}, "a checker that shares the stores' code would share their bugs"},
	{"store", []string{"internal/filelock", "tracing", "trips", "chat", "payments", "sos", "store/postgres", "store/sqlite", "store/audit"},
		"names everything a node keeps and opens it; the contracts belong to the domain"},
	{"dispatch", []string{"internal/sleep", "location", "tracing", "trips", "sharedstate", "dispatch/matching"},
		"decides; how offers travel is the transport's matter"},
	{"auth", []string{"internal/text", "trips"}, "identity follows from the token and the revocations; HTTP and sockets ask alike"},
	{"booking", []string{"location", "tracing", "trips", "routing", "pricing"},
		"a request becomes the same trip however it came in: no frames, no HTTP"},
	{"internal/problem", []string{"wire"}, "an error's form in HTTP; which error it is, the caller says"},
	{"internal/loopback", []string{"internal/problem", "wire"}, "who may use this machine follows from the request alone"},
	{"wire/translate", []string{"internal/text", "wire", "location", "trips", "auth", "booking", "chat", "payments", "sos", "pricing", "routing",
		"sharedstate", "dispatch"}, "the domain in the protocol's words: it decides nothing, so that wire stays free of the domain"},
	{"gateway", []string{"internal/sleep", "tracing", "wire", "wire/translate", "location", "trips", "auth", "booking", "sharedstate", "chat", "payments", "sos",
		"dispatch", "internal/detector", "internal/problem"},
		"sockets are told what happened and ask stores by contract: no Redis, no SQL, no routes of HTTP"},
	{"httpapi", []string{"tracing", "wire", "wire/translate", "location", "trips", "auth", "booking", "sharedstate", "chat", "payments", "sos",
		"pricing", "routing", "web", "xray", "internal/problem"},
		"answers one request at a time and holds no session: what a socket needs, gateway has"},
	{"node", []string{"location", "tracing", "wire", "trips", "chat", "payments", "sos", "pricing", "routing/...", "sharedstate", "events",
		"xray", "store", "dispatch", "auth", "booking", "gateway", "httpapi", "internal/clock", "internal/detector", "internal/httpserver", "internal/quantile", "internal/sleep"},
		"the one place that connects the parts of a node; it knows no flags, no simulators and no experiments"},
	{"lab/simulation", []string{"internal/plot", "internal/quantile", "location", "trips", "sharedstate", "dispatch", "routing", "pricing"},
		"the node's own decisions in virtual time: what is not imported here is left out of it"},
	{"simulators/...", []string{"client", "internal/filelock", "internal/httpserver", "internal/quantile", "internal/sleep", "wire", "location", "routing/...", "simulators/..."},
		"what a stranger could write: public API only"},
	{"lab/line", []string{"internal/sleep"}, "carries the bytes of any connection and knows no protocol"},
	{"lab/latency/...", []string{"client", "lab/line", "internal/plot", "internal/quantile", "internal/sleep", "wire", "location"},
		"measures from outside: public API only"},
	{"lab/accrual", nil, "measures silence as package detector does, for experiments only"},
	{"lab/process", []string{"internal/sleep"}, "starts and kills programs by their flags: what they do is theirs"},
	{"lab/process/processtest", []string{"lab/process"}, "servers for tests, which know no more of them than their flags"},
	{"lab/chaos/check", []string{"store/audit", "trips", "chat", "payments", "sos", "simulators/journal"},
		"checks what clients wrote down; their code would check itself"},
	{"lab/chaos/...", []string{"client", "lab/process", "lab/line", "internal/quantile", "internal/sleep", "location", "routing/...", "trips", "chat", "payments", "sos", "store/postgres", "store/audit",
		"simulators/...", "lab/chaos/..."}, "nodes are other processes here, to be killed; what is imported reads what they left behind"},
	{"lab/cluster", []string{"client", "events", "internal/quantile", "internal/sleep", "lab/finding", "lab/latency", "lab/process", "lab/scratch", "location", "node",
		"routing", "simulators", "store", "store/audit", "trips", "wire"},
		"nodes are other processes here; of their code it takes the name of a queue, the embedded Redis, and readers of what they left"},
	{"lab/page", []string{"internal/loopback", "internal/plot", "internal/problem", "lab/finding", "web", "wire"}, "shows and runs the experiments it is given: it knows none by name"},
	{"lab/finding/findingtest", []string{"internal/plot", "lab/finding"}, "what tests of experiments share; it knows none of them"},
	{"lab/page/pagetest", []string{"internal/plot", "lab/finding"}, "made-up experiments for tests of the page"},
	{"lab/...", []string{"..."}, "an experiment may look anywhere, since no package imports it"},
	{"cmd/ridehail/...", []string{"node", "xray/report", "routing", "routing/extract", "simulators/...", "lab/...", "store", "store/audit", "payments", "events",
		"internal/filelock", "internal/httpserver", "dispatch", "tracing", "trips", "wire", "web"},
		"reads flags and calls one function of a package below; the rest is for what flags name: codecs, weights, a trip's id"},
}

// library is one that few packages may import outside of tests. A package of
// this module may be one too: then it is kept even from those whose row allows
// it.
type library struct {
	path   string
	only   []string
	reason string
}

var libraries = []library{
	{"github.com/uber/h3-go", []string{"location"}, "it takes latitude 91 without a word; location checks first"},
	{"github.com/redis/go-redis", []string{"events", "lab/races"}, "its retries can repeat a write; one place sets them, and an experiment races its GET and SET"},
	{"github.com/alicebob/miniredis", []string{"events", "lab/races"}, "the embedded Redis is behind the same interface; a race of bare commands has none"},
	{"github.com/jackc/pgx", []string{"store/postgres", "lab/planted"},
		"a lost commit reply is resolved in one place; a lesson commits nothing by it, and makes databases that hold a commit back"},
	{"modernc.org/sqlite", []string{"store/sqlite"}, "pragmas decide whether a commit lasts; one place sets them"},
	{"github.com/pressly/goose", []string{"migrations", "store/postgres", "store/sqlite"}, "the schema belongs to the stores"},
	{"github.com/gorilla/websocket", []string{"gateway", "client", "simulators/intruder", "lab/latency/relay"},
		"one writer at a time and a deadline for each write: right once in the node and once in its client; the intruder breaks the rules on purpose, and the relay is the least that works"},
	{"github.com/golang-jwt/jwt", []string{"auth", "pricing"}, "sessions are checked in one place, and quotes in another with a key of their own"},
	{"github.com/HdrHistogram", []string{"internal/quantile"}, "quantiles are counted in one place, and their keys are promised"},
	{"github.com/paulmach/osm", []string{"routing/extract"}, "maps are read in one place, and bounded there"},
	{"github.com/paulmach/orb", []string{"routing"}, "tiles are drawn in one place, from one city"},
	{"connectrpc.com", []string{"routing/..."}, "the only service called by RPC"},
	{"go.opentelemetry.io/otel/sdk", []string{"tracing"}, "what is sampled, kept and sent is decided in one place"},
	{"go.opentelemetry.io/otel/exporters", []string{"tracing"}, "a collector that is away must not slow a ride: one place sees to that"},
	{"go.opentelemetry.io/contrib", []string{"tracing"}, "a stranger's traceparent is linked and never obeyed: right once"},
	{"github.com/Shopify/toxiproxy", []string{"lab/chaos"}, "lines are only broken on purpose"},
	{"github.com/chromedp", []string{"web/webtest"}, "a browser is for tests"},
	{"github.com/alecthomas/kong", []string{"cmd/ridehail/..."}, "flags are read by the command alone"},
	{module + "/lab/broken", []string{"lab/memory", "lab/waiting", "lab/distance", "lab/races", "lab/storm", "lab/messages", "lab/doors"},
		"it is wrong on purpose: only an experiment runs it, beside the part that is right"},
}

// nodeRooms are the packages a node consists of. Its time is the database's
// (package clock), which they are given.
var nodeRooms = []string{"auth", "booking", "gateway", "httpapi", "dispatch", "sharedstate", "events", "trips", "chat", "payments", "sos", "store/postgres", "store/sqlite"}

// machineClocks are their files that may read this machine's clock: for what
// this machine alone measures, and never for a time that is kept or compared
// with another node's.
var machineClocks = map[string]string{
	"gateway/gateway.go":          "default of Now",
	"httpapi/httpapi.go":          "default of Now",
	"httpapi/guard.go":            "deadline of a body",
	"dispatch/dispatcher.go":      "default of Now",
	"sharedstate/drivers.go":      "default of Now",
	"events/relay.go":             "default of Now; rests of shards",
	"events/wake.go":              "when another node asked",
	"gateway/limits.go":           "pace of reading",
	"gateway/offers.go":           "how long an answer is waited for",
	"gateway/phone_conn.go":       "deadlines of reads, writes and pings",
	"gateway/socket.go":           "pace of joins",
	"events/listener.go":          "how long ago a server failed; when its channels are tried again",
	"events/listener_commands.go": "how long a gap waits for further confirmations",
	"events/listener_link.go":     "how long a connection has been silent",
	"events/members.go":           "how long ago the last heartbeat went out, and the nodes changed",
	"events/sessions.go":          "how long ago connections were given up",
	"events/worker.go":            "how long ago jobs of others were looked for; the date on a dead letter, for a person",
	"store/sqlite/trips.go":       "a file has one machine",

	"store/postgres/sessions.go": "how long ago sessions were given up, or a write was tried",
}

// source is what the rules need to know of one file.
type source struct {
	name      string // from the module's root, with slashes
	imports   []string
	lines     int
	generated bool
	tellsTime bool // asks this machine for the time
}

func (s source) pkg() string { return path.Dir(s.name) }

func TestTheHouseStands(t *testing.T) {
	files, err := sources(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("only %d Go files were read", len(files))
	}

	for _, complaint := range slices.Concat(deadRows(rooms), spareAllowances(files, rooms), complaints(files, rooms, libraries)) {
		t.Error(complaint)
	}
}

// spareAllowances names what a row allows and no file of its packages imports:
// each is an arrow that a later change could draw unseen.
func spareAllowances(files []source, rooms []room) (out []string) {
	used := map[string]bool{}
	for _, f := range files {
		i := slices.IndexFunc(rooms, func(r room) bool { return covers(r.name, f.pkg()) })
		if i < 0 || strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		for _, imported := range f.imports {
			own, _ := strings.CutPrefix(imported, module+"/")
			for _, pattern := range rooms[i].may {
				if covers(pattern, own) {
					used[rooms[i].name+" "+pattern] = true
				}
			}
		}
	}

	for _, r := range rooms {
		for _, pattern := range r.may {
			if !used[r.name+" "+pattern] {
				out = append(out, r.name+" may import "+pattern+" and does not: take it out of the row")
			}
		}
	}
	return out
}

// deadRows names the rows that an earlier one hides: the first row that covers
// a package counts, so a stricter row must stand above its family's.
func deadRows(rooms []room) (out []string) {
	for i, r := range rooms {
		base, family := strings.CutSuffix(r.name, "/...")
		for _, earlier := range rooms[:i] {
			if covers(earlier.name, base) && (!family || strings.HasSuffix(earlier.name, "...")) {
				out = append(out, r.name+" is a row that can never apply: it stands below "+earlier.name)
			}
		}
	}
	return out
}

// complaints says in which ways the files break the rules, naming file, rule
// and reason.
func complaints(files []source, rooms []room, libraries []library) []string {
	var out []string
	for _, f := range files {
		if f.lines > maxLines && !f.generated {
			out = append(out, fmt.Sprintf("%s has %d lines, over %d: split it by what it does", f.name, f.lines, maxLines))
		}
		if strings.HasSuffix(f.name, "_test.go") {
			continue // tests may look at more; the compiler forbids cycles
		}
		if f.tellsTime && slices.Contains(nodeRooms, f.pkg()) && machineClocks[f.name] == "" {
			out = append(out, f.name+" asks the machine for the time: take it from Now, which a node gives, "+
				"or add a row with the reason why this machine's clock will do")
		}

		i := slices.IndexFunc(rooms, func(r room) bool { return covers(r.name, f.pkg()) })
		if i < 0 {
			out = append(out, f.name+": package "+f.pkg()+" has no row in the table of the house; add one with its reason")
			continue
		}

		for _, imported := range f.imports {
			if why := forbidden(rooms[i], f.pkg(), imported, libraries); why != "" {
				out = append(out, f.name+" imports "+imported+": "+why)
			}
		}
	}

	return out
}

// forbidden says why the package may not import a path; empty when it may.
func forbidden(r room, pkg, imported string, libraries []library) string {
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		if !slices.ContainsFunc(r.may, func(pattern string) bool { return covers(pattern, own) }) {
			return "not allowed to " + r.name + ", because: " + r.reason
		}
	}

	for _, l := range libraries {
		if imported != l.path && !strings.HasPrefix(imported, l.path+"/") {
			continue
		}
		if !slices.ContainsFunc(l.only, func(pattern string) bool { return covers(pattern, pkg) }) {
			return "only for " + strings.Join(l.only, ", ") + ", because: " + l.reason
		}
	}

	return ""
}

// covers says whether a pattern of the table means the package.
func covers(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	base, all := strings.CutSuffix(pattern, "/...")
	return pkg == base || all && strings.HasPrefix(pkg, base+"/")
}

// sources reads every Go file below a folder, with any build tags, except
// those that git ignores.
func sources(root string) ([]source, error) {
	var out []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := d.Name(); d.IsDir() && (base == "node_modules" || base == "testdata" || name != root && base[0] == '.') {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}

		s, err := read(root, name)
		out = append(out, s)
		return err
	})

	return out, err
}

func read(root, name string) (source, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return source{}, err
	}

	parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, err
	}

	local, err := filepath.Rel(root, name)
	if err != nil {
		return source{}, err
	}

	s := source{name: filepath.ToSlash(local), lines: bytes.Count(text, []byte("\n")), generated: ast.IsGenerated(parsed)}
	s.tellsTime = bytes.Contains(text, []byte("time.Now"))

	for _, i := range parsed.Imports {
		imported, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, imported)
	}

	return s, nil
}

func TestTheHouseRulesHaveTeeth(t *testing.T) {
	in := func(name string, imports ...string) source { return source{name: name, imports: imports} }
	for name, c := range map[string]struct {
		file source
		want string // part of the one complaint; empty for none
	}{
		"upwards":                      {file: in("trips/a.go", module+"/gateway"), want: "state machine"},
		"across":                       {file: in("gateway/a.go", module+"/events"), want: "no Redis"},
		"sideways":                     {file: in("httpapi/a.go", module+"/gateway"), want: "holds no session"},
		"downwards":                    {file: in("gateway/a.go", module+"/trips", "net/http")},
		"below a family":               {file: in("simulators/rider/a.go", module+"/simulators/phone")},
		"a family is not a prefix":     {file: source{name: "simulatorsX/a.go"}, want: "has no row"},
		"unknown package":              {file: source{name: "misc/a.go"}, want: "has no row"},
		"a command runs a node":        {file: in("cmd/ridehail/a.go", module+"/node")},
		"a command speaks SQL":         {file: in("cmd/ridehail/a.go", module+"/store/postgres"), want: "reads flags"},
		"no one imports the command":   {file: in("store/audit/a.go", module+"/cmd/ridehail"), want: "share their bugs"},
		"reserved library":             {file: in("gateway/a.go", "github.com/uber/h3-go/v4"), want: "latitude 91"},
		"reserved library's part":      {file: in("store/audit/a.go", "github.com/jackc/pgx/v5/x"), want: "only for store/postgres"},
		"reserved library at its home": {file: in("events/a.go", "github.com/redis/go-redis/v9")},
		"a library with a like name":   {file: in("events/a.go", "github.com/jackc/pgxmock")},
		"a test may look":              {file: in("trips/a_test.go", module+"/store/sqlite")},
		"the machine's clock":          {file: source{name: "dispatch/a.go", tellsTime: true}, want: "take it from Now"},
		"the clock of a measurement":   {file: source{name: "lab/latency/a.go", tellsTime: true}},
		"broken on purpose":            {file: in("lab/races/a.go", module+"/lab/broken")},
		"broken in a node":             {file: in("node/a.go", module+"/lab/broken"), want: "not allowed to node"},
		"broken in the command":        {file: in("cmd/ridehail/a.go", module+"/lab/broken"), want: "wrong on purpose"},
		"broken in the demo":           {file: in("lab/demo/a.go", module+"/lab/broken"), want: "wrong on purpose"},
		"broken under load":            {file: in("lab/chaos/a.go", module+"/lab/broken"), want: "not allowed to lab/chaos/..."},
		"broken, a part of it":         {file: in("cmd/ridehail/a.go", module+"/lab/broken/x"), want: "wrong on purpose"},
		"long file":                    {file: source{name: "trips/a.go", lines: maxLines + 1}, want: "split it"},
		"long test":                    {file: source{name: "trips/a_test.go", lines: maxLines + 1}, want: "split it"},
		"long generated file":          {file: source{name: "wire/a.pb.go", lines: maxLines + 1, generated: true}},
	} {
		got := complaints([]source{c.file}, rooms, libraries)
		switch {
		case c.want == "" && len(got) > 0:
			t.Errorf("%s: refused: %s", name, got)
		case c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)):
			t.Errorf("%s: got %q, want one complaint with %q", name, got, c.want)
		}
	}
}

func TestARowBelowItsFamilyIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		rows []string
		dead string // the row that can never apply, if there is one
	}{
		"a stricter row below its family":    {[]string{"lab/chaos/...", "lab/chaos/check"}, "lab/chaos/check"},
		"a stricter family below its family": {[]string{"lab/...", "lab/chaos/..."}, "lab/chaos/..."},
		"the same row again":                 {[]string{"trips", "trips"}, "trips"},
		"a row below everything":             {[]string{"...", "trips"}, "trips"},
		"a stricter row above its family":    {[]string{"lab/chaos/check", "lab/chaos/...", "lab/..."}, ""},
		"a family below its own root":        {[]string{"routing", "routing/..."}, ""},
		"a like name":                        {[]string{"lab/...", "labour"}, ""},
	} {
		var rows []room
		for _, name := range c.rows {
			rows = append(rows, room{name: name})
		}

		got := deadRows(rows)
		if c.dead == "" && len(got) == 0 {
			continue
		}
		if len(got) != 1 || c.dead == "" || !strings.HasPrefix(got[0], c.dead+" is a row that can never apply") {
			t.Errorf("%s: %q", name, got)
		}
	}

	spare := spareAllowances([]source{{name: "chat/a.go", imports: []string{module + "/trips"}}, {name: "chat/a_test.go", imports: []string{module + "/wire"}}},
		[]room{{name: "chat", may: []string{"trips", "wire"}}})
	if len(spare) != 1 || !strings.HasPrefix(spare[0], "chat may import wire") {
		t.Errorf("an allowance that only a test uses: %q", spare)
	}

	for _, imported := range []string{"wire", "simulators", "lab/chaos"} {
		f := source{name: "lab/chaos/check/a.go", imports: []string{module + "/" + imported}}
		if got := complaints([]source{f}, rooms, libraries); len(got) != 1 || !strings.Contains(got[0], "check itself") {
			t.Errorf("the checker may import %s: %q", imported, got)
		}
	}
}

func TestEveryRowOfTheHouseSaysWhy(t *testing.T) {
	for _, r := range rooms {
		if r.reason == "" {
			t.Errorf("%s has no reason", r.name)
		}
	}

	files, err := sources(".")
	if err != nil {
		t.Fatal(err)
	}

	for name, reason := range machineClocks {
		if reason == "" || !slices.ContainsFunc(files, func(f source) bool { return f.name == name && f.tellsTime }) {
			t.Errorf("%s has no reason, or does not ask for the time any more", name)
		}
	}

	for _, l := range libraries {
		if l.reason == "" || len(l.only) == 0 {
			t.Errorf("%s has no reason or no home", l.path)
		}
	}
}

func TestSourcesAreReadAsTheyAre(t *testing.T) {
	root := t.TempDir()
	text := "//go:build never\n\npackage x\n\nimport (\n\t_ \"fmt\"\n\tm \"math\"\n)\n"
	for _, dir := range []string{"x", "node_modules", ".git", "x/testdata"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "a.go"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	got, err := sources(root)
	if err != nil || len(got) != 1 || got[0].name != "x/a.go" || got[0].lines != 8 ||
		!slices.Equal(got[0].imports, []string{"fmt", "math"}) {
		t.Errorf("read %+v, %v", got, err)
	}
}
