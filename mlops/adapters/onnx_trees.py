"""Tree models for skl2onnx, compared in double and with missing values sent the way they were trained.

One `TreeEnsemble` operator (ai.onnx.ml 5) holds all trees; it compares and adds in double, where the
older operators round thresholds or sums to float32 and so flip rows that lie on a threshold.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mlops.adapters.onnx_graph import answer, cannot, constant, node

Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

TREES = "trees"
"""The domain in which TreeEnsemble is left: skl2onnx knows ai.onnx.ml up to version 3, the operator came in 5."""

_DOUBLE, _FLOAT = 11, 1  # onnx.TensorProto.DOUBLE and FLOAT


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A binary tree as arrays over its nodes; where `left` is negative the node is a leaf."""

    feature: Integers
    threshold: Doubles
    left: Integers
    right: Integers
    missing_left: npt.NDArray[np.bool_]

    @property
    def leaf(self) -> npt.NDArray[np.bool_]:
        """Which nodes are leaves."""
        return self.left < 0


def converters() -> dict[type, Callable[..., None]]:
    """Estimator type -> its converter."""
    from sklearn import ensemble, tree

    boosted = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
    forests = (
        ensemble.RandomForestClassifier,
        ensemble.RandomForestRegressor,
        ensemble.ExtraTreesClassifier,
        ensemble.ExtraTreesRegressor,
        tree.DecisionTreeClassifier,
        tree.DecisionTreeRegressor,
        tree.ExtraTreeClassifier,
        tree.ExtraTreeRegressor,
    )
    gradient = (ensemble.GradientBoostingClassifier, ensemble.GradientBoostingRegressor)
    return {
        **dict.fromkeys(boosted, _histogram_boosting),
        **dict.fromkeys(gradient, _gradient_boosting),
        **dict.fromkeys(forests, _forest),
    }


def shapes(number: type) -> dict[type, Callable[..., None]]:
    """Estimator type -> what calculates its outputs' types; `number` is skl2onnx's tensor type for numbers."""
    return dict.fromkeys(converters(), functools.partial(_shape, number=number))


def _shape(operator: Any, *, number: type) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    rows = operator.inputs[0].get_first_dimension()
    classes = getattr(operator.raw_operator, "classes_", None)
    if classes is None:
        operator.outputs[0].type = number([rows, 1])
        return
    named = isinstance(np.asarray(classes).tolist()[0], str)
    operator.outputs[0].type = (StringTensorType if named else Int64TensorType)([rows])
    operator.outputs[1].type = number([rows, len(classes)])


def _histogram_boosting(scope: Any, operator: Any, container: Any) -> None:
    """HistGradientBoosting: the sum of leaf values per target and of the baseline, then the link."""
    model = operator.raw_operator
    trees, values, targets = [], [], []
    for iteration in model._predictors:  # noqa: SLF001 - no public name; unchanged for years, and parity is proven
        for target, predictor in enumerate(iteration):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise cannot(
                    f"{type(model).__name__}(categorical_features=…) has no ONNX form",
                    "encode the categories with OrdinalEncoder or OneHotEncoder to get the fast form",
                )
            trees.append(_of_histogram(nodes))
            values.append(nodes["value"][nodes["is_leaf"].astype(bool)].astype(np.float64))
            targets.append(target)
    leaves = _Leaves(values, targets, model.n_trees_per_iteration_)
    source = node(scope, container, "Cast", [operator.inputs[0].full_name], to=_DOUBLE)
    raw = _ensemble(scope, container, source, trees, leaves)
    start = model._baseline_prediction  # noqa: SLF001 - as above
    _boosted(scope, operator, container, _added(scope, container, raw, start))


def _gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    """GradientBoosting: as above; what it starts from is what one prediction is more than its trees."""
    model = operator.raw_operator
    if type(model.init_).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise cannot(f"{type(model).__name__}(init=…) has no ONNX form")
    grown = [(target, tree.tree_) for stage in model.estimators_ for target, tree in enumerate(stage)]
    rate = model.learning_rate
    values = [rate * np.asarray(tree.value, dtype=np.float64)[tree.children_left < 0, 0, 0] for _, tree in grown]
    leaves = _Leaves(values, [target for target, _ in grown], model.estimators_.shape[1])
    zeros = np.zeros((1, model.n_features_in_), dtype=np.float32)
    baseline = np.atleast_2d((model.decision_function if hasattr(model, "classes_") else model.predict)(zeros)).astype(
        float
    )
    for target, tree in grown:
        baseline[0, target] -= rate * tree.predict(zeros)[0, 0]
    raw = _ensemble(scope, container, _narrowed(scope, operator, container), [_of_tree(t) for _, t in grown], leaves)
    _boosted(scope, operator, container, _added(scope, container, raw, baseline))


