"""Layout of schema graphs: order, distance, crossings, cycles."""

import itertools

import numpy as np
import pytest

from relscale.analysis.schema_layout import arrange


def random_schema(rng: np.random.Generator, n: int) -> tuple[list[str], list[tuple[str, str]]]:
    names = [f"t{place}" for place in range(n)]
    pairs = [(names[c], names[int(rng.integers(0, c))]) for c in range(1, n) for _ in range(2)]
    return names, pairs


@pytest.mark.parametrize("n", [3, 10, 80])
def test_parents_stand_left_and_tables_apart(n):
    names, pairs = random_schema(np.random.default_rng(n), n)
    layout = arrange(names, pairs)
    assert set(layout.places) == set(names)
    for child, parent in pairs:
        assert layout.places[parent][0] < layout.places[child][0]
    for (x, y), (x2, y2) in itertools.combinations(layout.places.values(), 2):
        assert x != x2 or abs(y - y2) >= 1 - 1e-9
    for x, y in itertools.chain(layout.places.values(), *layout.routes.values()):
        assert 0 <= x <= layout.width - 1 and -1e-9 <= y <= layout.height


def test_a_long_reference_bends_once_in_every_layer_that_it_passes():
    layout = arrange(["a", "b", "c", "d"], [("b", "a"), ("c", "b"), ("d", "c"), ("d", "a")])
    assert [x for x, _ in layout.routes["d", "a"]] == [1, 2]
    for x, y in layout.routes["d", "a"]:
        assert all(abs(y - place[1]) > 0.5 for place in layout.places.values() if place[0] == x)


def test_a_chain_is_straight_and_a_tree_has_no_crossing():
    chain = arrange(["a", "b", "c"], [("b", "a"), ("c", "b")])
    assert np.ptp([y for _, y in chain.places.values()]) < 1e-6
    names = [str(place) for place in range(15)]
    order = np.random.default_rng(0).permutation(names[1:]).tolist()
    tree = arrange([names[0], *order], [(names[place], names[(place - 1) // 2]) for place in range(1, 15)])
    for layer in range(1, 4):
        here = [name for name in names[1:] if tree.places[name][0] == layer]
        here.sort(key=lambda name: tree.places[name][1])
        above = [tree.places[names[(int(name) - 1) // 2]][1] for name in here]
        assert above == sorted(above)


def test_cycles_and_self_references_are_drawn():
    pairs = [("a", "b"), ("b", "c"), ("c", "a"), ("a", "a"), ("d", "a")]
    layout = arrange(["a", "b", "c", "d"], pairs)
    assert set(layout.routes) == {pair for pair in pairs if pair[0] != pair[1]}
    backward = [pair for pair in layout.routes if layout.places[pair[0]][0] < layout.places[pair[1]][0]]
    assert len(backward) == 1


def test_mutual_references_share_a_route():
    layout = arrange(["a", "b", "c"], [("a", "b"), ("b", "a"), ("c", "a")])
    assert layout.routes["a", "b"] == layout.routes["b", "a"] == []


def test_tables_without_reference_stand_in_rows_below():
    names = ["child", "parent", *(f"loose{place}" for place in range(9))]
    layout = arrange(names, [("child", "parent")])
    below = [layout.places[name] for name in names[2:]]
    assert min(y for _, y in below) >= 1 and len(set(below)) == 9
    assert arrange([f"only{place}" for place in range(30)], []).width <= 6


def test_the_same_schema_gives_the_same_drawing():
    names, pairs = random_schema(np.random.default_rng(5), 30)
    assert arrange(names, pairs) == arrange(names, pairs[::-1])
