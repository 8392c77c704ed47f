"""What a template consists of. `str(node)` is the node's source as Go prints it in error messages."""

from __future__ import annotations

from sampan.spec.goquote import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Node:
    def __init__(self, position: int) -> None:
        self.position = position


class Text(Node):
    def __init__(self, position: int, text: str) -> None:
        super().__init__(position)
        self.text = text

    def __str__(self) -> str:
        return self.text


class ListNode(Node):
    def __init__(self, position: int, nodes: list[Node]) -> None:
        super().__init__(position)
        self.nodes = nodes

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))


class Field(Node):
    """`.A.B`"""

    def __init__(self, position: int, names: list[str]) -> None:
        super().__init__(position)
        self.names = names

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


class Variable(Node):
    """`$x.A`; `$` is called "$"."""

    def __init__(self, position: int, names: list[str]) -> None:
        super().__init__(position)
        self.names = names

    def __str__(self) -> str:
        return ".".join(self.names)


class Chain(Node):
    """`(…).A`"""

    def __init__(self, position: int, node: Node, names: list[str]) -> None:
        super().__init__(position)
        self.node = node
        self.names = names

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return inner + "".join(f".{name}" for name in self.names)


class Dot(Node):
    def __str__(self) -> str:
        return "."


class NilNode(Node):
    def __str__(self) -> str:
        return "nil"


class Identifier(Node):
    """A function's name."""

    def __init__(self, position: int, name: str) -> None:
        super().__init__(position)
        self.name = name

    def __str__(self) -> str:
        return self.name


class Constant(Node):
    """A string, number, character or boolean, with its source."""

    def __init__(self, position: int, value: Any, source: str) -> None:
        super().__init__(position)
        self.value = value
        self.source = source

    def __str__(self) -> str:
        return self.source


class Command(Node):
    """An operand, or a function and its arguments."""

    def __init__(self, position: int, arguments: list[Node]) -> None:
        super().__init__(position)
        self.arguments = arguments

    def __str__(self) -> str:
        return " ".join(f"({a})" if isinstance(a, Pipe) else str(a) for a in self.arguments)


class Pipe(Node):
    """`$x := a | b`; `declared` are the variables, `assigns` whether with `=`."""

    def __init__(
        self, position: int, declared: list[Variable], assigns: bool, commands: list[Command]
    ) -> None:
        super().__init__(position)
        self.declared = declared
        self.assigns = assigns
        self.commands = commands

    def __str__(self) -> str:
        start = ""
        if self.declared:
            start = ", ".join(map(str, self.declared)) + (" = " if self.assigns else " := ")
        return start + " | ".join(map(str, self.commands))


class Action(Node):
    def __init__(self, position: int, pipe: Pipe) -> None:
        super().__init__(position)
        self.pipe = pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


class Branch(Node):
    """`if`, `with` and `range`, by `keyword`."""

    def __init__(
        self, position: int, keyword: str, pipe: Pipe, body: ListNode, otherwise: ListNode | None
    ) -> None:
        super().__init__(position)
        self.keyword = keyword
        self.pipe = pipe
        self.body = body
        self.otherwise = otherwise

    def __str__(self) -> str:
        middle = f"{{{{else}}}}{self.otherwise}" if self.otherwise else ""
        return f"{{{{{self.keyword} {self.pipe}}}}}{self.body}{middle}{{{{end}}}}"


class Jump(Node):
    """`break` or `continue`."""

    def __init__(self, position: int, keyword: str) -> None:
        super().__init__(position)
        self.keyword = keyword

    def __str__(self) -> str:
        return f"{{{{{self.keyword}}}}}"


class Call(Node):
    """`template "name" pipe`"""

    def __init__(self, position: int, name: str, pipe: Pipe | None) -> None:
        super().__init__(position)
        self.name = name
        self.pipe = pipe

    def __str__(self) -> str:
        argument = f" {self.pipe}" if self.pipe else ""
        return f"{{{{template {go_quote(self.name)}{argument}}}}}"