def _added(scope: Any, container: Any, raw: str, baseline: Any) -> str:
    row = np.asarray(baseline, dtype=np.float64).reshape(1, -1)
    return node(scope, container, "Add", [raw, constant(scope, container, row)])


def _boosted(scope: Any, operator: Any, container: Any, scores: str) -> None:
    """From raw scores, [rows, targets], to what the model answers."""
    model = operator.raw_operator
    if not hasattr(model, "classes_"):
        answer(scope, operator, container, 0, node(scope, container, "Exp", [scores]) if _is_log(model) else scores)
        return
    if len(model.classes_) > 2:
        _classification(scope, operator, container, node(scope, container, "Softmax", [scores], axis=1))
        return
    if model.loss == "exponential":
        scores = node(scope, container, "Mul", [scores, constant(scope, container, np.full((1, 1), 2.0))])
    positive = node(scope, container, "Sigmoid", [scores])
    negative = node(scope, container, "Sub", [constant(scope, container, np.ones((1, 1))), positive])
    _classification(scope, operator, container, node(scope, container, "Concat", [negative, positive], axis=1))


def _is_log(model: Any) -> bool:
    return model.loss in ("poisson", "gamma")


def _narrowed(scope: Any, operator: Any, container: Any) -> str:
    """The input as scikit-learn's trees see it: cast to float32, then compared with thresholds in double."""
    narrow = node(scope, container, "Cast", [operator.inputs[0].full_name], to=_FLOAT)
    return node(scope, container, "Cast", [narrow], to=_DOUBLE)


def _forest(scope: Any, operator: Any, container: Any) -> None:
    """Forests and single trees: which leaf each tree ends in, the leaves' values, their mean over trees."""
    model = operator.raw_operator
    if model.n_outputs_ != 1:
        raise cannot(f"{type(model).__name__} of several outputs")
    grown = [e.tree_ for e in model.estimators_] if hasattr(model, "estimators_") else [model.tree_]
    trees = [_of_tree(tree) for tree in grown]
    tables = [_leaf_values(tree, model) for tree in grown]
    first = np.cumsum([0, *[len(table) for table in tables[:-1]]])
    positions = [start + np.arange(len(table), dtype=np.float64) for start, table in zip(first, tables, strict=True)]
    source = _narrowed(scope, operator, container)
    found = _ensemble(scope, container, source, trees, _Leaves(positions, list(range(len(trees))), len(trees)))
    position = node(scope, container, "Cast", [found], to=7)
    values = node(scope, container, "Gather", [constant(scope, container, np.concatenate(tables)), position], axis=0)
    over_trees = constant(scope, container, [1])
    mean = node(scope, container, "ReduceMean", [values, over_trees], keepdims=0)
    if hasattr(model, "classes_"):
        _classification(scope, operator, container, mean)
    else:
        answer(scope, operator, container, 0, mean)


def _leaf_values(tree: Any, model: Any) -> Doubles:
    values = np.asarray(tree.value, dtype=np.float64)[tree.children_left < 0, 0, :]
    return values / values.sum(axis=1, keepdims=True) if hasattr(model, "classes_") else values


def _of_tree(tree: Any) -> Tree:
    missing = getattr(tree, "missing_go_to_left", None)
    return Tree(
        feature=np.maximum(tree.feature, 0).astype(np.int64),
        threshold=np.asarray(tree.threshold, dtype=np.float64),
        left=np.asarray(tree.children_left, dtype=np.int64),
        right=np.asarray(tree.children_right, dtype=np.int64),
        missing_left=np.zeros(tree.node_count, bool) if missing is None else np.asarray(missing, dtype=bool),
    )


def _of_histogram(nodes: npt.NDArray[Any]) -> Tree:
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"].astype(bool),
    )


