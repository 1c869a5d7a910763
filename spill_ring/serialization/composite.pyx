"""Plans of values that are made of others, and the plan of any type."""
cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject, PyObject_GenericSetAttr, PyObject_GetAttr
from libc.string cimport memcpy

from spill_ring._core.block cimport copy_block
from spill_ring._core.conversion cimport as_block
from spill_ring._core.cpython cimport PY_BIG_ENDIAN, Py_DECREF
from spill_ring.serialization.plan cimport (
    MAX_DEPTH, Plan, Reader, SizedPlan, Writer, add_bytes, enter_nested, leaf_plan, next_bytes, read_flag, read_length,
    write_length,
)

import dataclasses
import types
import typing

import numpy as np

from spill_ring.serialization.errors import UnexpectedEnd

cnp.import_array()


cdef extern from "python_objects.h":
    PyObject *sr_find(object dict, object key) except? NULL
    object sr_new_instance(object type, object no_arguments)


cdef enum:
    MAX_PLANS = 1024  # that are kept


cdef class FieldsPlan(Plan):
    """Values of a fixed number of parts, which are written one after the other."""

    cdef int set_plans(self, tuple plans) except -1:
        cdef Plan plan
        cdef Py_ssize_t size = 0
        for plan in plans:
            size = -1 if plan.size < 0 or size < 0 else size + plan.size
            self.is_checked |= plan.is_checked
        self.plans = plans
        self.size = size
        if size >= 0:
            self.units = tuple([unit for plan in plans for unit in plan.units])
        return 0

    cdef int require_type(self, object value) except -1:
        """Refuse a value of another type."""

    cdef object part(self, object value, Py_ssize_t i):
        """One of the values that `value` is made of."""

    cdef object begin(self):
        """The object to which `add` adds each part, in order, before `finish` makes the value of it."""

    cdef int add(self, object made, Py_ssize_t i, object part) except -1:
        return 0

    cdef object finish(self, object made):
        return made

    cdef Py_ssize_t find_min_size(self):
        cdef Plan plan
        cdef Py_ssize_t total = 0
        for plan in self.plans:
            total += plan.min_size
        return min(total, 1 << 30)  # Of a type that contains itself the sum would grow for ever.

    cdef int write(self, object value, Writer *out) except -1:
        cdef Py_ssize_t i = 0
        if self.size >= 0:
            return Plan.write(self, value, out)
        self.require_type(value)
        enter_nested(&out.depth, True)
        try:
            for i in range(len(self.plans)):
                (<Plan>self.plans[i]).write(self.part(value, i), out)
        except Exception as error:
            self.note_location(error, i)
            raise
        out.depth -= 1
        return 0

    cdef object read(self, Reader *data):
        cdef Py_ssize_t i
        if self.size >= 0:
            return Plan.read(self, data)
        made = self.begin()
        enter_nested(&data.depth, False)
        for i in range(len(self.plans)):
            self.add(made, i, (<Plan>self.plans[i]).read(data))
        data.depth -= 1
        return self.finish(made)

    cdef int store(self, object value, char *out) except -1:
        cdef Plan plan
        cdef Py_ssize_t i = 0
        self.require_type(value)
        try:
            for i in range(len(self.plans)):
                plan = <Plan>self.plans[i]
                plan.store(self.part(value, i), out)
                out += plan.size
        except Exception as error:
            self.note_location(error, i)
            raise
        return 0

    cdef object load(self, const char *data):
        cdef Plan plan
        cdef Py_ssize_t i
        made = self.begin()
        for i in range(len(self.plans)):
            plan = <Plan>self.plans[i]
            self.add(made, i, plan.load(data))
            data += plan.size
        return self.finish(made)

    cdef int check(self, const char *data) except -1:
        cdef Plan plan
        for plan in self.plans:
            if plan.is_checked:
                plan.check(data)
            data += plan.size
        return 0

    cdef int note_location(self, object error, Py_ssize_t i) except -1:
        error.add_note(f"in {self.type.__name__}.{self.names[i]}" if self.names else f"in item {i} of a tuple")
        return 0


@cython.final
cdef class TuplePlan(FieldsPlan):
    cdef int require_type(self, object value) except -1:
        if type(value) is not tuple or len(<tuple>value) != len(self.plans):
            raise TypeError(f"expected a tuple of {len(self.plans)}, not {value!r}")
        return 0

    cdef object part(self, object value, Py_ssize_t i):
        return (<tuple>value)[i]

    cdef object begin(self):
        return []  # A tuple can't be seen before it is complete.

    cdef int add(self, object made, Py_ssize_t i, object part) except -1:
        (<list>made).append(part)
        return 0

    cdef object finish(self, object made):
        return tuple(<list>made)


cdef tuple NO_ARGUMENTS = ()


