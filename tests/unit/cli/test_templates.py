"""Templates in the language of Go's text/template."""

import pytest

from swarm.cli.render import fill, show, show_objects
from swarm.errors import InvalidArgument

VALUE = {
    "Name": "web",
    "Replicas": 3,
    "Ratio": 0.25,
    "Paused": False,
    "Nothing": None,
    "Labels": {"tier": "front", "com.example.team": "shop"},
    "Ports": [{"Target": 80, "Published": 8080}, {"Target": 443, "Published": 8443}],
    "Args": ["a", "b", "c"],
    "Empty": [],
    "Spec": {"Task": {"Image": "shop/web:1"}},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{.Name}}", "web"),
        ("{{ .Spec.Task.Image }}", "shop/web:1"),
        ("{{.Replicas}} {{.Ratio}} {{.Paused}} {{.Nothing}}", "3 0.25 false <nil>"),
        ("{{.Args}} {{.Labels}}", "[a b c] map[com.example.team:shop tier:front]"),
        ("{{json .Labels}}", '{"tier":"front","com.example.team":"shop"}'),
        ("{{json .}}", None),
        ('{{index .Labels "com.example.team"}}', "shop"),
        ('[{{index .Labels "missing"}}]', "[]"),
        ("{{(index .Ports 1).Published}}", "8443"),
        ("{{len .Ports}}", "2"),
        ("{{range .Ports}}{{.Published}}->{{.Target}} {{end}}", "8080->80 8443->443 "),
        ("{{range $i, $p := .Ports}}{{$i}}:{{$p.Target}};{{end}}", "0:80;1:443;"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}", "com.example.team=shop,tier=front,"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Ports}}{{$.Name}}{{end}}", "webweb"),
        ("{{range .Args}}{{if eq . `b`}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
        ("{{range .Args}}{{if eq . `b`}}{{break}}{{end}}{{.}}{{end}}", "a"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{if .Paused}}paused{{else if eq .Replicas 3}}three{{else}}other{{end}}", "three"),
        ("{{if and .Name (gt .Replicas 2)}}yes{{end}}", "yes"),
        ("{{if or .Paused .Empty}}yes{{else}}no{{end}}", "no"),
        ('{{or .Paused "unset"}} {{and .Name .Replicas}}', "unset 3"),
        ("{{if not .Paused}}runs{{end}}", "runs"),
        (
            '{{eq .Name "api" "web"}} {{ne .Name "web"}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}',
            "true false true true false",
        ),
        ("{{with .Spec.Task}}{{.Image}}{{end}}{{with .Empty}}x{{else}}-{{end}}", "shop/web:1-"),
        ("{{with $t := .Spec.Task}}{{$t.Image}}{{end}}", "shop/web:1"),
        ("{{$n := .Name}}{{range .Args}}{{$n = .}}{{end}}{{$n}}", "c"),
        ("a {{- .Name -}} b", "awebb"),
        ('{{/* a "word" */}}{{.Name}}', "web"),
        ('{{"}}"}}', "}}"),
        (
            '{{printf "%-6s|%3d|%5.2f|%q|%t|%%" .Name .Replicas .Ratio .Name .Paused}}',
            'web   |  3| 0.25|"web"|false|%',
        ),
        ('{{.Name | printf "%s-%s" "x"}}', "x-web"),
        (
            '{{printf "%d" .Name}} {{printf "%s"}} {{printf "x" 1}}',
            "%!d(string=web) %!s(MISSING) x%!(EXTRA int=1)",
        ),
        ('{{.Name | upper | printf "%5s"}}', "  WEB"),
        (
            '{{join .Args ", "}} {{split "a/b" "/"}} {{title "big web"}} {{lower "ABC"}}',
            "a, b, c [a b] Big Web abc",
        ),
        ("{{truncate .Spec.Task.Image 4}} [{{pad .Name 1 2}}]", "shop [ web  ]"),
        ('{{slice .Args 1}} {{slice "abcdef" 1 3}}', "[b c] bc"),
        ('{{print .Name 1 2}} {{println "end"}}', "web1 2 end\n"),
        ('{{urlquery "a b&c"}}', "a+b%26c"),
        (r"{{.Name}}\t{{.Replicas}}\n", "web\t3\n"),
    ],
)
def test_a_template_is_filled_as_go_would(template, text):
    filled = fill(template, VALUE)
    if text is not None:
        assert filled == text


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{.Nmae}}", 'there is no "Nmae" here; known: Name, Replicas'),
        ("{{.Spec.Task.Tag}}", 'there is no "Spec.Task.Tag" here; known: Image'),
        ("{{.Name.First}}", "known: nothing"),
        ("{{.Name", "an action is not closed"),
        ("{{if .Name}}x", "{{if}} has no {{end}}"),
        ("{{range .Args}}{{else}}", "{{range}} has no {{end}}"),
        ("x{{end}}", "{{end}} without a beginning"),
        ("{{else}}", "{{else}} without a beginning"),
        ("{{}}", "a value is missing"),
        ("{{nope .Name}}", 'there is no function "nope"'),
        ("{{.Name .Replicas}}", "only a function takes arguments"),
        ("{{.Name | .Replicas}}", "after | comes the name of a function"),
        ("{{(.Name}}", "a parenthesis is not closed"),
        ("{{.Name)}}", 'unexpected ")"'),
        ("{{.Name ?}}", 'unexpected "?"'),
        ("{{$x}}", 'there is no variable "$x"'),
        ("{{.Name := 1}}", "only a variable takes a value"),
        ('{{if 1}}{{define "x"}}{{end}}{{end}}', "define stands outside of everything else"),
        ("{{break}}", "break outside of a range"),
        ("{{range .Name}}{{end}}", "range goes over lists and maps"),
        ("{{len .Replicas}}", "has no length"),
        ("{{index .Args 7}}", "index 7 is out of range: there are 3"),
        ('{{eq .Replicas "3"}}', "cannot be compared: number and text"),
        ("{{upper}}", "upper has 0 arguments: missing"),
        ("{{truncate .Name `x`}}", 'truncate does not take "web x"'),
        ("{{if}}x{{end}}", 'a value is missing in "if"'),
        ("{{/* x */ .Name}}", "a comment is not closed, or not alone"),
        ("{{template `x`}}", 'there is no template "x"'),
        ("{{call .Name}}", "no value is a function"),
        ("{{range $i, $n := 3}}{{end}}", "range over 3 has one variable"),
        ('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}', "calls itself without end"),
        ("{{if 1}}" * 999, "too many blocks"),
        ("{{slice .Replicas}}", "slice wants"),
        ("{{slice .Args 2 9}}", "slice: 2 to 9 is out of range: there are 3"),
        (r'{{"\q"}}', "cannot be read"),
        ("{{1e999}}", "1e999 cannot be read"),
    ],
)
def test_a_template_that_is_wrong_says_where(template, reason):
    with pytest.raises(InvalidArgument, match="--format: ") as refused:
        fill(template, VALUE)
    assert reason in str(refused.value)