@dataclass(frozen=True, slots=True)
class _Leaves:
    """Per tree the values of its leaves, in the order of its nodes, and the target that they add to."""

    values: Sequence[Doubles]
    targets: Sequence[int]
    width: int


def _ensemble(scope: Any, container: Any, source: str, trees: Sequence[Tree], leaves: _Leaves) -> str:
    """Add one TreeEnsemble operator over all trees; gives its output, [rows, width] in double."""
    from onnx import TensorProto, helper

    parts = [_Part.of(tree) for tree in trees]
    first_node = np.cumsum([0, *[len(part.feature) for part in parts]])
    first_leaf = np.cumsum([0, *[len(values) for values in leaves.values]])
    whole = _Part.joined([p.shifted(int(n), int(v)) for p, n, v in zip(parts, first_node, first_leaf, strict=False)])

    def tensor(name: str, kind: int, values: npt.NDArray[Any]) -> Any:
        return helper.make_tensor(name, kind, values.shape, values.tobytes(), raw=True)

    return node(
        scope,
        container,
        "TreeEnsemble",
        [source],
        op_domain=TREES,
        op_version=1,
        aggregate_function=1,
        post_transform=0,
        n_targets=leaves.width,
        tree_roots=first_node[:-1].tolist(),
        nodes_featureids=whole.feature.tolist(),
        nodes_splits=tensor("splits", TensorProto.DOUBLE, whole.threshold),
        nodes_modes=tensor("modes", TensorProto.UINT8, np.zeros(len(whole.threshold), dtype=np.uint8)),
        nodes_missing_value_tracks_true=whole.missing_left.astype(int).tolist(),
        nodes_truenodeids=whole.left.tolist(),
        nodes_trueleafs=whole.left_leaf.astype(int).tolist(),
        nodes_falsenodeids=whole.right.tolist(),
        nodes_falseleafs=whole.right_leaf.astype(int).tolist(),
        leaf_targetids=np.repeat(leaves.targets, [len(v) for v in leaves.values]).tolist(),
        leaf_weights=tensor("weights", TensorProto.DOUBLE, np.concatenate(list(leaves.values)).astype(np.float64)),
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A tree's inner nodes; a child is a position among its inner nodes, or among its leaves."""

    feature: Integers
    threshold: Doubles
    left: Integers
    right: Integers
    left_leaf: npt.NDArray[np.bool_]
    right_leaf: npt.NDArray[np.bool_]
    missing_left: npt.NDArray[np.bool_]

    @staticmethod
    def of(tree: Tree) -> _Part:
        leaf = tree.leaf
        if len(leaf) == 1:  # the operator has no tree without a node: both ways lead to the one leaf
            zero, yes = np.zeros(1, dtype=np.int64), np.ones(1, dtype=bool)
            return _Part(
                feature=zero,
                threshold=np.zeros(1),
                left=zero,
                right=zero,
                left_leaf=yes,
                right_leaf=yes,
                missing_left=yes,
            )
        place = np.where(leaf, np.cumsum(leaf) - 1, np.cumsum(~leaf) - 1)
        left, right = tree.left[~leaf], tree.right[~leaf]
        return _Part(
            feature=tree.feature[~leaf],
            threshold=tree.threshold[~leaf],
            left=place[left],
            right=place[right],
            left_leaf=leaf[left],
            right_leaf=leaf[right],
            missing_left=tree.missing_left[~leaf],
        )

    def shifted(self, nodes: int, leaves: int) -> _Part:
        """The same with its children's positions moved behind those of earlier trees."""
        return replace(
            self,
            left=self.left + np.where(self.left_leaf, leaves, nodes),
            right=self.right + np.where(self.right_leaf, leaves, nodes),
        )

    @staticmethod
    def joined(parts: Sequence[_Part]) -> _Part:
        """All nodes one after the other."""
        return _Part(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Part)})


def _classification(scope: Any, operator: Any, container: Any, probabilities: str) -> None:
    best = node(scope, container, "ArgMax", [probabilities], axis=1, keepdims=0)
    classes = np.asarray(operator.raw_operator.classes_)
    named = classes.astype(object) if classes.dtype.kind in "OUT" else classes.astype(np.int64)
    answer(
        scope,
        operator,
        container,
        0,
        node(scope, container, "Gather", [constant(scope, container, named), best], axis=0),
    )
    answer(scope, operator, container, 1, probabilities)
