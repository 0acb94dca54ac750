"""Restricted unpickling: pickles of state dicts, read as data.

A pickle is a program for a stack machine. Ours knows the instructions that a state dict is written with, and a handful
of globals, which to it are names and never imported: so a file can ask for nothing but numbers, texts, tuples, lists,
dicts and notes of where a tensor's numbers lie. Source: torch's `_weights_only_unpickler`, and `pickletools`.
"""

import io
import pickletools
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

SAVE_ANEW = "save it anew with torch.save(model.state_dict(), FILE)"

_STORAGES = {
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": "i8", "IntStorage": "i4", "ShortStorage": "i2", "CharStorage": "i1", "ByteStorage": "u1",
    "BoolStorage": "?",
}  # fmt: skip
_CALLS = (
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.nn.parameter.Parameter",
)
_GLOBALS = {*_CALLS, *(f"torch.{name}" for name in _STORAGES)}

_LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_MAX_INSTRUCTIONS = 1_000_000  # of a pickle: some 30,000 tensors; torchvision's largest files have a few hundred


class Rejected(ValueError):
    """A file that is sound, perhaps, and not what is asked for; the message says what to do."""


class _Global(NamedTuple):
    """A name of `_GLOBALS`."""

    name: str


class Storage(NamedTuple):
    """A run of numbers of one type in the file; a view of one begins at `start`, in numbers."""

    key: str
    dtype: np.dtype
    start: int


@dataclass
class Tensor:
    """Place of a tensor's numbers in its storage. A Parameter of torch's first years is filled in after it is made."""

    storage: Storage | None = None
    offset: int = 0
    size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()


def unpickle(stream: io.BytesIO) -> tuple[Any, dict[str, np.dtype]]:
    """The object that the stream's next pickle makes, and the types of the storages it speaks of, by key.

    The stream is left behind the pickle. Raises Rejected for a pickle that asks for more than a state dict does, and
    ValueError, TypeError or LookupError for a damaged one.
    """
    stack, marks, memo, dtypes = [], [], {}, {}

    def since_mark() -> list:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    for opcode, value, _ in islice(pickletools.genops(stream), _MAX_INSTRUCTIONS):
        match opcode.name:
            case name if name in _LITERALS:
                stack.append(value)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                memo[len(memo) if value is None else value] = stack[-1]
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                count = int(name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "EMPTY_LIST" | "EMPTY_DICT" as name:
                stack.append([] if name == "EMPTY_LIST" else {})
            case "APPEND" | "APPENDS" as name:
                items = [stack.pop()] if name == "APPEND" else since_mark()
                known(stack[-1], list).extend(items)
            case "SETITEM" | "SETITEMS" as name:
                items = [stack.pop(-2), stack.pop()] if name == "SETITEM" else since_mark()
                _put(stack[-1], zip(items[::2], items[1::2], strict=True))
            case "GLOBAL" | "STACK_GLOBAL" as name:
                path = str(value).split(" ", 1) if name == "GLOBAL" else (stack.pop(-2), stack.pop())
                stack.append(_global(".".join(path)))
            case "BINPERSID":
                storage = _storage(stack.pop())
                if dtypes.setdefault(storage.key, storage.dtype) != storage.dtype:
                    raise ValueError(f"storage {storage.key[:100]!r} is of two types")
                stack.append(storage)
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(_called(stack.pop(), arguments))
            case "BUILD":
                _fill(stack[-2], stack.pop())
            case "STOP":
                return stack.pop(), dtypes
            case name if name not in ("PROTO", "FRAME"):
                raise Rejected(f"its pickle has the instruction {name}, as no state dict needs: {SAVE_ANEW}")
    raise Rejected(f"its pickle has more than {_MAX_INSTRUCTIONS} instructions: {SAVE_ANEW}")


def known(value: Any, kind: type) -> Any:
    """The value, where it is of this very type; else raises TypeError."""
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
    return value


def _put(target: Any, pairs: Iterable[Any]) -> None:
    """Entries for a dict; texts and numbers are all that a key can be, since a tuple's hash may take for ever."""
    for key, value in pairs:
        known(target, dict)[key if type(key) is int else known(key, str)] = value


def _global(name: str) -> _Global:
    if name not in _GLOBALS:
        raise Rejected(f"it asks for {name[:100]!r}, which no state dict needs and nobody ran: {SAVE_ANEW}")
    return _Global(name)


def _storage(identity: Any) -> Storage:
    """Return the storage of torch's persistent id ("storage", type, key, device, count), in streams with its view, or
    None."""
    match identity:
        case ("storage", _Global(kind), str(key), _, _) | ("storage", _Global(kind), str(key), _, _, None):
            start = 0
        case ("storage", _Global(kind), str(key), _, _, (_, int(start), _)):
            pass
        case _:
            raise ValueError("something other than a storage is outside the pickle")
    return Storage(key, np.dtype(_STORAGES[kind.removeprefix("torch.")]), start)


def _called(function: Any, arguments: Any) -> Any:
    """Return what a global makes of its arguments: all that a file can have done."""
    match known(function, _Global).name, arguments:
        case "collections.OrderedDict", ():
            return {}
        case "collections.OrderedDict", (list(pairs),):  # Python 2's
            made = {}
            _put(made, pairs)
            pairs.clear()  # so that a file cannot have a long list copied again and again
            return made
        case "torch._utils._rebuild_tensor", (Storage() as storage, offset, tuple(size), tuple(stride)):
            return Tensor(storage, offset, size, stride)
        case "torch._utils._rebuild_tensor_v2", (_, _, _, _, _, _, metadata) if metadata:
            raise Rejected(f"it has a tensor still to be conjugated or negated: {SAVE_ANEW}")
        case (
            "torch._utils._rebuild_tensor_v2",
            (Storage() as storage, offset, tuple(size), tuple(stride), _, _)
            | (Storage() as storage, offset, tuple(size), tuple(stride), _, _, _),
        ):
            return Tensor(storage, offset, size, stride)
        case (("torch._utils._rebuild_parameter" | "torch.nn.parameter.Parameter"), (Tensor() as data, *_)):
            return data
        case "torch.nn.parameter.Parameter", ():
            return Tensor()
    raise ValueError(f"{function.name} is called as torch.save does not")


def _fill(target: Any, state: Any) -> None:
    """An object's attributes, none of which is kept, but for the numbers of a Parameter made before them."""
    match target, state:
        case Tensor(storage=None), (Tensor() as data, _, _, _, _):
            vars(target).update(vars(data))
        case (Tensor(), tuple()) | (dict(), dict()):
            pass
        case _:
            raise ValueError(f"{type(target).__name__} has no attributes")