@cython.final
cdef class DataclassPlan(FieldsPlan):
    """A dataclass; a record if it has a dtype."""

    cdef int require_type(self, object value) except -1:
        if type(value) is not self.type:  # What a subclass adds would be lost.
            raise TypeError(f"expected a {self.type.__name__}, not {value!r}")
        return 0

    cdef object part(self, object value, Py_ssize_t i):
        return PyObject_GetAttr(value, self.names[i])

    cdef object begin(self):
        return sr_new_instance(self.type, NO_ARGUMENTS)

    cdef int add(self, object made, Py_ssize_t i, object part) except -1:
        PyObject_GenericSetAttr(made, self.names[i], part)  # This sets fields of a frozen class too.
        return 0


@cython.final
cdef class OptionalPlan(Plan):
    """A value or None."""

    cdef Plan plan

    cdef int write(self, object value, Writer *out) except -1:
        add_bytes(out, 1)[0] = value is not None
        if value is not None:
            enter_nested(&out.depth, True)
            self.plan.write(value, out)
            out.depth -= 1
        return 0

    cdef object read(self, Reader *data):
        if not read_flag(next_bytes(data, 1), "an optional value's first byte"):
            return None
        enter_nested(&data.depth, False)
        value = self.plan.read(data)
        data.depth -= 1
        return value

    cdef Py_ssize_t find_min_size(self):
        return 1


@cython.final
cdef class ListPlan(SizedPlan):
    """A list, or an array of one dimension, of values of one type."""

    cdef Plan plan
    cdef bint is_array

    cdef int write(self, object value, Writer *out) except -1:
        cdef tuple items
        cdef Py_ssize_t i
        cdef char *place
        if isinstance(value, np.ndarray) and self.plan.dtype is not None:
            return self.write_array(value, out)
        if self.is_array or not isinstance(value, (list, tuple)):
            raise TypeError(f"expected {'an ndarray' if self.is_array else 'a list'} for {self.type}, not {value!r}")
        items = tuple(value)  # Another thread may change a list meanwhile.
        write_length(len(items), out)
        if self.plan.size >= 0:
            place = add_bytes(out, len(items) * self.plan.size)
            for i in range(len(items)):
                self.plan.store(items[i], place)
                if PY_BIG_ENDIAN:
                    self.plan.swap(place)
                place += self.plan.size
            return 0
        enter_nested(&out.depth, True)
        for i in range(len(items)):
            self.plan.write(items[i], out)
        out.depth -= 1
        return 0

    cdef int write_array(self, object value, Writer *out) except -1:
        cdef cnp.ndarray block = as_block(value, self.plan.dtype)
        cdef Py_ssize_t count = cnp.PyArray_DIM(block, 0)
        cdef Py_ssize_t i
        cdef char *place
        write_length(count, out)
        place = add_bytes(out, count * self.plan.size)
        memcpy(place, cnp.PyArray_DATA(block), count * self.plan.size)
        for i in range(count if self.plan.is_checked else 0):
            self.plan.check(place + i * self.plan.size)
        if PY_BIG_ENDIAN:
            for i in range(count):
                self.plan.swap(place + i * self.plan.size)
        return 0

    cdef object read(self, Reader *data):
        cdef Py_ssize_t count = read_length(data)
        cdef Py_ssize_t i
        cdef Py_ssize_t least = max(self.plan.min_size, 1)
        cdef const char *place
        cdef list items = []
        # Checked before anything is allocated. It divides because the product could overflow.
        if count > (data.end - data.at) // least:
            raise UnexpectedEnd(int(count) * least, data.end - data.at)
        if self.plan.size > 0 and not PY_BIG_ENDIAN:
            place = next_bytes(data, count * self.plan.size)
            for i in range(count if self.plan.is_checked else 0):
                self.plan.check(place + i * self.plan.size)
            if self.is_array:
                return copy_block(self.plan.dtype, place, count)
            for _ in range(count):
                items.append(self.plan.load(place))
                place += self.plan.size
            return items
        enter_nested(&data.depth, False)
        for _ in range(count):
            items.append(self.plan.read(data))
        data.depth -= 1
        return np.array(items, self.plan.dtype) if self.is_array else items


# -- from types to plans -------------------------------------------------------------------------------

# Only complete plans are in here, which never change. When there are too many, all are dropped, as `re` does with its
# patterns.
cdef dict plan_cache = {}


cdef Plan plan_of(object hint):
    cdef PyObject *found
    cdef dict memo
    cdef Plan plan
    found = sr_find(plan_cache, hint)
    if found != NULL:
        plan = <Plan?>found
        Py_DECREF(found)
        return plan
    memo = {}
    plan = make_plan(hint, memo, 0)
    set_min_sizes(memo)
    if len(plan_cache) >= MAX_PLANS:
        plan_cache.clear()
    try:
        plan_cache[hint] = plan
    except TypeError:  # The type is not hashable, as with a dtype that is given as a list.
        pass
    return plan


cdef DataclassPlan dataclass_plan(object cls):
    cdef dict memo = {}
    cdef DataclassPlan plan = make_dataclass(cls, memo, 0)
    set_min_sizes(memo)
    return plan


