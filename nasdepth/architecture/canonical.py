"""The one form in which graphs are measured and compared, and its digest.

Nodes on no input-output path go; identities and merges of one arm are contracted; a
merge whose only consumer is a merge of the same kind becomes part of it, so that
x + F1 + F2 is one merge of three arms however it was written.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeVar

from nasdepth.architecture.graph import Graph, Node, reachable
from nasdepth.architecture.ops import (
    Add,
    Concat,
    Identity,
    Op,
    Shape,
    Zeros,
)

_Key = TypeVar("_Key", int, str)


def canonical(graph: Graph) -> Graph:
    """Equivalent graph in the one form that is measured.

    An arm that the input never reaches vanishes from an add and is a constant of
    zeros in a concat. Without an input-output path the input and such a constant
    are all that remains.
    """
    if _is_canonical(graph):
        return graph
    fed = reachable(0, graph.consumers())
    output = len(graph.nodes) - 1
    if output not in fed:
        zeros = Zeros(graph.shapes()[output])
        return Graph((graph.nodes[0], Node(zeros, scope="output")))
    arms = _contracted(graph, fed)
    live = reachable(output, arms) & fed
    return _renumber(graph, _spliced(graph, arms, live), live)


def _is_canonical(graph: Graph) -> bool:
    """Whether nothing can go or be joined; False where only a closer look tells."""
    nodes = graph.nodes
    for node, readers in zip(nodes, graph.consumers(), strict=True):
        op = node.op
        if not readers and node is not nodes[-1]:
            return False
        # a second source may feed what the input does not reach
        if type(op) in (Identity, Zeros):
            return False
        if type(op) in (Add, Concat):
            joins = len(set(readers)) == 1 and nodes[readers[0]].op == op
            if joins or len(node.inputs) == 1:
                return False
    return True


def digest(graph: Graph) -> str:
    """SHA-256 of the canonical graph, in hexadecimal: equal for one network.

    Invariant to numbering, scopes, identities and the order of an add's arms, not to
    that of a concat's. Arms are visited in the order of colours (see `_colours`), and
    since the visit names shared nodes by number, different networks never share a
    digest.
    """
    form = canonical(graph)
    words = [repr(node.op) for node in form.nodes]
    colours = _colours(form, words)
    return sha256("\n".join(_visit(form, words, colours)).encode()).hexdigest()


def _contracted(graph: Graph, fed: set[int]) -> list[tuple[int, ...]]:
    """Inputs of every node with identities, one-armed merges and dead arms gone."""
    alias: list[int] = []
    arms: list[tuple[int, ...]] = []
    for index, node in enumerate(graph.nodes):
        inputs = tuple(alias[i] for i in node.inputs)
        if isinstance(node.op, Add):
            inputs = tuple(i for i in inputs if i in fed)
        passes = isinstance(node.op, Identity | Add | Concat) and len(inputs) == 1
        is_output = index == len(graph.nodes) - 1
        alias.append(inputs[0] if passes and not is_output else index)
        # the output keeps its own node: what it passes on is read through it
        arms.append(inputs)
    return arms


def _spliced(
    graph: Graph, arms: list[tuple[int, ...]], live: set[int]
) -> dict[int, tuple[int, ...]]:
    """Inputs of the live nodes, with merges that only feed a like merge taken apart."""
    readers: dict[int, set[int]] = {i: set() for i in live}
    part_of: dict[int, int] = {}
    for index in sorted(live, reverse=True):
        # readers count as the merge that they become part of
        (reader, *others) = readers[index] or {index}
        op = graph.nodes[index].op
        joins = isinstance(op, Add | Concat) and graph.nodes[reader].op == op
        part_of[index] = reader if joins and not others else index
        for source in live.intersection(arms[index]):
            readers[source].add(part_of[index])
    spliced: dict[int, tuple[int, ...]] = {}
    for index in sorted(live):
        inputs: list[int] = []
        for source in arms[index]:
            apart = part_of.get(source, source) == source
            inputs.extend((source,) if apart else spliced[source])
        spliced[index] = tuple(inputs)
    return spliced


def _renumber(graph: Graph, arms: dict[int, tuple[int, ...]], live: set[int]) -> Graph:
    """Graph of the nodes still read, with zeros where a concat has a dead arm."""
    shapes: tuple[Shape, ...] | None = None
    output = _through(graph, arms, len(graph.nodes) - 1)
    kept = reachable(output, [arms.get(i, ()) for i in range(len(graph.nodes))]) & live
    nodes: list[Node] = []
    number: dict[int, int] = {}
    for index in sorted(kept):
        inputs = []
        for source in arms[index]:
            if source not in kept:
                shapes = shapes or graph.shapes()
                nodes.append(
                    Node(Zeros(shapes[source]), scope=graph.nodes[source].scope)
                )
                inputs.append(len(nodes) - 1)
            else:
                inputs.append(number[source])
        number[index] = len(nodes)
        nodes.append(
            Node(graph.nodes[index].op, tuple(inputs), graph.nodes[index].scope)
        )
    return Graph(tuple(nodes))


def _through(graph: Graph, arms: dict[int, tuple[int, ...]], output: int) -> int:
    """The node whose value the output is, past identities and one-armed merges."""
    while isinstance(graph.nodes[output].op, Identity | Add | Concat):
        if len(arms[output]) != 1:
            break
        output = arms[output][0]
    return output


def _colours(graph: Graph, words: Sequence[str]) -> list[str]:
    """Colours that tell any two nodes apart, chains that may be swapped excepted.

    Rounds of refinement until no round tells more; then one of several like nodes is
    marked, and so on. Like nodes of a chain need no mark: its ends tell it apart, or
    else it is one of several equal arms of one add. Which like node is marked leaves
    the digest unchanged where a symmetry of the graph maps one to the other, as it
    does in all but graphs made to mislead colour refinement (Weisfeiler & Leman).
    """
    colours = list(words)
    readers = graph.consumers()
    told_apart = 0
    while True:
        colours = _refined(graph, readers, colours)
        stable = len(set(colours)) in (told_apart, len(colours))
        like = _like(graph, readers, colours) if stable else []
        if stable and not like:
            return colours
        for node in like[:1]:
            colours[node] += "marked"
        told_apart = len(set(colours))


def _refined(
    graph: Graph, readers: Sequence[Sequence[int]], colours: list[str]
) -> list[str]:
    """Colours that also hash those of all that lies before and after each node."""
    before: list[str] = []
    for colour, node in zip(colours, graph.nodes, strict=True):
        inputs = [before[i] for i in node.inputs]
        before.append(_hash(colour, _ordered(node.op, inputs)))
    after = [""] * len(graph.nodes)
    for index in range(len(graph.nodes) - 1, -1, -1):
        places = []
        for reader in set(readers[index]):
            node = graph.nodes[reader]
            ordered = not isinstance(node.op, Add)
            at = [k for k, i in enumerate(node.inputs) if i == index]
            places.append(
                f"{at if ordered else len(at)}{before[reader]}{after[reader]}"
            )
        after[index] = _hash(before[index], sorted(places))
    return after


def _like(
    graph: Graph, readers: Sequence[Sequence[int]], colours: list[str]
) -> list[int]:
    """Nodes of the least colour that several nodes share, links of a chain left out."""
    alike: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        if len(node.inputs) != 1 or len(readers[index]) != 1:
            alike.setdefault(colours[index], []).append(index)
    shared = [colour for colour, nodes in alike.items() if len(nodes) > 1]
    return alike[min(shared)] if shared else []


def _ordered(op: Op, inputs: list[_Key]) -> list[_Key]:
    return sorted(inputs) if isinstance(op, Add) else inputs


def _hash(colour: str, parts: list[str]) -> str:
    return sha256(f"{colour}{parts}".encode()).hexdigest()


def _visit(graph: Graph, words: Sequence[str], colours: Sequence[str]) -> list[str]:
    """One line a node in depth-first order from the output, adds by colour of arm."""
    number: dict[int, int] = {}
    lines: list[str] = []
    stack = [len(graph.nodes) - 1]
    while stack:
        index = stack[-1]
        node = graph.nodes[index]
        arms = list(node.inputs)
        if isinstance(node.op, Add):
            arms.sort(key=lambda i: colours[i])
        waiting = [i for i in arms if i not in number]
        if waiting:
            stack.append(waiting[0])
            continue
        number[stack.pop()] = len(lines)
        lines.append(f"{words[index]}{_ordered(node.op, [number[i] for i in arms])}")
    return lines
