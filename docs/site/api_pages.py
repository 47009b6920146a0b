"""Hook of the documentation's site: a page for each public module, written from its docstrings.

The sources are read and not imported, so the site needs neither Airflow nor the package installed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import griffe
from properdocs.structure.files import File, Files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from properdocs.config.defaults import ProperDocsConfig

_PACKAGE = "airflow_okta_workflows"

# Airflow alone calls the methods of the classes in these modules.
_CALLED_BY_AIRFLOW = {"operators", "sensors", "triggers", "links", "notifications", "retry_policy"}
# The provider and Airflow call the other methods of the hook, and the local org these of its faults.
_HOOK_METHODS = {
    *("invoke", "ainvoke", "idempotency_key", "get_access_token", "aget_access_token"),
    *("get_conn", "test_connection", "close"),
}
_FAULT_METHODS = {"before", "after", "send"}

PUBLIC = {
    "hooks": ("hooks.okta_workflows", ("OktaWorkflowsHook",)),
    "operators": (
        "operators.okta_workflows",
        ("InvokeOktaFlowOperator", "InvokeOktaFlowBatchOperator", "StatusFlow", "SqlRows"),
    ),
    "sensors": ("sensors.okta_workflows", ("OktaFlowSensor",)),
    "decorators": ("decorators.okta_workflows", ("okta_flow_task", "okta_flow_batch_task")),
    "triggers": ("triggers.okta_workflows", ("OktaFlowStatusTrigger", "OktaFlowInvocationTrigger")),
    "links": ("links.okta_workflows", ("OktaFlowLink",)),
    "notifications": ("notifications.okta_workflows", ("OktaFlowNotifier",)),
    "retry_policy": ("retry_policy", ("OktaFlowRetryPolicy",)),
    "types": ("types", ("AccessToken", "FlowResponse")),
    "exceptions": (
        "exceptions",
        (
            "OktaWorkflowsError",
            "OktaConfigurationError",
            "OktaTokenError",
            "OktaTokenRefusedError",
            "OktaBatchFileError",
            "OktaFlowError",
            "OktaFlowNotSentError",
            "OktaFlowRefusedError",
            "OktaFlowRateLimitedError",
            "OktaFlowFailedError",
            "OktaFlowResponseError",
            "OktaFlowNoResponseError",
            "OktaFlowOutcomeUnknownError",
        ),
    ),
    "emulator": ("emulator", ()),
}
"""Module and public names of each page; no names for all that the module lists in ``__all__``."""

_LONGEST_LINE = 100
_VARIADIC: dict[griffe.ParameterKind | None, str] = {
    griffe.ParameterKind.var_positional: "*",
    griffe.ParameterKind.var_keyword: "**",
}
_ROLE = re.compile(r":(?:class|meth|mod|func|attr):`(?:~(?:[\w.]+\.)?(?P<short>\w+)|(?P<full>[\w.]+))`")
_LITERAL_BLOCK = re.compile(r"(?P<before>^.*?)::\n\n(?P<code>(?:(?: {4}.*)?\n?)+)", re.MULTILINE)
_PAGE = re.compile(r"\bdocs/([\w-]+)\.md\b")
_LINK = re.compile(r"\]\((?:#|(?P<page>[\w-]+\.md))")
_CODE = re.compile(r'<a id="(?P<anchor>okw-\d{4})"></a>OKW-\d{4}:? ?(?P<fix>.*?)(?: (?=<a id="okw-)| \|$)')


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    """Add a page for each public module.

    :param files: the files of the site so far
    :param config: of the site
    """
    root = Path(config.config_file_path or "").resolve().parent
    package = griffe.load(
        _PACKAGE, search_paths=[root], allow_inspection=False, resolve_external=False, docstring_parser="sphinx"
    )
    for name, (path, public) in PUBLIC.items():
        text = "\n".join(_page(name, package[path], public))
        if name == "exceptions":
            text += _codes((root / "docs/troubleshooting.md").read_text())
        files.append(File.generated(config, f"api/{name}.md", content=text))
    return files


def _page(name: str, module: griffe.Object | griffe.Alias, public: tuple[str, ...]) -> Iterator[str]:
    public = public or tuple(str(one).strip("'\"") for one in module.exports or ())
    yield f"# {name.replace('_', ' ').capitalize()}\n"
    if module.docstring:
        yield f"{_markdown(module.docstring.value)}\n"
    if name != "emulator":
        yield f"```python\n{_import(module.path, public)}\n```\n"
    for one in public:
        found = module[one]
        target = _final(found)
        if isinstance(target, griffe.Class):
            yield from _class(target, with_members=name not in _CALLED_BY_AIRFLOW)
        elif isinstance(target, griffe.Function):
            yield from _function(target, f"## {one}")


def _final(one: griffe.Object | griffe.Alias) -> griffe.Object:
    """Return what a name stands for, however often it was imported."""
    return one.final_target if isinstance(one, griffe.Alias) else one


def _import(path: str, names: tuple[str, ...]) -> str:
    line = f"from {path} import {', '.join(names)}"
    if len(line) <= _LONGEST_LINE:
        return line
    return f"from {path} import (\n" + "".join(f"    {one},\n" for one in names) + ")"


def _class(one: griffe.Class, *, with_members: bool) -> Iterator[str]:
    bases = ", ".join(str(base) for base in one.bases)
    declared = f"class {one.name}({bases})" if "exceptions" in one.path else _signature(one)
    yield f"## {one.name}\n\n```python\n{declared}\n```\n"
    yield from _docstring(one)
    if not with_members:
        return
    # A class whose base is of another package has no resolved order of bases; its own members come first.
    members = {**one.inherited_members, **one.members}
    shown = [member for name, member in members.items() if not name.startswith("_") and member.docstring]
    if one.name == "OktaWorkflowsHook":
        shown = [member for member in shown if member.name in _HOOK_METHODS]
    attributes = [member for member in map(_final, shown) if isinstance(member, griffe.Attribute)]
    if attributes:
        yield "| attribute | type | meaning |\n|---|---|---|"
        for member in attributes:
            kind = f"`{member.annotation}`" if member.annotation else ""
            yield f"| `{member.name}` | {_cell(kind)} | {_cell(_text(member))} |"
        yield ""
    for method in map(_final, shown):
        shows = "exceptions" not in one.path and method.name not in _FAULT_METHODS
        if shows and isinstance(method, griffe.Function):
            yield from _function(method, f"### {one.name}.{method.name}")


def _function(one: griffe.Function, heading: str) -> Iterator[str]:
    awaited = "async " if "async" in one.labels else ""
    yield f"{heading}\n\n```python\n{awaited}def {_signature(one)}\n```\n"
    yield from _docstring(one)


def _docstring(one: griffe.Class | griffe.Function) -> Iterator[str]:
    if one.docstring is None:
        return
    given = {parameter.name: parameter for parameter in _parameters(one)}
    for section in one.docstring.parse(warnings=False):
        if section.kind is griffe.DocstringSectionKind.text:
            yield f"{_markdown(section.value)}\n"
        elif section.kind is griffe.DocstringSectionKind.parameters:
            yield "| parameter | default | meaning |\n|---|---|---|"
            for told in {told.name: told for told in _told(one) if told.name in given}.values():
                parameter = given[told.name]
                has_default = parameter.default is not None
                default = f"`{parameter.default}`" if has_default and parameter.kind not in _VARIADIC else ""
                yield f"| `{told.name}` | {_cell(default)} | {_cell(_markdown(told.description))} |"
            yield ""
        elif section.kind is griffe.DocstringSectionKind.raises:
            yield "Raises:\n"
            for told in section.value:
                yield f"- `{told.annotation}` {_inline(told.description)}"
            yield ""
        elif section.kind is griffe.DocstringSectionKind.returns:
            yield "".join(f"Returns {_inline(told.description)}.\n" for told in section.value)


def _text(one: griffe.Attribute) -> str:
    """Return what a docstring says before its parameters and errors."""
    sections = one.docstring.parse(warnings=False) if one.docstring else ()
    return "\n\n".join(
        _markdown(section.value) for section in sections if section.kind is griffe.DocstringSectionKind.text
    )


def _bases(one: griffe.Class | griffe.Function) -> Iterator[griffe.Class]:
    """Yield the bases of a class in this package, and theirs; none for a function."""
    if isinstance(one, griffe.Class):
        for base in map(_final, one.resolved_bases):
            if isinstance(base, griffe.Class):
                yield base
                yield from _bases(base)


def _parameters(one: griffe.Class | griffe.Function) -> list[griffe.Parameter]:
    """Return the parameters, with those that a class passes on to its bases in this package."""
    found = {parameter.name: parameter for parameter in one.parameters if parameter.name not in ("self", "cls")}
    if one.is_class and any(parameter.kind in _VARIADIC for parameter in found.values()):
        for base in _bases(one):
            for parameter in base.parameters:
                if parameter.name != "self" and parameter.kind is griffe.ParameterKind.keyword_only:
                    found.setdefault(parameter.name, parameter)
    if one.is_class:
        # Those that have to be given come first.
        return sorted(
            found.values(), key=lambda parameter: (parameter.kind in _VARIADIC, parameter.default is not None)
        )
    return list(found.values())


def _told(one: griffe.Class | griffe.Function) -> Iterator[griffe.DocstringParameter]:
    """Yield what the docstrings of a class and of its bases in this package say about its parameters."""
    for source in [one, *_bases(one)]:
        for section in source.docstring.parse(warnings=False) if source.docstring else ():
            if section.kind is griffe.DocstringSectionKind.parameters:
                yield from section.value


def _signature(one: griffe.Class | griffe.Function) -> str:
    shown = []
    kinds = griffe.ParameterKind
    star = False
    for parameter in _parameters(one):
        if parameter.kind is kinds.keyword_only and not star:
            shown.append("*")
            star = True
        star = star or parameter.kind is kinds.var_positional
        stars = _VARIADIC.get(parameter.kind, "")
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        # A variadic parameter has an empty container for a default.
        default = f" = {parameter.default}" if parameter.default is not None and not stars else ""
        shown.append(f"{stars}{parameter.name}{annotation}{default}")
    returned = f" -> {one.returns}" if isinstance(one, griffe.Function) and one.returns is not None else ""
    line = f"{one.name}({', '.join(shown)}){returned}"
    if len(line) <= _LONGEST_LINE:
        return line
    return f"{one.name}(\n" + "".join(f"    {parameter},\n" for parameter in shown) + f"){returned}"


def _markdown(text: str) -> str:
    """Return a docstring's text in Markdown."""

    def fenced(block: re.Match[str]) -> str:
        code = "\n".join(line[4:] for line in block["code"].rstrip().splitlines())
        before = f"{block['before']}:\n\n" if block["before"] else ""
        language = "python" if "import " in code else "text"
        return f"{before}```{language}\n{code}\n```\n\n"

    text = _ROLE.sub(lambda role: f"`{role['short'] or role['full']}`", _LITERAL_BLOCK.sub(fenced, text))
    text = _PAGE.sub(r"[\1](../\1.md)", text)
    # In code, double backquotes stay as they are.
    parts = re.split(r"(^```.*?^```)", text, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else part.replace("``", "`") for part in parts).strip()


def _inline(text: str) -> str:
    return " ".join(_markdown(text).split())


def _cell(text: str) -> str:
    return " ".join(text.replace("|", r"\|").split())


def _from_api(link: re.Match[str]) -> str:
    """Return the beginning of a link of the troubleshooting page, as it is on a page of the API."""
    return "](../troubleshooting.md#" if link[0].endswith("#") else f"](../{link['page']}"


def _codes(troubleshooting: str) -> str:
    """Return a section with each code, what to change, and a link to its row in the troubleshooting page."""
    rows = sorted(
        (code["anchor"], *(_LINK.sub(_from_api, cell) for cell in (line.split(" | ")[0][2:], code["fix"])))
        for line in troubleshooting.splitlines()
        for code in _CODE.finditer(line)
    )
    lines = [f"| [{anchor.upper()}](../troubleshooting.md#{anchor}) | {error} | {fix} |" for anchor, error, fix in rows]
    return "\n".join(
        [
            "\n## Codes\n",
            "The second line of an error has a code. Each leads to its row in troubleshooting.\n",
            "| code | the error says | what to change |\n|---|---|---|",
            *lines,
            "",
        ]
    )
