"""Several files, what they include and extend, and their long forms."""

from typing import Any

import pytest

from swarm.errors import InvalidArgument, NotFound
from swarm.model import limits
from tests.unit.compose.files import DIRECTORY, Files, project, stack


def web(*texts: str, **more: Any) -> Any:
    return project(*texts, **more).tree.get("services", "web").plain()  # type: ignore[union-attr]


def one(lines: str) -> str:
    return "services:\n  web:\n" + "".join(f"    {line}\n" for line in lines.splitlines())


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("ports: ['80']", {"ports": [{"target": 80}]}),
        ("ports: [80]", {"ports": [{"target": 80}]}),
        ("ports: ['8080:80/udp']", {"ports": [{"target": 80, "published": 8080, "protocol": "udp"}]}),
        (
            "ports: ['127.0.0.1:8080:80']",
            {"ports": [{"target": 80, "published": 8080, "host_ip": "127.0.0.1"}]},
        ),
        ("ports: ['[::1]:8080:80']", {"ports": [{"target": 80, "published": 8080, "host_ip": "::1"}]}),
        (
            "ports: ['90-91:80-81']",
            {"ports": [{"target": 80, "published": 90}, {"target": 81, "published": 91}]},
        ),
        (
            "ports: [{target: 80, published: '90-90', mode: host}]",
            {"ports": [{"target": 80, "published": 90, "mode": "host"}]},
        ),
        ("environment: [A=1, B=]", {"environment": {"A": "1", "B": ""}}),
        ("environment: {A: 1, B: , C: true}", {"environment": {"A": 1, "C": True}}),
        ("labels: [a=b=c, d]", {"labels": {"a": "b=c", "d": None}}),
        ("depends_on: [db]", {"depends_on": {"db": {"condition": "service_started"}}}),
        ("env_file: a.env", {"env_file": [{"path": f"{DIRECTORY}/a.env"}]}),
        (
            "env_file: [{path: a.env, required: false}]",
            {"env_file": [{"path": f"{DIRECTORY}/a.env", "required": False}]},
        ),
        ("tmpfs: /run", {"tmpfs": ["/run"]}),
        ("dns: 1.1.1.1", {"dns": ["1.1.1.1"]}),
        ("build: app", {"build": {"context": f"{DIRECTORY}/app"}}),
        ("build: https://example.org/x.git", {"build": {"context": "https://example.org/x.git"}}),
        ("extra_hosts: ['a:1.2.3.4', 'b=::1']", {"extra_hosts": {"a": "1.2.3.4", "b": "::1"}}),
        (
            "volumes: ['./d/../e:/e:ro']",
            {
                "volumes": [
                    {
                        "type": "bind",
                        "source": f"{DIRECTORY}/e",
                        "target": "/e",
                        "read_only": True,
                        "bind": {"create_host_path": True},
                    }
                ]
            },
        ),
        (
            "volumes: ['/a:/b:rshared,z']",
            {
                "volumes": [
                    {
                        "type": "bind",
                        "source": "/a",
                        "target": "/b",
                        "bind": {"propagation": "rshared", "selinux": "z", "create_host_path": True},
                    }
                ]
            },
        ),
        ("volumes: ['/data']", {"volumes": [{"type": "volume", "target": "/data"}]}),
    ],
)
def test_short_forms_become_long_ones(short: str, long: Any) -> None:
    more = "  db: {image: db}\n" if "depends_on" in short else ""
    assert web(one(short) + more) == long


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("ports: ['x']", '3:13: "x" is no port'),
        ("ports: ['80-81:80']", "80-81 are 2 ports and 80 are 1"),
        ("ports: ['0:80']", "is not between 1 and 65535"),
        ("ports: ['81-80']", "is not between 1 and 65535"),
        ("ports: [{published: '80'}]", "target must be said"),
        ("ports: ['1-65535']", "PORTS"),
        ("volumes: ['a:b:c:d']", '"a:b:c:d" is no volume'),
        ("volumes: ['/a:/b:fast']", '"fast" is no option of a volume'),
        ("volumes: ['data:/data']", "service web uses data, which is not among the volumes"),
        ("networks: [back]", "service web uses back, which is not among the networks"),
        ("secrets: [key]", "service web uses key, which is not among the secrets"),
        ("depends_on: [db]", "3:18: service web depends on db, which is not in the project"),
        ("extends: {service: web}", "service web extends itself"),
        ("extends: base", "service web extends base, which is not in this file"),
        ("extends: {file: no.yaml, service: x}", f"there is no file {DIRECTORY}/no.yaml"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(lines: str, problem: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        web(one(lines))
    assert problem in str(refused.value)
    assert str(refused.value).startswith("c0.yaml:")


@pytest.mark.parametrize(
    ("base", "over", "result"),
    [
        ("image: a", "image: b", {"image": "b"}),
        ("command: [a, b]", "command: c", {"command": "c"}),
        ("entrypoint: a", "entrypoint: [b]", {"entrypoint": ["b"]}),
        (
            "healthcheck: {test: [CMD, a]}",
            "healthcheck: {test: [CMD, b]}",
            {"healthcheck": {"test": ["CMD", "b"]}},
        ),
        (
            "environment: [A=1, B=1]",
            "environment: {B: 2, C: 3}",
            {"environment": {"A": "1", "B": 2, "C": 3}},
        ),
        ("dns: [a]", "dns: [b, a]", {"dns": ["a", "b"]}),
        (
            "ports: ['80:80']",
            "ports: ['80:80', '81:80', '80:80/udp']",
            {
                "ports": [
                    {"target": 80, "published": 80},
                    {"target": 80, "published": 81},
                    {"target": 80, "published": 80, "protocol": "udp"},
                ]
            },
        ),
        ("ports: ['80:80']", "ports: !override ['81:81']", {"ports": [{"target": 81, "published": 81}]}),
        ("ports: ['80:80']\nimage: a", "ports: !reset []", {"image": "a"}),
        ("environment: {A: 1, B: 2}", "environment: {A: !reset null}", {"environment": {"B": 2}}),
        (
            "volumes: ['/a:/x', '/b:/y']",
            "volumes: [{type: tmpfs, target: /x}]",
            None,
        ),
        (
            "logging: {driver: a, options: {x: y}}",
            "logging: {driver: b, options: {z: y}}",
            {"logging": {"driver": "b", "options": {"z": "y"}}},
        ),
        (
            "logging: {driver: a, options: {x: y}}",
            "logging: {options: {z: y}}",
            {"logging": {"driver": "a", "options": {"x": "y", "z": "y"}}},
        ),
        (
            "deploy: {replicas: 1, placement: {constraints: [a==b]}}",
            "deploy: {replicas: 2, placement: {constraints: [c==d]}}",
            {"deploy": {"replicas": 2, "placement": {"constraints": ["a==b", "c==d"]}}},
        ),
    ],
)
def test_a_later_file_comes_on_top(base: str, over: str, result: Any) -> None:
    found = web(one(base), one(over))
    if result is None:
        assert [(item["type"], item["target"]) for item in found["volumes"]] == [
            ("tmpfs", "/x"),
            ("bind", "/y"),
        ]
    else:
        assert found == result


def test_marks_mean_nothing_in_the_first_file() -> None:
    assert web(one("image: !override a\nports: !reset []\ntty: true")) == {"image": "a", "tty": True}


def test_an_extended_service_comes_below_and_its_paths_are_those_of_its_file() -> None:
    files = Files()
    files.add(
        "/base/b.yaml",
        "services: {x: {image: i, env_file: e, extends: y, depends_on: [z]}, y: {tty: true}, z: {}}",
    )
    text = one("extends: {file: /base/b.yaml, service: x}\nimage: own")
    assert web(text, files=files) == {"image": "own", "env_file": [{"path": "/base/e"}], "tty": True}


def test_services_that_extend_each_other_in_a_circle_are_refused() -> None:
    text = "services: {web: {extends: b}, b: {extends: web}}\n"
    with pytest.raises(InvalidArgument, match="service web extends itself"):
        project(text)


def test_included_projects_are_read_in_their_own_directory_with_variables_of_their_own() -> None:
    files = Files()
    files.add("/other/c.yaml", "services: {db: {image: 'db:${TAG}', env_file: e}}\nvolumes: {data: }\n")
    files.add("/other/.env", "TAG=7\n")
    text = "include: [/other/c.yaml]\n" + one("image: web:${TAG:-1}\ndepends_on: [db]")
    found = project(text, files=files).tree.plain()
    assert found["services"]["db"] == {"image": "db:7", "env_file": [{"path": "/other/e"}]}
    assert found["services"]["web"]["image"] == "web:1"
    assert "data" in found["volumes"]


def test_the_variables_of_a_project_count_in_what_it_includes_and_before_those_of_there() -> None:
    files = Files()
    files.add(
        "/a/c.yaml", "include: [/b/c.yaml]\nservices: {db: {image: '$NAME:$TAG-$COMPOSE_PROJECT_NAME'}}\n"
    )
    files.add("/a/.env", "NAME=a\nTAG=2\n")
    files.add("/b/c.yaml", "services: {cache: {image: '$NAME:$TAG'}}\n")
    files.add(".env", "TAG=1\n")
    found = project("include: [/a/c.yaml]\n" + one("image: web"), files=files, name="shop")
    assert found.tree.get("services", "db", "image").value == "a:1-shop"  # type: ignore[union-attr]
    assert found.tree.get("services", "cache", "image").value == "a:1"  # type: ignore[union-attr]
    assert not found.warnings


def test_an_env_file_may_be_made_of_what_the_shell_or_the_including_project_says() -> None:
    files = Files(**{".env": "TAG=${BASE}-1\n"})
    files.add("/a/c.yaml", "services: {db: {image: '$DEEP'}}\n")
    files.add("/a/.env", "DEEP=db:${TAG}\n")
    text = "include: [/a/c.yaml]\n" + one("image: web:$TAG")
    services = project(text, files=files, variables={"BASE": "x"}).tree.plain()["services"]
    assert (services["web"]["image"], services["db"]["image"]) == ("web:x-1", "db:x-1")


def test_files_know_what_their_stack_is_called() -> None:
    text = "name: ${SHOP:-shop}\n" + one("image: $COMPOSE_PROJECT_NAME")
    shell = {"COMPOSE_PROJECT_NAME": "other"}
    assert web(text) == {"image": "shop"}
    assert web(text, variables=shell) == {"image": "shop"}
    assert web(text, variables=shell, name="given") == {"image": "given"}
    assert web("name: first\n", "name: second\n" + one("image: $COMPOSE_PROJECT_NAME")) == {
        "image": "second"
    }


def test_profiles_may_be_named_in_the_surroundings_of_a_project() -> None:
    text = (
        one("image: web") + "  debug: {image: debug, profiles: [a]}\n  more: {image: more, profiles: [b]}\n"
    )

    def names(**more: Any) -> list[str]:
        return list(project(text, **more).tree.plain()["services"])

    env = {".env": "COMPOSE_PROFILES=a,c\n"}
    files = Files(**env)
    assert names() == ["web"]
    assert names(files=files) == ["web", "debug"]
    assert names(files=files, variables={"COMPOSE_PROFILES": "b"}) == ["web", "more"]
    assert names(files=files, profiles=["b"]) == ["web", "more"]


def test_what_comes_from_the_surroundings_may_stand_in_the_env_file_of_the_project() -> None:
    files = Files(**{".env": "KEY=k\nARG=a\nTAG=7\n", "more.env": "IN_FILE=${TAG}\n"})
    text = one("build: {context: ., args: [ARG]}\nenv_file: more.env\nenvironment: [TAG]\nsecrets: [key]")
    found = stack(text + "secrets: {key: {environment: KEY}}\n", files=files)
    assert found.secrets[0].secret_data == b"k"
    assert found.builds[0].arguments == ("ARG=a",)
    assert sorted(found.services[0].task.container.env) == ["IN_FILE=7", "TAG=7"]


def test_what_an_included_project_has_as_well_is_refused_unless_it_is_the_same() -> None:
    files = Files()
    files.add("/o/c.yaml", one("image: b"))
    with pytest.raises(InvalidArgument, match=r"services.web is there already: c0.yaml"):
        project("include: [/o/c.yaml]\n" + one("image: a"), files=files)
    assert project("include: [/o/c.yaml]\n" + one("image: b"), files=files)


def test_a_later_file_changes_what_an_earlier_one_includes() -> None:
    files = Files()
    files.add("/o/c.yaml", "services: {db: {image: db, environment: {A: 1, B: 2}, command: [a]}}\n")
    over = "services: {db: {environment: {B: 3}, command: !reset null}, web: {image: web}}\n"
    base = "include: [/o/c.yaml]\n"
    found = project(base, over, files=files).tree.plain()["services"]
    assert found == {"db": {"image": "db", "environment": {"A": 1, "B": 3}}, "web": {"image": "web"}}
    assert project(base, base, files=files).tree.plain()["services"]["db"]["command"] == ["a"]
    with pytest.raises(InvalidArgument, match=r"services.db is there already: c1.yaml"):
        project(one("image: web"), base + over, files=files)


def test_a_project_that_includes_itself_is_refused() -> None:
    files = Files()
    files.add("/o/c.yaml", "include: [/o/c.yaml]\n" + one("image: b"))
    with pytest.raises(InvalidArgument, match="includes itself"):
        project("include: [/o/c.yaml]\n", files=files)


def test_so_many_files_are_refused_by_name() -> None:
    files = Files()
    for number in range(limits.COMPOSE_FILES.value + 2):
        files.add(f"/o/{number}.yaml", f"include: [/o/{number + 1}.yaml]\nservices: {{s{number}: {{}}}}\n")
    with pytest.raises(InvalidArgument, match="COMPOSE_FILES"):
        project("include: [/o/0.yaml]\n", files=files)


def test_whatever_stands_at_a_reset_is_removed_also_where_nothing_is_no_value() -> None:
    base = (
        "services:\n"
        "  web: {image: w, build: app, ports: ['80'], dns: 192.0.2.1, volumes: ['d:/d'], env_file: a.env,\n"
        "    environment: {A: 1, B: 2}, healthcheck: {test: 'true'}, deploy: {replicas: 3}, secrets: [s]}\n"
        "  job: {image: j}\n"
        "volumes: {d: {name: other}}\n"
        "secrets: {s: {file: s.txt}}\n"
    )
    over = (
        "services:\n"
        "  web: {image: !reset null, ports: !reset , dns: !reset null, volumes: !reset null,\n"
        "    env_file: !reset 0, environment: {A: !reset null}, healthcheck: !reset , secrets: !reset x,\n"
        "    deploy: {replicas: !reset null}, build: {context: !reset null}, extra_hosts: !reset null}\n"
        "  job: !reset null\n"
        "volumes: !reset null\n"
        "secrets: {s: !reset null}\n"
    )
    found = project(base, over).tree.plain()
    assert found == {
        "services": {"web": {"build": {}, "environment": {"B": 2}, "deploy": {}}},
        "secrets": {},
    }
    alone = project(over).tree.plain()  # nothing is there to be removed
    assert alone == {"services": {"web": {"environment": {}, "deploy": {}, "build": {}}}, "secrets": {}}


def test_services_of_other_profiles_are_left_out() -> None:
    text = "services: {a: {image: a}, b: {image: b, profiles: [x]}, c: {image: c, profiles: [y]}}\n"
    services = lambda **more: set(project(text, **more).tree.entries["services"].entries)  # noqa: E731
    assert services() == {"a"}
    assert services(profiles=["x"]) == {"a", "b"}
    assert services(profiles=["*"]) == {"a", "b", "c"}


def test_variables_come_from_the_shell_then_from_env_files() -> None:
    files = Files()
    files.add(".env", "A=file\nB=file\n")
    files.add("other.env", "B=other\n")
    text = one("image: '${A}-${B}-${COMPOSE_PROJECT_NAME}'")
    assert web(text, files=files, variables={"A": "shell"}, name="shop")["image"] == "shell-file-shop"
    found = web(text, files=files, variables={"A": "x"}, name="shop", env_files=[f"{DIRECTORY}/other.env"])
    assert found["image"] == "x-other-shop"
    with pytest.raises(NotFound, match=r"no\.env"):
        web(text, files=files, env_files=["no.env"])


def test_a_variable_that_is_not_set_is_told_once() -> None:
    found = project(one("image: a${NO}\nhostname: ${NO}"))
    assert found.warnings == ["the variable NO is not set: it counts as empty"]


def test_dependencies_that_are_not_required_may_be_missing() -> None:
    assert web(one("depends_on: {db: {condition: service_started, required: false}}"))
