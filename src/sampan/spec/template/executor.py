"""Nodes and data into text, with the errors of Go's text/template."""

from __future__ import annotations

from sampan.spec.goquote import go_quote
from sampan.spec.template.functions import FUNCTIONS, CallFailed, Function, fits
from sampan.spec.template.lexer import TemplateError
from sampan.spec.template.nodes import (
    Action,
    Branch,
    Call,
    Chain,
    Command,
    Constant,
    Dot,
    Field,
    Identifier,
    Jump,
    ListNode,
    NilNode,
    Node,
    Pipe,
    Text,
    Variable,
)
from sampan.spec.template.parser import parse
from sampan.spec.template.printing import show
from sampan.spec.template.values import (
    Header,
    Nil,
    Pointer,
    Record,
    Struct,
    follow,
    is_true,
    type_name,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_DEPTH_LIMIT = 100
_EXPECTED = {"string": "string", "int": "integer", "[]string": "[]string"}


class _Missing:
    """No value at all: an absent key of a map, the end of a pipe that has none."""


MISSING = _Missing()


class ExecutionError(Exception):
    """The data does not fit the template."""


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class Template:
    """A parsed template. `strict`: an absent key of a map is an error rather than `<no value>`."""

    def __init__(
        self,
        text: str,
        functions: dict[str, Function] = FUNCTIONS,
        *,
        name: str = "",
        strict: bool = False,
    ) -> None:
        self.text = text
        self.name = name
        self.functions = functions
        self.strict = strict
        self.templates = parse(text, functions, name)

    def execute(self, data: Any) -> str:
        """Raises ExecutionError."""
        parts: list[str] = []
        _State(self, self.name, parts, data, 0).walk(data, self.templates[self.name])
        return "".join(parts)

    def fields(self) -> set[str]:
        """Names of the fields of `.` that occur anywhere in it."""
        found: set[str] = set()
        for root in self.templates.values():
            _collect(root, found)
        return found


class _State:
    """One execution of one of the templates: its variables, and where it is, for messages."""

    def __init__(
        self, template: Template, name: str, parts: list[str], data: Any, depth: int
    ) -> None:
        self._template = template
        self._name = name
        self._emit = parts.append
        self._parts = parts
        self._variables: list[tuple[str, Any]] = [("$", data)]
        self._depth = depth
        self._node: Node | None = None

    def walk(self, dot: Any, node: Node) -> None:
        if isinstance(node, Text):
            self._emit(node.text)
        elif isinstance(node, ListNode):
            for child in node.nodes:
                self.walk(dot, child)
        elif isinstance(node, Action):
            self._node = node
            value = self._pipe(dot, node.pipe)
            if not node.pipe.declared:
                self._print(value)
        elif isinstance(node, Branch):
            self._branch(dot, node)
        elif isinstance(node, Call):
            self._call_template(dot, node)
        elif isinstance(node, Jump):
            raise _Break if node.keyword == "break" else _Continue

    # Statements

    def _branch(self, dot: Any, node: Branch) -> None:
        visible = len(self._variables)
        try:
            if node.keyword == "range":
                self._range(dot, node)
                return
            value = self._pipe(dot, node.pipe)
            if value is not MISSING and is_true(value):
                self.walk(value if node.keyword == "with" else dot, node.body)
            elif node.otherwise is not None:
                self.walk(dot, node.otherwise)
        finally:
            del self._variables[visible:]

    def _range(self, dot: Any, node: Branch) -> None:
        self._node = node
        value = follow(self._pipe(dot, node.pipe))
        visible = len(self._variables)
        empty = True
        for key, item in self._items(value):
            empty = False
            self._bind(node.pipe, key, item)
            try:
                self.walk(item, node.body)
            except _Continue:
                pass
            except _Break:
                break
            finally:
                del self._variables[visible:]
        if empty and node.otherwise is not None:
            self.walk(dot, node.otherwise)

    def _items(self, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, list):
            return iter(enumerate(value))
        if isinstance(value, dict):
            return iter((key, value[key]) for key in sorted(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return iter((number, number) for number in range(value))
        if (
            value is MISSING
            or value is None
            or (isinstance(value, Nil) and value.kind in ("slice", "map"))
        ):
            return iter(())
        raise self._error(f"range can't iterate over {show(value)}")

    def _bind(self, pipe: Pipe, key: Any, item: Any) -> None:
        declared = pipe.declared
        if not declared:
            return
        values = (item,) if len(declared) == 1 else (key, item)
        for variable, value in zip(declared, values, strict=True):
            if pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self._variables.append((variable.names[0], value))

    def _call_template(self, dot: Any, node: Call) -> None:
        self._node = node
        root = self._template.templates.get(node.name)
        if root is None:
            raise self._error(f"template {go_quote(node.name)} not defined")
        if self._depth == _DEPTH_LIMIT:
            raise self._error(f"exceeded maximum template depth ({_DEPTH_LIMIT})")
        data = self._pipe(dot, node.pipe) if node.pipe else MISSING
        _State(self._template, node.name, self._parts, data, self._depth + 1).walk(data, root)

    def _print(self, value: Any) -> None:
        if value is MISSING or value is None:
            self._emit("<no value>")
        else:
            self._emit(show(follow(value)))

    # Expressions

    def _pipe(self, dot: Any, pipe: Pipe) -> Any:
        self._node = pipe
        value: Any = MISSING
        for command in pipe.commands:
            value = self._command(dot, command, value)
            if value is None:
                value = MISSING
        for variable in pipe.declared:
            if pipe.assigns:
                self._assign(variable.names[0], value)
            else:
                self._variables.append((variable.names[0], value))
        return value

    def _command(self, dot: Any, command: Command, final: Any) -> Any:
        first = command.arguments[0]
        if isinstance(first, Field):
            self._node = first
            return self._chain(dot, dot, first, first.names, command, final)
        if isinstance(first, Chain):
            self._node = first
            base = self._argument(dot, first.node)
            return self._chain(dot, base, first, first.names, command, final)
        if isinstance(first, Identifier):
            self._node = first
            return self._function(dot, first, command, final)
        if isinstance(first, Variable):
            self._node = first
            return self._chain(
                dot, self._variable(first.names[0]), first, first.names[1:], command, final
            )
        self._node = first
        if len(command.arguments) > 1 or final is not MISSING:
            shown = f"({first})" if isinstance(first, Pipe) else first
            raise self._error(f"can't give argument to non-function {shown}")
        if isinstance(first, NilNode):
            raise self._error("nil is not a command")
        return self._argument(dot, first)

    def _argument(self, dot: Any, node: Node) -> Any:
        """An operand that takes no arguments of its own."""
        self._node = node
        if isinstance(node, Constant):
            return node.value
        if isinstance(node, Dot):
            return dot
        if isinstance(node, NilNode):
            return None
        if isinstance(node, Pipe):
            return self._pipe(dot, node)
        return self._command(dot, Command(node.position, [node]), MISSING)

    def _chain(
        self, dot: Any, receiver: Any, node: Node, names: list[str], command: Command, final: Any
    ) -> Any:
        """Follow names; only the last one, a method, may take the command's arguments."""
        arguments = command.arguments[1:]
        if not names:
            if arguments or final is not MISSING:
                raise self._error(f"can't give argument to non-function {node}")
            return receiver
        for name in names[:-1]:
            receiver = self._field(receiver, name)
        if not arguments and final is MISSING:
            return self._field(receiver, names[-1])
        return self._method(dot, follow(receiver), names[-1], arguments, final, command)

    def _field(self, receiver: Any, name: str) -> Any:
        if receiver is MISSING:
            if self._template.strict:
                raise self._error(f"nil data; no entry for key {go_quote(name)}")
            return MISSING
        if receiver is None:
            raise self._error(f"nil pointer evaluating interface {{}}.{name}")
        target = follow(receiver)
        if isinstance(target, dict):
            if name in target:
                return target[name]
            if self._template.strict:
                raise self._error(f"map has no entry for key {go_quote(name)}")
            return MISSING
        if isinstance(target, Struct):
            try:
                return target.find(name)
            except KeyError:
                raise self._error(
                    f"can't evaluate field {name} in type {type_name(receiver)}"
                ) from None
        if isinstance(target, Record) and name in target.columns():
            if name in target.hidden():
                raise self._error(f"wrong number of args for {name}: want 1 got 0")
            return target.columns()[name]()
        if isinstance(target, Nil) and target.kind == "map" and not self._template.strict:
            return MISSING  # a nil map has no entry, as an empty one
        if isinstance(target, Nil) and target.kind == "pointer":
            raise self._error(f"nil pointer evaluating {target.type_name}.{name}")
        # What was decoded into a map without a type is an interface to Go, whatever is in it.
        kind = "interface {}" if self._template.strict else type_name(receiver)
        raise self._error(f"can't evaluate field {name} in type {kind}")

    def _method(
        self,
        dot: Any,
        receiver: Any,
        name: str,
        arguments: list[Node],
        final: Any,
        command: Command,
    ) -> Any:
        if isinstance(receiver, Record) and name in receiver.columns():
            wanted = 1 if name in receiver.hidden() else 0
            return receiver.columns()[name](*self._given(dot, name, arguments, final, wanted))
        if isinstance(receiver, Header) and name == "Label":
            return receiver.label(*self._given(dot, name, arguments, final, 1))
        if isinstance(receiver, dict):
            raise self._error(f"{name} is not a method but has arguments")
        self._field(receiver, name)
        raise self._error(f"{name} has arguments but cannot be invoked as function")

    def _given(self, dot: Any, name: str, nodes: list[Node], final: Any, wanted: int) -> list[Any]:
        """The arguments of a method, which all are strings."""
        count = len(nodes) + (final is not MISSING)
        if count != wanted:
            raise self._error(f"wrong number of args for {name}: want {wanted} got {count}")
        values = [self._typed(dot, node, "string") for node in nodes]
        return values + ([] if final is MISSING else [self._fitting(final, "string")])

    def _function(self, dot: Any, node: Identifier, command: Command, final: Any) -> Any:
        function = self._template.functions[node.name]
        nodes = command.arguments[1:]
        count = len(nodes) + (final is not MISSING)
        self._check_count(node.name, function, count)
        if node.name in ("and", "or"):
            return self._short_circuit(dot, node.name, nodes, final)
        values = []
        for index, argument in enumerate(nodes):
            values.append(self._typed(dot, argument, function.parameter(index)))
        if final is not MISSING:
            values.append(self._fitting(final, function.parameter(len(nodes))))
        try:
            return function.call(*values)
        except CallFailed as failure:
            self._node = command
            raise self._error(f"error calling {node.name}: {failure}") from None

    def _check_count(self, name: str, function: Function, count: int) -> None:
        if function.variadic:
            if count < function.at_least:
                raise self._error(
                    f"wrong number of args for {name}: want at least {function.at_least} got {count}"
                )
        elif count != len(function.parameters):
            wanted = len(function.parameters)
            raise self._error(f"wrong number of args for {name}: want {wanted} got {count}")

    def _short_circuit(self, dot: Any, name: str, nodes: list[Node], final: Any) -> Any:
        value: Any = MISSING
        for argument in nodes:
            value = self._argument(dot, argument)
            if (value is not MISSING and is_true(value)) == (name == "or"):
                return value
        return final if final is not MISSING else value

    def _typed(self, dot: Any, node: Node, wanted: str) -> Any:
        value = self._argument(dot, node)
        if isinstance(node, Constant) and not fits(value, wanted):
            raise self._error(f"expected {_EXPECTED[wanted]}; found {node}")
        return self._fitting(value, wanted)

    def _fitting(self, value: Any, wanted: str) -> Any:
        if value is MISSING or value is None:
            if wanted in ("any", "[]string"):
                return None if wanted == "any" else Nil("slice", wanted)
            raise self._error(f"invalid value; expected {wanted}")
        if not fits(value, wanted):
            raise self._error(f"wrong type for value; expected {wanted}; got {type_name(value)}")
        return follow(value) if isinstance(value, Pointer) and wanted != "any" else value

    # Variables and messages

    def _variable(self, name: str) -> Any:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise self._error(f"undefined variable: {name}")

    def _assign(self, name: str, value: Any) -> None:
        for position in range(len(self._variables) - 1, -1, -1):
            if self._variables[position][0] == name:
                self._variables[position] = (name, value)
                return
        raise self._error(f"undefined variable: {name}")

    def _error(self, text: str) -> ExecutionError:
        node, template = self._node, self._template
        if node is None:
            return ExecutionError(f"template: {self._name}: {text}")
        before = template.text[: node.position]
        line = before.count("\n") + 1
        column = len(before.rpartition("\n")[2].encode("utf-8", "surrogateescape"))
        context = str(node)
        return ExecutionError(
            f"template: {template.name}:{line}:{column}: executing {go_quote(self._name)} at <{context}>: {text}"
        )


def _collect(node: Node | None, found: set[str]) -> None:
    if isinstance(node, ListNode):
        for child in node.nodes:
            _collect(child, found)
    elif isinstance(node, Field):
        found.add(node.names[0])
    elif isinstance(node, Chain):
        _collect(node.node, found)
    elif isinstance(node, Command):
        for argument in node.arguments:
            _collect(argument, found)
    elif isinstance(node, Pipe):
        for command in node.commands:
            _collect(command, found)
    elif isinstance(node, Action | Call):
        _collect(node.pipe, found)
    elif isinstance(node, Branch):
        for part in (node.pipe, node.body, node.otherwise):
            _collect(part, found)


__all__ = ["MISSING", "ExecutionError", "Template", "TemplateError"]
