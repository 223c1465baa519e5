# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parse GraphQL requests, and select the requested fields from dictionaries.

The executor of graphql-core needs seconds for a page of 1,000 devices, and refuses invalid values that tests set.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLObjectType,
    GraphQLSkipDirective,
    InlineFragmentNode,
    OperationType,
    SelectionSetNode,
    build_schema,
    execute_sync,
    get_argument_values,
    get_directive_values,
    get_named_type,
    get_operation_ast,
    get_variable_values,
    parse,
    validate,
)

SCHEMA = build_schema(Path(__file__).with_name("schema.graphql").read_text())


class SelectedField(NamedTuple):
    """A requested field: its key in the response, its name, its arguments and its subfields."""

    key: str
    name: str
    arguments: dict[str, Any]
    given: frozenset[str]
    """The arguments that the client sent. The others have the defaults of the schema."""
    fields: list[SelectedField] | None


@dataclass
class Operation:
    """A parsed request."""

    is_mutation: bool
    fields: list[SelectedField]
    introspection: dict[str, Any] | None = None
    """The response to a query of the schema."""


class InvalidRequest(Exception):
    """The request is not valid GraphQL for this schema."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(*errors)
        self.errors = [error.formatted for error in errors]


def parse_operation(query: str, variables: dict[str, Any], operation_name: str | None) -> Operation:
    """Parse and validate a request, or raise ``InvalidRequest``."""
    document = _document(query)
    operation = get_operation_ast(document, operation_name)
    if operation is None:
        raise InvalidRequest(GraphQLError("operationName must be the name of one of the operations"))
    values = get_variable_values(SCHEMA, operation.variable_definitions or (), variables)
    if isinstance(values, list):
        raise InvalidRequest(*values)
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    is_mutation = operation.operation is OperationType.MUTATION
    root = SCHEMA.mutation_type if is_mutation else SCHEMA.query_type
    assert root is not None
    try:
        fields = _FieldCollector(fragments, values).collect(root, [operation.selection_set])
    except GraphQLError as problem:
        raise InvalidRequest(problem) from None
    introspection = None
    if any(field.name in ("__schema", "__type") for field in fields):
        introspection = execute_sync(SCHEMA, document, variable_values=variables, operation_name=operation_name).data
    return Operation(is_mutation, fields, introspection)


@functools.lru_cache(maxsize=256)
def _document(query: str) -> DocumentNode:
    try:
        document = parse(query)
    except GraphQLError as problem:
        raise InvalidRequest(problem) from None
    errors = validate(SCHEMA, document)
    if errors:
        raise InvalidRequest(*errors)
    return document


class _FieldCollector:
    """Collects the requested fields once, for any number of objects."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode], variables: Any) -> None:
        self._fragments = fragments
        self._variables = variables

    def collect(self, parent: GraphQLObjectType, selections: list[SelectionSetNode]) -> list[SelectedField]:
        fields: dict[str, list[FieldNode]] = {}
        for selection in selections:
            for node in self._nodes(selection):
                fields.setdefault(node.alias.value if node.alias else node.name.value, []).append(node)
        return [self._selected_field(parent, key, nodes) for key, nodes in fields.items()]

    def _selected_field(self, parent: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> SelectedField:
        name = nodes[0].name.value
        if name.startswith("__"):
            return SelectedField(key, name, {"type": parent.name}, frozenset(), None)
        definition = parent.fields[name]
        arguments = get_argument_values(definition, nodes[0], self._variables)
        given = frozenset(
            argument.name.value
            for argument in nodes[0].arguments or ()
            if argument.value.kind != "variable" or argument.value.name.value in self._variables.coerced
        )
        selections = [node.selection_set for node in nodes if node.selection_set]
        of_type = get_named_type(definition.type)
        fields = self.collect(of_type, selections) if isinstance(of_type, GraphQLObjectType) else None
        return SelectedField(key, name, arguments, given, fields)

    def _nodes(self, selection: SelectionSetNode) -> Iterator[FieldNode]:
        """Yield the fields of a selection and its fragments. Without interfaces, each type condition matches."""
        for node in selection.selections:
            skip = get_directive_values(GraphQLSkipDirective, node, self._variables)
            include = get_directive_values(GraphQLIncludeDirective, node, self._variables)
            if (skip and skip["if"]) or (include and not include["if"]):
                continue
            if isinstance(node, FieldNode):
                yield node
            elif isinstance(node, FragmentSpreadNode):
                yield from self._nodes(self._fragments[node.name.value].selection_set)
            elif isinstance(node, InlineFragmentNode):
                yield from self._nodes(node.selection_set)


def select(fields: list[SelectedField], source: dict[str, Any]) -> dict[str, Any]:
    """Return the requested fields of an object. A value that is a function is called with the field's arguments."""
    selected = {}
    for key, name, arguments, _unused, below in fields:
        value = source.get(name)
        if callable(value):
            value = value(**arguments)
        elif name == "__typename":
            value = arguments["type"]
        selected[key] = value if below is None else select_each(below, value)
    return selected


def select_each(fields: list[SelectedField], value: Any) -> Any:
    """Return the requested fields of an object or of each object in a list. Keep any other value."""
    if isinstance(value, list):
        return [select_each(fields, item) for item in value]
    return select(fields, value) if isinstance(value, dict) else value