ROWS = [{"ID": "1", "Name": "web"}, {"ID": "22", "Name": "api"}]
COLUMNS = (("ID", "ID"), ("NAME", "Name"))


@pytest.mark.parametrize(
    ("layout", "lines"),
    [
        (r"table {{.ID}}\t{{.Name}}", ["ID   NAME", "1    web", "22   api"]),
        (r"table {{.Name}}: {{.ID | printf `%3s`}}", ["NAME:  ID", "web:   1", "api:  22"]),
        (r"table {{upper .Name}}\t{{.ID}}", ["NAME   ID", "WEB    1", "API    22"]),
        ("{{.Name}}", ["web", "api"]),
        ("json", ['{"ID":"1","Name":"web"}', '{"ID":"22","Name":"api"}']),
        ("yaml", ["- ID: '1'", "  Name: web", "- ID: '22'", "  Name: api"]),
    ],
)
def test_rows_are_printed_as_the_format_asks(layout, lines, capsys):
    show(ROWS, COLUMNS, layout)
    assert capsys.readouterr().out.splitlines() == lines


def test_a_table_without_rows_has_its_titles_also_of_placeholders_that_are_no_column(capsys):
    show([], COLUMNS, r"table {{.Name}}\t{{.Labels}}")
    assert capsys.readouterr().out == "NAME   LABELS\n"


def test_objects_are_printed_as_yaml(capsys):
    show_objects([{"Spec": {"Name": "web", "Args": ["a"]}}], "yaml")
    assert capsys.readouterr().out == "- Spec:\n    Name: web\n    Args:\n    - a\n"
