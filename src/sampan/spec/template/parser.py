"""Tokens into nodes, with the grammar and the messages of Go's text/template/parse."""

from __future__ import annotations

from sampan.spec.goquote import go_quote
from sampan.spec.template.lexer import TemplateError, Token, parse_number, tokens
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
from sampan.spec.template.strings import unquote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

_OPERANDS = frozenset(
    ("bool", "char", "dot", "field", "identifier", "number", "nil", "string", "variable", "(")
)
_LIMIT = 1000  # nesting; Python's own recursion ends a little later


class _End(Node):
    def __str__(self) -> str:
        return "{{end}}"


class _Else(Node):
    def __str__(self) -> str:
        return "{{else}}"


def parse(text: str, functions: Container[str], name: str = "") -> dict[str, ListNode]:
    """Templates by name; the text itself has the given one. Raises TemplateError."""
    return _Parser(text, functions, name).parse()


class _Parser:
    def __init__(self, text: str, functions: Container[str], name: str) -> None:
        self._tokens = tokens(text)
        self._next = 0
        self._line = 1
        self._action_line = 0
        self._functions = functions
        self._name = name
        self._variables = ["$"]
        self._range_depth = 0
        self._depth = 0
        self._templates: dict[str, ListNode] = {}

    def parse(self) -> dict[str, ListNode]:
        root = ListNode(0, [])
        while self._peek().kind != "eof":
            if self._peek().kind == "{{" and self._peek_behind_delimiter() == "define":
                self._definition()
                continue
            node = self._text_or_action()
            if isinstance(node, _End | _Else):
                raise self._error(f"unexpected {node}")
            root.nodes.append(node)
        return self._templates | {self._name: root}

    def _peek_behind_delimiter(self) -> str:
        at = self._next + 1
        while self._tokens[at].kind == "space":
            at += 1
        return self._tokens[at].kind

    # Tokens

    def _peek(self) -> Token:
        return self._tokens[min(self._next, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._peek()
        self._next += 1
        self._line = token.line
        return token

    def _peek_solid(self) -> Token:
        while self._peek().kind == "space":
            self._take()
        return self._peek()

    def _take_solid(self) -> Token:
        self._peek_solid()
        return self._take()

    def _expect(self, kind: str, context: str) -> Token:
        token = self._take_solid()
        if token.kind != kind:
            raise self._unexpected(token, context)
        return token

    def _error(self, text: str) -> TemplateError:
        return TemplateError(f"template: {self._name}:{self._line}: {text}")

    def _unexpected(self, token: Token, context: str) -> TemplateError:
        if token.kind != "error":
            return self._error(f"unexpected {token} in {context}")
        extra = ""
        if self._action_line and self._action_line != token.line:
            extra = f" in action started at {self._name}:{self._action_line}"
            if token.text.endswith(" action"):
                extra = extra.removeprefix(" in action")
        return self._error(f"{token}{extra}")

    # Statements

    def _text_or_action(self) -> Node:
        token = self._take()
        if token.kind == "text":
            return Text(token.position, token.text)
        if token.kind != "{{":
            raise self._unexpected(token, "input")
        self._action_line = token.line
        node = self._action()
        self._action_line = 0
        return node

    def _action(self) -> Node:
        token = self._take_solid()
        kind = token.kind
        if kind in ("if", "range", "with"):
            return self._branch(token)
        if kind in ("break", "continue"):
            return self._jump(token)
        if kind == "else":
            if self._peek_solid().kind not in ("if", "with"):
                self._expect("}}", "else")
            return _Else(token.position)
        if kind == "end":
            self._expect("}}", "end")
            return _End(token.position)
        if kind == "template":
            return self._call()
        if kind == "block":
            return self._block()
        self._next -= 1
        return Action(token.position, self._pipeline("command", "}}"))

    def _items(self) -> tuple[ListNode, Node]:
        """Statements up to an end or an else."""
        found = ListNode(self._peek_solid().position, [])
        self._depth += 1
        if self._depth > _LIMIT // 10:
            raise self._error("template is nested too deeply")
        while self._peek().kind != "eof":
            node = self._text_or_action()
            if isinstance(node, _End | _Else):
                self._depth -= 1
                return found, node
            found.nodes.append(node)
        raise self._error("unexpected EOF")

    def _branch(self, token: Token) -> Branch:
        visible = len(self._variables)
        keyword = token.kind
        pipe = self._pipeline(keyword, "}}")
        self._range_depth += keyword == "range"
        body, ending = self._items()
        self._range_depth -= keyword == "range"
        otherwise = None
        if isinstance(ending, _Else):
            otherwise = self._otherwise(keyword, ending)
        del self._variables[visible:]
        return Branch(token.position, keyword, pipe, body, otherwise)

    def _otherwise(self, keyword: str, ending: Node) -> ListNode:
        following = self._peek()
        if following.kind == keyword and keyword in ("if", "with"):
            return ListNode(ending.position, [self._branch(self._take())])
        found, end = self._items()
        if not isinstance(end, _End):
            raise self._error(f"expected end; found {end}")
        return found

    def _jump(self, token: Token) -> Jump:
        following = self._take_solid()
        if following.kind != "}}":
            raise self._unexpected(following, f"{{{{{token.kind}}}}}")
        if not self._range_depth:
            raise self._error(f"{{{{{token.kind}}}}} outside {{{{range}}}}")
        return Jump(token.position, token.kind)

    def _call(self) -> Call:
        context = "template clause"
        token = self._take_solid()
        name = self._template_name(token, context)
        if self._peek_solid().kind == "}}":
            self._take()
            return Call(token.position, name, None)
        return Call(token.position, name, self._pipeline(context, "}}"))

    def _block(self) -> Call:
        context = "block clause"
        token = self._take_solid()
        name = self._template_name(token, context)
        pipe = self._pipeline(context, "}}")
        self._templates[name] = self._separate(context)
        return Call(token.position, name, pipe)

    def _definition(self) -> None:
        self._take()
        self._take_solid()
        context = "define clause"
        name = self._template_name(self._take_solid(), context)
        self._expect("}}", context)
        self._templates[name] = self._separate(context)

    def _separate(self, context: str) -> ListNode:
        """The body of a template of its own: only `$` is known there."""
        outer, self._variables = self._variables, ["$"]
        depth, self._range_depth = self._range_depth, 0
        body, ending = self._items()
        self._variables, self._range_depth = outer, depth
        if not isinstance(ending, _End):
            raise self._error(f"unexpected {ending} in {context}")
        return body

    def _template_name(self, token: Token, context: str) -> str:
        if token.kind != "string":
            raise self._unexpected(token, context)
        return self._unquote(token)

    # Expressions

    def _pipeline(self, context: str, end: str) -> Pipe:
        pipe = Pipe(self._peek_solid().position, [], False, [])
        self._declarations(pipe, context)
        while True:
            token = self._take_solid()
            if token.kind == end:
                self._check(pipe, context)
                return pipe
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            self._next -= 1
            pipe.commands.append(self._command())

    def _declarations(self, pipe: Pipe, context: str) -> None:
        while self._peek_solid().kind == "variable":
            start = self._next
            variable = self._take()
            following = self._peek_solid()
            if following.kind not in ("=", ":=", ","):
                self._next = start
                return
            self._take()
            pipe.declared.append(Variable(variable.position, [variable.text]))
            self._variables.append(variable.text)
            if following.kind != ",":
                pipe.assigns = following.kind == "="
                return
            if context != "range" or len(pipe.declared) > 1:
                raise self._error(f"too many declarations in {context}")
            if self._peek_solid().kind not in ("variable", "}}", ")"):
                raise self._error("range can only initialize variables")

    def _check(self, pipe: Pipe, context: str) -> None:
        if not pipe.commands:
            raise self._error(f"missing value for {context}")
        for number, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.arguments[0], Constant | Dot | NilNode):
                raise self._error(f"non executable command in pipeline stage {number}")

    def _command(self) -> Command:
        command = Command(self._peek_solid().position, [])
        while True:
            self._peek_solid()
            operand = self._operand()
            if operand is not None:
                command.arguments.append(operand)
            token = self._take()
            if token.kind == "space":
                continue
            if token.kind in ("}}", ")"):
                self._next -= 1
            elif token.kind != "|":
                raise self._unexpected(token, "operand")
            break
        if not command.arguments:
            raise self._error("empty command")
        return command

    def _operand(self) -> Node | None:
        node = self._term()
        if node is None or self._peek().kind != "field":
            return node
        # As in Go, the position is that of the second name: it is what error messages show.
        position = self._peek().position
        names = []
        while self._peek().kind == "field":
            names.append(self._take().text[1:])
        if isinstance(node, Field):
            return Field(position, node.names + names)
        if isinstance(node, Variable):
            return Variable(position, node.names + names)
        if isinstance(node, Constant | NilNode | Dot):
            raise self._error(f"unexpected . after term {go_quote(str(node))}")
        return Chain(position, node, names)

    def _term(self) -> Node | None:
        token = self._take_solid()
        kind, position = token.kind, token.position
        if kind == "identifier":
            if token.text not in self._functions:
                raise self._error(f"function {go_quote(token.text)} not defined")
            return Identifier(position, token.text)
        if kind == "dot":
            return Dot(position)
        if kind == "nil":
            return NilNode(position)
        if kind == "variable":
            if token.text not in self._variables:
                raise self._error(f"undefined variable {go_quote(token.text)}")
            return Variable(position, [token.text])
        if kind == "field":
            return Field(position, [token.text[1:]])
        if kind == "bool":
            return Constant(position, token.text == "true", token.text)
        if kind == "number":
            return Constant(position, parse_number(token.text), token.text)
        if kind == "char":
            return Constant(position, ord(self._unquote(token)), token.text)
        if kind == "string":
            return Constant(position, self._unquote(token), token.text)
        if kind == "(":
            self._depth += 1
            if self._depth > _LIMIT // 10:
                raise self._error("template is nested too deeply")
            pipe = self._pipeline("parenthesized pipeline", ")")
            self._depth -= 1
            return pipe
        self._next -= 1
        return None

    def _unquote(self, token: Token) -> str:
        try:
            return unquote(token.text)
        except ValueError:
            what = (
                f"malformed character constant: {token.text}"
                if token.kind == "char"
                else "invalid syntax"
            )
            raise self._error(what) from None