cdef int set_min_sizes(dict memo) except -1:
    """Find the least size of each plan's values. Types may contain each other, so begin with 0 and repeat."""
    cdef Plan plan
    for _ in memo:
        for plan in memo.values():
            plan.min_size = plan.find_min_size()
    for plan in memo.values():
        if isinstance(plan, ListPlan) and (<ListPlan>plan).plan.min_size == 0:
            raise TypeError(f"{plan.type}: a list of what takes no bytes could be of any length")
    return 0


cdef Plan make_plan(object hint, dict memo, int depth):
    """A plan, which is in `memo` by the `id` of its type, as all plans are that were made on the way.

    A type that contains itself finds there the plan that is being made, whose size is not known yet.
    """
    cdef Plan plan
    if depth > MAX_DEPTH:
        raise TypeError(f"a type nested more than {MAX_DEPTH} deep")
    if hint is None:
        hint = types.NoneType
    if id(hint) in memo:
        return memo[id(hint)]
    plan = leaf_plan(hint)
    if plan is not None:
        return registered(plan, hint, memo)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        record = vars(hint).get("__record__")
        if isinstance(record, DataclassPlan) and (<DataclassPlan>record).type is hint:
            return record  # Others use this plan already, so it must stay as it is.
        return make_dataclass(hint, memo, depth)
    plan = make_generic(hint, memo, depth)
    if plan is None:
        raise TypeError(
            f"{hint!r} has no form in bytes: there are None, bool, int, float, str, bytes, numpy's numbers, T | None, "
            "tuple[T, U] (not of any length), list[T], NDArray[T], Annotated[T, dtype], dataclasses, and classes with "
            "to_bytes and from_bytes"
        )
    return plan


cdef Plan make_generic(object hint, dict memo, int depth):
    """The plan of a type with arguments; None if it has no form in bytes."""
    cdef TuplePlan several
    cdef OptionalPlan optional
    cdef ListPlan array
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hasattr(origin, "__value__"):  # of a `type` statement, which numpy's NDArray is since 2.5
        meant = origin.__value__[args]
        origin, args = typing.get_origin(meant), typing.get_args(meant)
    if origin is list and len(args) == 1:
        return make_list(hint, args[0], memo, depth)
    if origin is tuple and ... not in args and hint is not typing.Tuple:
        several = registered(TuplePlan.__new__(TuplePlan), hint, memo)
        several.set_plans(tuple([make_plan(arg, memo, depth + 1) for arg in args]))
        return several
    if origin in (typing.Union, types.UnionType):
        rest = [arg for arg in args if arg is not types.NoneType]
        if len(rest) == 1:
            optional = registered(OptionalPlan.__new__(OptionalPlan), hint, memo)
            optional.plan = make_plan(rest[0], memo, depth + 1)
            return optional
    if origin is np.ndarray and typing.get_args(args[-1])[:1]:
        array = make_list(hint, typing.get_args(args[-1])[0], memo, depth)
        array.is_array = True
        return array if array.plan.dtype is not None else None
    return None


cdef ListPlan make_list(object hint, object item, dict memo, int depth):
    cdef ListPlan plan = registered(ListPlan.__new__(ListPlan), hint, memo)
    plan.plan = make_plan(item, memo, depth + 1)
    return plan


cdef Plan registered(Plan plan, object hint, dict memo):
    plan.type = hint
    memo[id(hint)] = plan
    return plan


cdef DataclassPlan make_dataclass(object cls, dict memo, int depth):
    cdef DataclassPlan plan = registered(DataclassPlan.__new__(DataclassPlan), cls, memo)
    cdef list plans = []
    names = tuple([field.name for field in dataclasses.fields(cls)])
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise TypeError(f"the fields of {cls.__name__} name a type that is not found: {error}") from None
    for name in names:
        try:
            plans.append(make_plan(hints[name], memo, depth + 1))
        except TypeError as error:
            raise TypeError(f"field {name!r} of {cls.__name__}: {error}") from None
    plan.names = names
    plan.set_plans(tuple(plans))
    return plan


cdef object type_of(object value, int depth):
    """The type of a value as far as the value shows it."""
    cls = type(value)
    if depth > MAX_DEPTH:
        raise RecursionError(f"values nested more than {MAX_DEPTH} deep")
    if cls is tuple:
        return types.GenericAlias(tuple, tuple([type_of(item, depth + 1) for item in value]))
    if cls is list:
        items = {type_of(item, depth + 1): item for item in value}
        if len(items) > 1:
            one, other = list(items.values())[:2]
            raise TypeError(f"{one!r} and {other!r} in a list are of two types: give serialize the list's type")
        return list[next(iter(items), typing.Never)]
    if cls is np.ndarray and value.ndim == 1:
        return np.ndarray[tuple[int], np.dtype[value.dtype.type]]
    return cls


cdef Plan plan_for(object value, object hint):
    if hint is not ...:
        return plan_of(hint)
    cls = type(value)
    if cls is tuple or cls is list or cls is np.ndarray:
        cls = type_of(value, 0)
    return plan_of(cls)
