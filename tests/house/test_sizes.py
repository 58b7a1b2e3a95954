"""No function is longer than a screen, and no class asks its readers for more than some 30 methods."""

from __future__ import annotations

import ast

from library_files import Library, Module, library, planted, short

SCREEN = 60
MOST_METHODS = 30

# Its length is defended by `python -m benchmarks`: every call taken out of it is paid by each message.
LONG = {"actors.kernel.scheduler.Scheduler.run"}

# An event loop: its methods are asyncio's, and asyncio decides how many they are.
WIDE = {"actors.simulation.loop.SimLoop"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(function: Function) -> int:
    """Return the lines of *function* without its docstring and its decorators."""
    first = function.body[0]
    documented = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def is_delegate(function: Function) -> bool:
    """Tell whether *function* only passes a call on to a part that `self` holds."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    match body:
        case [ast.Return(value=ast.expr() as value) | ast.Expr(value=value)]:
            pass
        case _:
            return False
    if isinstance(value, ast.Await):
        value = value.value
    if isinstance(value, ast.Call):
        value = value.func
    match value:
        case ast.Attribute(value=ast.Attribute(value=ast.Name(id="self" | "cls"))):
            return True
    return False


def public_methods(owner: ast.ClassDef) -> set[str]:
    """Return the public methods and properties that the class itself defines, without delegates."""
    return {
        member.name
        for member in owner.body
        if isinstance(member, Function)
        if not member.name.startswith("_") and not is_delegate(member)
    }


def functions(module: Module) -> dict[str, Function]:
    """Return the functions of *module* by their dotted names; those in functions are part of them."""
    found: dict[str, Function] = {}

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, Function):
                found[f"{prefix}.{node.name}"] = node
            elif isinstance(node, ast.ClassDef):
                look(node.body, f"{prefix}.{node.name}")

    look(module.tree.body, short(module.name))
    return found


def too_long(modules: Library) -> list[str]:
    return [
        f"{name} has {lines} lines"
        for module in modules.values()
        for name, function in functions(module).items()
        if (lines := code_lines(function)) > SCREEN and name not in LONG
    ]


def too_wide(modules: Library) -> list[str]:
    return [
        f"{name} has {number} public methods of its own"
        for module in modules.values()
        for owner in module.nodes
        if isinstance(owner, ast.ClassDef)
        if (name := f"{short(module.name)}.{owner.name}") not in WIDE
        if (number := len(public_methods(owner))) > MOST_METHODS
    ]


def test_a_function_fits_on_a_screen() -> None:
    said = too_long(library())
    assert not said, "\n".join(said)


def test_a_class_has_few_public_methods_of_its_own() -> None:
    said = too_wide(library())
    assert not said, "\n".join(said)


def test_the_exceptions_are_still_there() -> None:
    names = {name for module in library().values() for name in functions(module)}
    assert names >= LONG
    classes = {
        f"{short(module.name)}.{node.name}"
        for module in library().values()
        for node in module.nodes
        if isinstance(node, ast.ClassDef)
    }
    assert classes >= WIDE


def test_a_long_function_is_found() -> None:
    docstring = '    """' + "Much is said.\n" * 90 + '"""\n'
    sixty = "def f():\n" + docstring + "    pass\n" * 59
    assert not too_long(planted(actors__x=sixty))
    assert too_long(planted(actors__x=sixty + "    pass\n"))
    method = "class A:\n" + "".join(
        f"    {line}\n" for line in ["def f(self):", *["    pass"] * 60]
    )
    assert too_long(planted(actors__x=method)) == ["actors.x.A.f has 61 lines"]


def test_a_wide_class_is_found() -> None:
    thirty = "class A:\n" + "".join(f"    def m{n}(self): return {n}\n" for n in range(30))
    more = {
        "private": "    def _m(self): return 1\n",
        "delegate": "    async def stop(self):\n        '''Stop.'''\n        await self._end.stop(1)\n",
        "setter": "    def m1(self, value): return 2\n",
    }
    for kind, text in more.items():
        assert not too_wide(planted(actors__x=thirty + text)), kind
    assert too_wide(planted(actors__x=thirty + "    def more(self): return self.part(1)\n"))
